"""A list of images with measured depth, as a CSV or YAML file."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.whole_file import whole_file
from depth_anything_ros.formats.yaml_text import load_yaml

_CAMERA = ("fx", "fy", "cx", "cy")
_COLUMNS = ("image", "depth", "png_scale", "sparse", *_CAMERA)
_YES_NO = {"0": False, "1": True, "false": False, "true": True}
_OTHER_NAMES = {"scale": "png_scale"}


@dataclass(frozen=True)
class DepthSample:
    """An image whose depth was measured.

    Attributes:
        image: The picture.
        depth: Metres as `.npy`, or a 16-bit PNG.
        png_scale: PNG units per metre: 1000 for millimetres, 256 for KITTI's files.
        intrinsics: (fx, fy, cx, cy) in pixels of the image, or None.
        sparse: Whether only single pixels are known (LiDAR), so that depth is never averaged.
    """

    image: Path
    depth: Path
    png_scale: float = 1000.0
    intrinsics: tuple[float, float, float, float] | None = None
    sparse: bool = False


def read_index(path: Path) -> list[DepthSample]:
    """Read an index.

    A CSV file has a header; a YAML file is a list of mappings. The names are `image` and `depth`
    (paths, relative to the index's folder), optionally `png_scale` (or `scale`), `sparse` (1 when
    only single pixels are known) and `fx`, `fy`, `cx`, `cy`.

    Args:
        path: The `.csv`, `.yaml` or `.yml` file.

    Returns:
        Its samples in order; all their files exist.

    Raises:
        InputError: The file cannot be read, or an entry is wrong; the message says which.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        entries = _csv_rows(text) if path.suffix.lower() == ".csv" else load_yaml(text)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as an index: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(
            f"{path} is not an index; it must be CSV with the header image,depth or a YAML list of "
            "mappings with image and depth"
        )
    if not entries:
        raise InputError(f"{path} lists no images")
    return [
        _sample(entry, path.parent, f"{path}, entry {number}")
        for number, entry in enumerate(entries, 1)
    ]


def write_index(path: Path, samples: Iterable[DepthSample]) -> None:
    """Write an index as CSV; one that is there is complete.

    Args:
        path: The `.csv` file.
        samples: Images and depth files in the folder of the index or below it.
    """
    with (
        whole_file(path) as part,
        part.open("w", newline="", encoding="utf-8") as stream,
    ):
        table = csv.DictWriter(stream, _COLUMNS, restval="")
        table.writeheader()
        for sample in samples:
            row: dict[str, object] = {
                "image": sample.image.relative_to(path.parent).as_posix(),
                "depth": sample.depth.relative_to(path.parent).as_posix(),
                "png_scale": f"{sample.png_scale:g}",
                "sparse": int(sample.sparse),
            }
            table.writerow(row | dict(zip(_CAMERA, sample.intrinsics or (), strict=False)))


def _csv_rows(text: str) -> list[dict[str, str]]:
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True, restkey="more columns")
    # An empty cell is like a missing name in YAML.
    return [{name: cell for name, cell in row.items() if cell} for row in rows]


def _sample(entry: Mapping[str, Any], folder: Path, where: str) -> DepthSample:
    entry = {_OTHER_NAMES.get(str(name), str(name)): value for name, value in entry.items()}
    unknown = sorted(str(name) for name in entry if name not in _COLUMNS)
    if unknown:
        raise InputError(f"{where}: {', '.join(unknown)} is not known; {', '.join(_COLUMNS)} are")
    files = []
    for name in ("image", "depth"):
        if name not in entry:
            raise InputError(f"{where} has no {name}")
        file = folder / str(entry[name])
        if not file.is_file():
            raise InputError(f"{where}: {name} {file} does not exist")
        files.append(file)
    given = [name for name in _CAMERA if name in entry]
    if given and len(given) < len(_CAMERA):
        raise InputError(f"{where} has {', '.join(given)} only; a camera is fx, fy, cx and cy")
    numbers = {
        name: _number(entry[name], name, where) for name in ("png_scale", *given) if name in entry
    }
    sparse = str(entry.get("sparse", 0)).lower()
    if sparse not in _YES_NO:
        raise InputError(f"{where}: sparse is '{sparse}'; it must be 0 or 1")
    camera = (numbers["fx"], numbers["fy"], numbers["cx"], numbers["cy"]) if given else None
    return DepthSample(
        files[0], files[1], numbers.get("png_scale", 1000.0), camera, _YES_NO[sparse]
    )


def _number(value: object, name: str, where: str) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and (number > 0 or name in ("cx", "cy"))):
        raise InputError(f"{where}: {name} is '{value}'; it must be a number above zero")
    return number
