"""`depth_anything serve`: a page in the browser to try the networks with one's own pictures."""

from __future__ import annotations

import os

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import Subcommand, command, option
from depth_anything_ros.cli.support.model_options import model_options
from depth_anything_ros.cli.support.server_options import ServerOptions, server_options
from depth_anything_ros.errors import require
from depth_anything_ros.settings import ModelSettings

_LIMITS = "Limits"


@command("serve")
@model_options
@server_options
@option(
    "--upload-mb",
    type=click.IntRange(min=1),
    default=200,
    heading=_LIMITS,
    help="Megabytes of an uploaded file.",
)
@option(
    "--pixels",
    type=click.IntRange(min=1),
    default=25_000_000,
    heading=_LIMITS,
    help="Pixels of a picture.",
)
@option(
    "--video-pictures",
    type=click.IntRange(min=1),
    default=120,
    heading=_LIMITS,
    help="Pictures of a video; of a longer one every n-th is taken.",
)
@option(
    "--waiting",
    type=click.IntRange(min=1),
    default=8,
    heading=_LIMITS,
    help="Pictures and videos that may wait for their turn.",
)
@option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=600.0,
    heading=_LIMITS,
    help="Seconds that one of them may take.",
)
def serve(
    model_settings: ModelSettings,
    server_options: ServerOptions,
    upload_mb: int,
    pixels: int,
    video_pictures: int,
    waiting: int,
    seconds: float,
) -> None:
    """Serve a page to try the networks in a browser.

    Pictures, videos and the webcam go in; depth, metres and a point cloud come out, with a slider
    and downloads. Offers the networks that are on this machine. Nothing leaves it: uploads lie in
    a private temporary folder, which is removed at the end.
    """
    for module in ("starlette", "uvicorn"):
        require(module, "serve")
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is loaded, below
    from depth_anything_ros.cli.support.terminal import STDERR, say
    from depth_anything_ros.web.demo_page import DemoPage
    from depth_anything_ros.web.estimation import Limits
    from depth_anything_ros.web.serving import PageServer

    limits = Limits(upload_mb * 1_000_000, pixels, video_pictures, waiting, seconds)
    page = DemoPage(model_settings, limits)
    try:
        where = server_options
        server = PageServer(page.app, where.host, where.port, where.token)
        say(f"open {server.url} (Ctrl-C ends)")
        server.serve()
    except KeyboardInterrupt:
        STDERR.print("stopped")
    finally:
        page.close()


COMMANDS.register(Subcommand("serve", serve, 55))
