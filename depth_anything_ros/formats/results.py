"""The results of one image or video as files beside each other, and the JSON that owns them.

`NAME.json` lists the files that belong to it, so that what a program or a person wrote otherwise is
never replaced, and says what it was asked for, so that a run that was stopped goes on where it was.
It is written twice: before the first file with `complete: false`, and again after the last one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.whole_file import whole_file, write_whole
from depth_anything_ros.frames import DepthFrame, ScaleState

_MARK = "written_by"
_PROGRAM = "depth_anything_ros"
_HEAD_BYTES = 100
_OF_FRAME = r"_\d{6,}(_depth\.npy|_depth\.png|_sigma\.npy|_cloud\.ply)"
"""What the name of a file of one frame has after the name of its sequence."""


def named(stem: Path, ending: str) -> Path:
    """The file of a result; unlike `with_suffix`, dots in the name stay.

    Args:
        stem: Folder and name of the result.
        ending: What its file ends with, as "_depth.npy".

    Returns:
        The path.
    """
    return stem.with_name(stem.name + ending)


def write_json(path: Path, report: object, durable: bool = False) -> None:
    """Write JSON, with null for numbers that are not finite, which JSON does not have.

    Args:
        path: The file.
        report: What `json` can write.
        durable: Wait until the disk has it.
    """
    text = json.dumps(_finite(report), indent=2, allow_nan=False)
    write_whole(path, text + "\n", durable)


def read_report(stem: Path) -> dict[str, Any] | None:
    """Content of a result's JSON.

    Args:
        stem: Folder and name of the result.

    Returns:
        Its content, None where there is none or another program wrote it.
    """
    try:
        with named(stem, ".json").open("rb") as file:
            head = file.read(_HEAD_BYTES)
            return parsed_report(head + file.read()) if _is_ours(head) else None
    except OSError:
        return None


def parsed_report(content: bytes) -> dict[str, Any] | None:
    """Content of a result's JSON.

    Args:
        content: The file's bytes.

    Returns:
        Its content, None where another program wrote it.
    """
    if not _is_ours(content[:_HEAD_BYTES]):
        return None
    try:
        report: dict[str, Any] = json.loads(content)
    except ValueError:
        return None
    return report


def is_done(stem: Path, request: str) -> bool:
    """Whether a result is there, whole and of the same request.

    Args:
        stem: Folder and name of the result.
        request: What its JSON names as `request`.

    Returns:
        True where nothing is left to do.
    """
    report = read_report(stem)
    if report is None or report.get("request") != request or not report.get("complete"):
        return False
    return all((stem.parent / name).is_file() for name in report.get("files", []))


def check_replaceable(
    stem: Path, endings: Iterable[str], own: Collection[str] | None = None
) -> None:
    """Refuse to replace what is not a result of this program.

    Args:
        stem: Folder and name of the result.
        endings: Endings of the files that will be written.
        own: Names of files that may be replaced; by default those that the JSON of this result
            lists.

    Raises:
        InputError: The text names what is there.
    """
    own = own_names(stem) if own is None else own
    paths = [named(stem, ending) for ending in endings]
    foreign = [path.name for path in paths if path.exists() and path.name not in own]
    if foreign:
        raise InputError(
            f"{', '.join(foreign)} in {stem.parent} would be replaced and was not written by this "
            "program; choose another output folder, or allow it with --overwrite"
        )


def own_names(stem: Path) -> set[str]:
    """Names of the files that belong to a result that is there, its JSON among them.

    Args:
        stem: Folder and name of the result.
    """
    report = read_report(stem)
    if report is None:
        return set()
    frames = files_of_frames(stem) if report.get("every_frame") else set()
    return {named(stem, ".json").name, *report.get("files", []), *frames}


def files_of_frames(stem: Path) -> set[str]:
    """Names of the files that are there of single frames of a sequence.

    Args:
        stem: Folder and name of the sequence's result.
    """
    pattern = re.compile(re.escape(stem.name) + _OF_FRAME)
    return {path.name for path in stem.parent.iterdir() if pattern.fullmatch(path.name)}


def claim(stem: Path, files: list[str], request: str = "", every_frame: bool = False) -> None:
    """Say in the JSON of a result which files it will have, before the first one is written.

    So they are known as this program's also where it is killed in between.

    Args:
        stem: Folder and name of the result.
        files: Names of its files.
        request: What was asked for.
        every_frame: Whether files of single frames belong to it, too.
    """
    write_report(stem, files, {"every_frame": every_frame}, request, complete=False)


def write_results(
    stem: Path,
    files: Mapping[str, Callable[[Path], object]],
    report: Mapping[str, Any],
    request: str = "",
    overwrite: bool = False,
) -> list[Path]:
    """Write the files of a result and its JSON; each is whole or not there.

    Args:
        stem: Folder and name of the result; the folder is made if missing.
        files: By ending, what writes a file to a path.
        report: Content of the JSON.
        request: What was asked for, to know a result that is there already.
        overwrite: Replace files that this program did not write.

    Returns:
        The files, the JSON last.

    Raises:
        InputError: A file of another program is in the way.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    if not overwrite:
        check_replaceable(stem, (*files, ".json"))
    paths = [named(stem, ending) for ending in files]
    names = [path.name for path in paths]
    claim(stem, names, request)
    try:
        for path, write in zip(paths, files.values(), strict=True):
            with whole_file(path) as part:
                write(part)
        return [*paths, write_report(stem, names, report, request)]
    except BaseException:
        if not any(path.exists() for path in paths):
            named(stem, ".json").unlink(missing_ok=True)
        raise


def write_report(
    stem: Path,
    files: list[str],
    report: Mapping[str, Any],
    request: str = "",
    complete: bool = True,
) -> Path:
    """Write the JSON of a result whose files are there.

    Args:
        stem: Folder and name of the result.
        files: Names of its files.
        report: Further content of the JSON.
        request: What was asked for.
        complete: Whether everything that was asked for was done.

    Returns:
        The JSON.
    """
    path = named(stem, ".json")
    head = {
        _MARK: _PROGRAM,
        "complete": complete,
        "request": request,
        "files": files,
    }
    write_json(path, head | dict(report))
    return path


def add_files(stem: Path, names: Collection[str]) -> None:
    """Count further files, which are there, to a result that is whole.

    Args:
        stem: Folder and name of the result.
        names: Their paths from its folder.
    """
    report = read_report(stem) or {}
    report["files"] = [*report.get("files", []), *names]
    write_json(named(stem, ".json"), report)


def own_results(folder: Path, recursive: bool = False) -> set[Path]:
    """The files in a folder that this program wrote as results.

    Args:
        folder: The folder.
        recursive: Look into the folders below, too.

    Returns:
        Their paths, those of the JSON files among them.
    """
    found: set[Path] = set()
    for path in folder.rglob("*.json") if recursive else folder.glob("*.json"):
        stem = path.with_suffix("")
        report = read_report(stem)
        if report is not None:
            found |= {path, *(path.parent / str(name) for name in report.get("files", []))}
    return found


def describe(answer: DepthFrame, metres: bool) -> dict[str, Any]:
    """What there is to know about the depth of an image besides the depth.

    Args:
        answer: The depth.
        metres: Whether its values are metres, known or not, else the network's relative values.

    Returns:
        Values that `write_json` takes.
    """
    height, width = answer.frame.rgb.shape[:2]
    camera = answer.frame.camera
    network_height, network_width = answer.prediction.input_size
    return {
        "values": "metres" if metres else answer.prediction.kind.words.split()[-1],
        "size": {"width": width, "height": height},
        "network_size": {"height": int(network_height), "width": int(network_width)},
        "camera": None if camera is None else asdict(camera),
        "scale_state": state_report(answer.scale_state),
    }


def state_report(state: ScaleState) -> dict[str, Any]:
    """A scale state for JSON: names for enumerations."""
    return asdict(state) | {"quality": state.quality.value}


def _is_ours(head: bytes) -> bool:
    return f'"{_MARK}": "{_PROGRAM}'.encode() in head


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
