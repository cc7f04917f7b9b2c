"""The page for disputed pairs, asked by real HTTP requests as a browser would."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra 'serve')")

from depth_anything_ros.evaluation.pairs import OrderedPair, read_pairs
from depth_anything_ros.evaluation.vote import POINT1, POINT2, UNCLEAR, Ballot, Question
from depth_anything_ros.web.settle_page import SettlePage

MIXED = [POINT1, POINT1, POINT2, POINT1]


class Browser:
    """Speaks HTTP with the page."""

    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc

    def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host, timeout=60)
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, headers or {})
        reply = connection.getresponse()
        answer = reply.status, reply.read()
        connection.close()
        return answer

    def state(self) -> dict[str, Any]:
        status, content = self.ask("GET", "/state")
        assert status == 200
        state: dict[str, Any] = json.loads(content)
        return state

    def answer(self, number: int, verdict: str | None) -> dict[str, Any]:
        status, content = self.ask("POST", "/answer", {"id": number, "verdict": verdict})
        assert status == 200
        state: dict[str, Any] = json.loads(content)
        return state


@pytest.fixture
def ballot(tmp_path: Path) -> Ballot:
    root = tmp_path / "photos"
    (root / "indoor").mkdir(parents=True)
    for name, grey in (("indoor/1.png", 50), ("2.tif", 200)):
        cv2.imwrite(str(root / name), np.full((20, 30, 3), grey, np.uint8))
    images = {
        "indoor/1.png": [
            Question((1, 2), (3, 4), [POINT1] * 4, POINT1),
            Question((5, 6), (7, 8), MIXED),
            Question((9, 10), (11, 12), MIXED),
        ],
        "2.tif": [Question((13, 14), (15, 16), MIXED)],
    }
    ballot = Ballot(tmp_path / "vote", ["a", "b", "c", "d"], root, images)
    ballot.save()
    return ballot


@pytest.fixture
def browser(ballot: Ballot) -> Iterator[Browser]:
    page = SettlePage(ballot)
    thread = threading.Thread(target=page.serve)
    thread.start()
    yield Browser(page.url)
    page.finish()
    thread.join(60)
    assert not thread.is_alive()


def test_page_and_pictures_are_served(browser: Browser) -> None:
    status, html = browser.ask("GET", "/")
    assert status == 200
    assert b"Which is closer to the camera?" in html
    for number, grey in ((0, 50), (2, 200)):
        status, content = browser.ask("GET", f"/image/{number}")
        assert status == 200
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (20, 30, 3)
        assert abs(float(picture.mean()) - grey) < 2


def test_one_disputed_pair_at_a_time_saved_after_each(browser: Browser, ballot: Ballot) -> None:
    first = browser.state()
    # Nothing of the votes is shown.
    assert first == {
        "total": 3,
        "open": 3,
        "id": 0,
        "image": "indoor/1.png",
        "point1": [5, 6],
        "point2": [7, 8],
    }
    second = browser.answer(0, POINT2)
    assert (second["open"], second["id"], second["point1"]) == (2, 1, [9, 10])
    annotations = ballot.folder / "annotations.json"
    agreed, settled = OrderedPair((1, 2), (3, 4)), OrderedPair((7, 8), (5, 6))
    assert read_pairs(annotations) == {"indoor/1.png": [agreed, settled]}
    assert Ballot.load(ballot.folder).images["indoor/1.png"][1].verdict == POINT2

    third = browser.answer(1, UNCLEAR)
    assert (third["open"], third["image"]) == (1, "2.tif")
    assert read_pairs(annotations) == {"indoor/1.png": [agreed, settled]}
    assert browser.answer(2, POINT1) == {"total": 3, "open": 0}
    assert read_pairs(annotations) == {
        "indoor/1.png": [agreed, settled],
        "2.tif": [OrderedPair((13, 14), (15, 16))],
    }


def test_an_answer_can_be_taken_back(browser: Browser, ballot: Ballot) -> None:
    browser.answer(0, POINT2)
    assert browser.answer(0, None)["id"] == 0
    assert len(read_pairs(ballot.folder / "annotations.json")["indoor/1.png"]) == 1
    browser.answer(0, POINT1)
    assert read_pairs(ballot.folder / "annotations.json")["indoor/1.png"][1] == OrderedPair(
        (5, 6), (7, 8)
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/ballot.json", None, 404),
        ("GET", "/image/3", None, 404),
        ("GET", "/image/../2.tif", None, 404),
        ("POST", "/elsewhere", {}, 404),
        ("POST", "/answer", {"id": 3, "verdict": POINT1}, 400),
        ("POST", "/answer", {"id": -1, "verdict": POINT1}, 400),
        ("POST", "/answer", {"id": 0, "verdict": "left"}, 400),
        ("POST", "/answer", {"id": 0}, 400),
        ("POST", "/answer", [], 400),
    ],
)
def test_other_requests_change_nothing(
    browser: Browser, ballot: Ballot, method: str, path: str, body: object, status: int
) -> None:
    before = (ballot.folder / "ballot.json").read_text()
    assert browser.ask(method, path, body)[0] == status
    assert browser.state()["open"] == 3
    assert (ballot.folder / "ballot.json").read_text() == before


@pytest.mark.parametrize(
    ("length", "body", "status"),
    [
        (None, b"", 411),
        ("-1", b"", 400),
        ("+5", b"", 400),
        ("x", b"", 400),
        ("1001", b"", 413),
        ("9" * 400, b"", 400),
        ("34", b'{"id": 1e999, "verdict": "point1"}', 400),
        ("999", b"[" * 999, 400),
    ],
)
def test_bodies_have_a_length_and_a_limit(
    browser: Browser,
    capfd: pytest.CaptureFixture[str],
    length: str | None,
    body: bytes,
    status: int,
) -> None:
    host, port = browser.host.split(":")
    head = f"POST /answer HTTP/1.1\r\nHost: {browser.host}\r\n"
    if length is not None:
        head += f"Content-Length: {length}\r\n"
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.sendall(head.encode() + b"\r\n" + body)
        assert connection.recv(100).split()[1] == str(status).encode()
    assert browser.state()["open"] == 3
    assert capfd.readouterr().err == ""


def test_the_page_runs_nothing_from_elsewhere(browser: Browser) -> None:
    connection = http.client.HTTPConnection(browser.host, timeout=60)
    connection.request("GET", "/")
    policy = connection.getresponse().headers["Content-Security-Policy"]
    connection.close()
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy


@pytest.mark.parametrize("header", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_other_sites_in_the_browser_are_refused(browser: Browser, header: dict[str, str]) -> None:
    assert browser.ask("GET", "/state", headers=header)[0] == 403
    answer = {"id": 0, "verdict": POINT1}
    assert browser.ask("POST", "/answer", answer, header)[0] == 403
    assert browser.state()["open"] == 3


def test_what_cannot_be_saved_stays_open(browser: Browser, ballot: Ballot) -> None:
    (ballot.folder / "ballot.json").unlink()
    (ballot.folder / "ballot.json").mkdir()
    answer = {"id": 0, "verdict": POINT1}
    assert browser.ask("POST", "/answer", answer)[0] == 500
    assert browser.state()["id"] == 0


def test_a_person_ends_it(ballot: Ballot) -> None:
    page = SettlePage(ballot)
    thread = threading.Thread(target=page.serve)
    thread.start()
    browser = Browser(page.url)
    assert browser.ask("POST", "/finish", {})[0] == 200
    thread.join(60)
    assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        browser.state()
