"""`depth_anything view`: a running depth node, live in rerun's viewer or recorded to a file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import PATH, Subcommand, command, option
from depth_anything_ros.errors import require

if TYPE_CHECKING:
    from depth_anything_ros.web.rerun_recorder import RerunRecorder


@command("view")
@click.argument("node", default="")
@option(
    "--viewer",
    type=click.Choice(["native", "web", "none"]),
    default="native",
    help="A window, a page for a browser of this machine, or none (with --record).",
)
@option(
    "--record", type=PATH, metavar="FILE.rrd", help="Write everything that is shown to a file, too."
)
@option(
    "--fixed-frame",
    default="",
    help="Frame of tf2 that stands still (odom); without it each camera stands at the origin.",
)
@option(
    "--rate",
    type=click.FloatRange(min=0.1),
    default=5.0,
    help="Most pictures of each kind per second.",
)
@option("--cloud/--no-cloud", default=True, help="Show the points, the largest of the messages.")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of the page with --viewer web; 0 takes a free one.",
)
def view(
    node: str,
    viewer: str,
    record: Path | None,
    fixed_frame: str,
    rate: float,
    cloud: bool,
    port: int,
) -> None:
    """Show a running depth node live.

    Images, depth, sigma and points with the camera's frustum, the scale state, rates, latency and
    diagnostics in words, from any machine of the robot's network. NODE is the depth node's full
    name where there are several. Like every subscriber it makes the node compute what it shows.
    """
    if viewer == "none" and record is None:
        raise click.UsageError("--viewer none needs --record, else nothing is kept")
    for module, extra in (("rclpy", "ros"), ("rerun", "view")):
        require(module, extra)
    from depth_anything_ros.cli.support.terminal import say
    from depth_anything_ros.node.tools.live_view import ViewSettings, watch
    from depth_anything_ros.web.rerun_recorder import RerunRecorder
    from depth_anything_ros.web.rerun_viewer import RerunViewer

    with ExitStack() as stack:

        def recorder() -> RerunRecorder:
            address = None
            if viewer != "none":
                shown = stack.enter_context(RerunViewer(viewer == "web", web_port=port))
                address = shown.address
                if shown.url:
                    say(f"open {shown.url}")
            made = RerunRecorder(address, record, fixed_frame)
            stack.callback(made.close)
            return made

        watch(node, recorder, ViewSettings(rate, cloud, bool(fixed_frame)), say)


COMMANDS.register(Subcommand("view", view, 56))
