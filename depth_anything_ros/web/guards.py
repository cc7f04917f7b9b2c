"""What stands between a browser and the pages: who may ask, and what a page may do.

A page on loopback is reachable by every site that the browser shows: by its address (another
origin) or by a name that is made to point at 127.0.0.1 (DNS rebinding). So the names by which the
server is asked, the origin of a request and, beyond loopback, a token are checked first.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names of this machine that no other site can take."""

TOKEN_LENGTH = 12
"""Fewest characters of a token: fewer could be guessed."""

_COOKIE = "depth_anything_token"
_PARAMETER = "token"

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content Security Policy (W3C, level 3): everything comes from this server."""

_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Guard:
    """Passes on only requests that come from its own pages, and adds the headers of safety.

    Args:
        app: The pages.
        names: Host names by which the server may be asked, without port.
        any_address: Whether it may also be asked by any IP address, as beyond loopback; an address
            cannot be rebound as a name can.
        token: What a browser must show, as `?token=` once or as a bearer token; None for all.
    """

    def __init__(
        self,
        app: ASGIApp,
        names: Collection[str] = LOOPBACK_NAMES,
        any_address: bool = False,
        token: str | None = None,
    ) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)
        self._any_address = any_address
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(Request(scope))
        await (answer or self._app)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that is not passed on; None for a good one."""
        headers = request.headers
        host = headers.get("host", "")
        name = _name_of(host)
        if len(headers.getlist("host")) != 1 or not self._is_known(name):
            return _refuse(
                HTTPStatus.FORBIDDEN,
                f"this server is not '{name}'; ask it by one of {', '.join(sorted(self._names))}",
            )
        if not _is_own_origin(headers, host):
            return _refuse(HTTPStatus.FORBIDDEN, "another site may not use this server")
        return None if self._token is None else self._check_token(request, self._token)

    def _is_known(self, name: str) -> bool:
        return name in self._names or (self._any_address and _is_address(name))

    def _check_token(self, request: Request, token: str) -> Response | None:
        """Take the token from the address into a cookie, or ask for it."""
        shown = request.query_params.get(_PARAMETER)
        if shown is not None and request.method == "GET" and _same(shown, token):
            rest = [each for each in parse_qsl(request.url.query) if each[0] != _PARAMETER]
            answer = RedirectResponse(
                request.url.path + (f"?{urlencode(rest)}" if rest else ""), HTTPStatus.SEE_OTHER
            )
            answer.set_cookie(_COOKIE, token, httponly=True, samesite="strict")
            return answer
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if _same(request.cookies.get(_COOKIE, ""), token) or _same(bearer, token):
            return None
        return _refuse(
            HTTPStatus.UNAUTHORIZED,
            "this server asks for its token: open the address with ?token=... that it printed",
        )


def _name_of(host: str) -> str:
    """The name of a Host header, without port and brackets, empty where it is no such header."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_own_origin(headers: Headers, host: str) -> bool:
    """Whether a request comes from a page of this server, or from no page at all."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return False
    # Sent by browsers only, with GET requests, too, which have no Origin (W3C Fetch Metadata).
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return headers.get("sec-fetch-mode") == "navigate"
    return True


def _same(shown: str, token: str) -> bool:
    return secrets.compare_digest(shown.encode(), token.encode())


def _refuse(status: HTTPStatus, sentence: str) -> Response:
    return PlainTextResponse(sentence, status)
