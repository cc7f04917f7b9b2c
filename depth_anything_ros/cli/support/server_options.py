"""Options of the commands that serve a page."""

from __future__ import annotations

from dataclasses import dataclass

import click

from depth_anything_ros.cli.support.command_line import gathered, option

_SERVER = "Server"


@dataclass(frozen=True)
class ServerOptions:
    """Where a page is served.

    Attributes:
        port: Port; 0 takes a free one.
        host: Address to listen on.
        token: What browsers must show, or None.
    """

    port: int = 0
    host: str = "127.0.0.1"
    token: str | None = None


server_options = gathered(
    "server_options",
    ServerOptions,
    option(
        "--port",
        type=click.IntRange(min=0, max=65535),
        default=0,
        heading=_SERVER,
        help="Port of the page; 0 takes a free one.",
    ),
    option(
        "--host",
        default="127.0.0.1",
        heading=_SERVER,
        help="Address to listen on; any but this machine's own loopback needs --token.",
    ),
    option(
        "--token",
        envvar="DEPTH_ANYTHING_TOKEN",
        heading=_SERVER,
        help="What a browser must show, at least 12 characters; better in the environment as "
        "DEPTH_ANYTHING_TOKEN, where other users do not see it.",
    ),
)
"""Adds the options; the function gets them as `server_options`."""
