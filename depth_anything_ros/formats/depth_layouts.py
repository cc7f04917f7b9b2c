"""Pictures and depth as published data sets lay them out, for the tools made for those."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.errors import SettingError
from depth_anything_ros.formats.depth_files import write_metric_png
from depth_anything_ros.formats.media import write_image
from depth_anything_ros.formats.whole_file import whole_file
from depth_anything_ros.frames import FloatImage, RgbImage


@dataclass(frozen=True)
class DepthLayout:
    """Where a data set has its files, and the unit of its 16-bit depth; 0 is unknown in all.

    Attributes:
        name: The word that selects it; its files are in a folder of this name.
        png_scale: Units per metre.
        image: Path of a picture; `{name}` and `{seconds}` are filled in.
        depth: Path of its depth.
        listed: Folders whose files are listed with their times in FOLDER.txt.
    """

    name: str
    png_scale: float
    image: str
    depth: str
    listed: tuple[str, ...] = ()

    @property
    def needs_time(self) -> bool:
        """Whether files are named by the time of their picture."""
        return "{seconds" in self.image


LAYOUTS = {
    layout.name: layout
    for layout in (
        # TUM RGB-D: cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats
        DepthLayout(
            "tum", 5000.0, "rgb/{seconds:.6f}.png", "depth/{seconds:.6f}.png", ("rgb", "depth")
        ),
        # KITTI depth completion and prediction, val_selection_cropped (devkit/readme.txt)
        DepthLayout("kitti", 256.0, "image/{name}.png", "groundtruth_depth/{name}.png"),
        # NYU Depth V2 as BTS and its successors read it (millimetres)
        DepthLayout("nyu", 1000.0, "rgb_{name}.jpg", "sync_depth_{name}.png"),
    )
}
"""Every layout by name."""


def write_pair(
    folder: Path, layout: str, name: str, stamp: int, rgb: RgbImage, depth_m: FloatImage
) -> list[str]:
    """Write one picture with its depth.

    Args:
        folder: Has the folder of the layout.
        layout: Name of a layout.
        name: What the picture's other results are called.
        stamp: Its time in nanoseconds.
        rgb: HxWx3 uint8.
        depth_m: HxW float32 metres, NaN where unknown.

    Returns:
        The files below `folder`.
    """
    known = LAYOUTS[layout]
    values = {"name": name, "seconds": stamp / 1e9}
    paths = [folder / layout / text.format(**values) for text in (known.image, known.depth)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    write_image(paths[0], rgb)
    with whole_file(paths[1]) as part:
        write_metric_png(part, depth_m, known.png_scale)
    return [path.relative_to(folder).as_posix() for path in paths]


def lists_of(layout: str, names: Callable[[str], list[str]]) -> dict[str, str]:
    """The lists of files with their times that a layout has (TUM's rgb.txt, depth.txt).

    Args:
        layout: Name of a layout.
        names: From a folder below that of the results to the names of its files.

    Returns:
        Text of each list, by its path below the folder of the results.
    """
    lists = {}
    for kind in LAYOUTS[layout].listed:
        stems = [name[:-4] for name in names(f"{layout}/{kind}") if name.endswith(".png")]
        lines = [f"{stem} {kind}/{stem}.png" for stem in sorted(stems, key=float)]
        text = "\n".join(["# timestamp filename", *lines]) + "\n"
        lists[f"{layout}/{kind}.txt"] = text
    return lists


def check_layout(layout: str, has_times: bool, has_metres: bool) -> None:
    """Refuse a layout for what it cannot hold.

    Args:
        layout: Name of a layout, or empty.
        has_times: Whether every input is a sequence.
        has_metres: Whether the depth is in metres.

    Raises:
        SettingError: The text says what is needed.
    """
    if not layout:
        return
    if LAYOUTS[layout].needs_time and not has_times:
        raise SettingError(
            f"--layout {layout} names files by time, which a picture alone does not have; give a "
            "video or a recording"
        )
    if not has_metres:
        raise SettingError(
            f"--layout {layout} needs metres; use a metric model or a source of metres like "
            "--points"
        )
