"""`depth_anything export3d`: images with depth and poses, as a scene."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import (
    PATH,
    LateChoice,
    Subcommand,
    command,
    option,
)
from depth_anything_ros.errors import InputError, SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from depth_anything_ros.formats.posed_views import PosedView, PoseTopics

_POSES = "Images, depth and poses"


def _formats() -> Sequence[str]:
    from depth_anything_ros.formats.scene_export import SCENE_FORMATS

    return SCENE_FORMATS.names()


@command("export3d")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=PATH)
@option("--output", "-o", "folder", type=PATH, required=True, help="Folder of the scene.")
@option(
    "--format",
    "-f",
    "name",
    type=LateChoice(_formats),
    default="ply",
    help="colmap: text model with points3D; nerfstudio: transforms.json with depth maps; ply: "
    "cloud; tsdf: mesh.",
)
@option("--voxel", type=click.FloatRange(min=0.001), default=0.02, help="Edge of voxels, metres.")
@option(
    "--max-range",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    help="Metres along the optical axis; farther depth is left out.",
)
@option("--every", type=click.IntRange(min=1), default=1, help="Take every n-th image.")
@option("--image-topic", default="", heading=_POSES, help="Pictures of a recording.")
@option(
    "--depth-topic", default="", heading=_POSES, help="Depth images of the same stamps (convert)."
)
@option(
    "--odometry-topic", default="", heading=_POSES, help="nav_msgs/Odometry in place of /tf alone."
)
@option("--fixed-frame", default="", heading=_POSES, help="Frame of the scene.  [default: topmost]")
@option("--images", type=PATH, heading=_POSES, help="Pictures of a COLMAP model.")
@option(
    "--depth", "depths", type=PATH, heading=_POSES, help="Their depth: NAME_depth.npy of `run`."
)
def export3d(
    inputs: tuple[Path, ...],
    folder: Path,
    name: str,
    voxel: float,
    max_range: float,
    every: int,
    image_topic: str,
    depth_topic: str,
    odometry_topic: str,
    fixed_frame: str,
    images: Path | None,
    depths: Path | None,
) -> None:
    """Make a scene of images with metric depth and poses: to train 3D Gaussians, or a mesh.

    INPUT is a recording with depth images (`depth_anything convert` adds them) and poses (/tf, or
    odometry), or the folder of a COLMAP text model, with --images and --depth. A COLMAP model gets
    its metres from the depth of its own points.
    """
    from rich.progress import Progress

    from depth_anything_ros.cli.support.terminal import STDERR, say
    from depth_anything_ros.formats.posed_views import PoseTopics
    from depth_anything_ros.formats.scene_export import SCENE_FORMATS, SceneOptions

    folder.mkdir(parents=True, exist_ok=True)
    options = SceneOptions(voxel=voxel, max_range=max_range)
    writer = SCENE_FORMATS.get(name).make(folder, options)
    topics = PoseTopics(image_topic, depth_topic, odometry_topic, fixed_frame)
    taken: set[str] = set()
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as bar:
        row = bar.add_task("views", total=None)
        for view in _views(inputs, topics, every, images, depths):
            if view.name in taken:
                raise InputError(f"two views are called {view.name}; rename one of the inputs")
            taken.add(view.name)
            writer.add(view)
            bar.advance(row)
    if not taken:
        raise InputError("no image has depth and a pose")
    say(f"{writer.close()}; {len(taken)} views")


def _views(
    inputs: Sequence[Path],
    topics: PoseTopics,
    every: int,
    images: Path | None,
    depths: Path | None,
) -> Iterator[PosedView]:
    from depth_anything_ros.cli.support.terminal import warn
    from depth_anything_ros.formats.bags import is_recording
    from depth_anything_ros.formats.posed_views import colmap_views, recorded_views

    for path in inputs:
        if (path / "images.txt").is_file():
            if images is None or depths is None:
                raise SettingError(f"{path} is a COLMAP model: give --images and --depth, too")
            for number, view in enumerate(colmap_views(path, images, depths, warn)):
                if number % every == 0:
                    yield view
        elif path.exists() and is_recording(path):
            yield from recorded_views(path, topics, every, warn)
        else:
            raise InputError(f"{path} is neither a recording nor the folder of a COLMAP text model")


COMMANDS.register(Subcommand("export3d", export3d, 18))
