"""Who is let in: names, origins, tokens; what a page may do."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra 'serve')")

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from depth_anything_ros.web.guards import Guard

TOKEN = "a-token-of-some-length"


async def _answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def browser(
    token: str | None = None, any_address: bool = False, url: str = "http://127.0.0.1:8000"
) -> TestClient:
    app = Starlette(routes=[Route("/{path:path}", _answer, methods=["GET", "POST"])])
    guarded = Guard(app, any_address=any_address, token=token)
    return TestClient(guarded, base_url=url, follow_redirects=False)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000"])
def test_asked_by_its_own_name(host: str) -> None:
    assert browser().get("/", headers={"host": host}).text == "hello"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example:8000", "192.168.1.5:8000", "", "[", "a@127.0.0.1.x"],
)
def test_names_that_another_site_can_take_are_refused(host: str) -> None:
    reply = browser().get("/", headers={"host": host})
    assert reply.status_code == 403
    assert "ask it by one of 127.0.0.1, ::1, localhost" in reply.text


def test_beyond_loopback_addresses_are_known_but_no_foreign_names() -> None:
    client = browser(any_address=True)
    assert client.get("/", headers={"host": "192.168.1.5:8000"}).status_code == 200
    assert client.get("/", headers={"host": "evil.example:8000"}).status_code == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://127.0.0.1:8000", 200),
        ("https://127.0.0.1:8000", 200),  # behind a proxy that does TLS
        ("http://127.0.0.1:9000", 403),
        ("http://localhost:8000", 403),
        ("http://evil.example", 403),
        ("null", 403),
    ],
)
def test_only_its_own_pages_may_ask(origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"origin": origin}
    assert browser().post("/", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [
        ("same-origin", "cors", 200),
        ("none", "navigate", 200),
        ("cross-site", "navigate", 200),  # a link to the page
        ("cross-site", "no-cors", 403),  # a picture of it in another page
        ("same-site", "no-cors", 403),  # in a page of another port
    ],
)
def test_other_sites_do_not_embed_it(site: str, mode: str, status: int) -> None:
    headers = {"sec-fetch-site": site, "sec-fetch-mode": mode}
    assert browser().get("/", headers=headers).status_code == status


def test_the_token_is_asked_for_once_and_then_is_a_cookie() -> None:
    client = browser(TOKEN)
    assert client.get("/").status_code == 401
    assert client.get("/", params={"token": "another"}).status_code == 401
    assert client.post("/", params={"token": TOKEN}).status_code == 401
    reply = client.get("/page", params={"token": TOKEN, "more": "1"})
    assert (reply.status_code, reply.headers["location"]) == (303, "/page?more=1")
    cookie = reply.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
    assert client.get("/page").text == "hello"
    assert browser(TOKEN).get("/", headers={"authorization": f"Bearer {TOKEN}"}).text == "hello"


def test_a_page_may_load_nothing_from_elsewhere() -> None:
    for reply in (browser().get("/"), browser(TOKEN).get("/")):
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"
