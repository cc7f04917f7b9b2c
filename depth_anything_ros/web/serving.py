"""A server for pages in a browser of this machine, or with a token of others."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Collection
from urllib.parse import quote

import uvicorn
from starlette.types import ASGIApp

from depth_anything_ros.errors import SettingError
from depth_anything_ros.web.guards import LOOPBACK_NAMES, TOKEN_LENGTH, Guard

LOOPBACK = "127.0.0.1"
"""The address that only this machine reaches."""

_ANY = ("0.0.0.0", "::")
_CONNECTIONS = 100
_PATIENCE_S = 3


class PageServer:
    """Serves pages until `finish`, Ctrl-C or SIGTERM; the port is taken when it is made.

    Args:
        app: The pages.
        host: Address to listen on; beyond loopback only with a token.
        port: Port; 0 takes a free one.
        token: What browsers must show; None for everybody who reaches the port.

    Attributes:
        url: Where a browser finds the pages, with the token.

    Raises:
        SettingError: The address cannot be had, or has no token though it is not loopback.
    """

    def __init__(
        self, app: ASGIApp, host: str = LOOPBACK, port: int = 0, token: str | None = None
    ) -> None:
        if token is not None and len(token) < TOKEN_LENGTH:
            raise SettingError(
                f"the token has {len(token)} characters; give at least {TOKEN_LENGTH} that nobody "
                "guesses"
            )
        local = host in LOOPBACK_NAMES
        if not local and token is None:
            raise SettingError(
                f"--host {host} lets other machines in; give --token, which they must know"
            )
        self._socket = _listen(host, port)
        guarded = Guard(app, LOOPBACK_NAMES if local else _names(host), not local, token)
        self._server = uvicorn.Server(
            uvicorn.Config(
                guarded,
                log_level="error",
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=_PATIENCE_S,
            )
        )
        shown = socket.gethostname() if host in _ANY else host
        shown = f"[{shown}]" if ":" in shown else shown
        query = "" if token is None else f"?token={quote(token)}"
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}/{query}"

    def serve(self) -> None:
        """Answer browsers; returns after `finish`.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM ended it.
        """
        if threading.current_thread() is threading.main_thread():
            # The server raises the signal again at its end: SIGTERM would end the process then,
            # and leave the private files behind.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        with self._socket:
            self._server.run([self._socket])

    def finish(self) -> None:
        """Make `serve` return once the present requests are answered; from any thread."""
        self._server.should_exit = True


def _names(host: str) -> Collection[str]:
    """Names by which a server that other machines reach may be asked, besides addresses."""
    own = socket.gethostname()
    return {*LOOPBACK_NAMES, own, f"{own}.local", host} - {*_ANY}


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        raise SettingError(
            f"{host} port {port} cannot be listened on: {error.strerror}; give another --port or "
            "--host"
        ) from error
    return listener
