"""From a recording to the YAML files the node loads: the work behind `depth_anything calibrate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import yaml

from depth_anything_ros.api import Model
from depth_anything_ros.cli.support.terminal import STDERR, say, warn
from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.recording import Recording
from depth_anything_ros.formats.whole_file import write_whole
from depth_anything_ros.formats.yaml_text import load_yaml
from depth_anything_ros.frames import Prediction, RgbImage, SparsePoints
from depth_anything_ros.metric.apply import to_metres
from depth_anything_ros.metric.camera_mount import CameraMount, find_ground, mount_over
from depth_anything_ros.metric.fit import FitSettings, UnmeasurableError, values_at
from depth_anything_ros.metric.pooled_scale import pooled_scale
from depth_anything_ros.metric.scale_file import save_scale
from depth_anything_ros.metric.source import Measurement
from depth_anything_ros.metric.sources.sparse import measure_points

GROUND_RANGE_M = 25.0
"""How far ahead the ground is looked for: dense in a LiDAR's scan and still level (own choice)."""

_ANY_NODE = "/**"
_MOUNT = ("camera_height", "camera_pitch_deg", "camera_roll_deg")
"""Parameters of the node that say how the camera stands."""

Matrix = npt.NDArray[np.float64]
Moment = TypeVar("Moment")
Found = TypeVar("Found")


def check_ground_file(path: Path) -> None:
    """Refuse to replace a file that `calibrate_ground` cannot have written.

    Args:
        path: Where it will write to.

    Raises:
        InputError: There is a file with something else in it.
    """
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return
    try:
        parameters = load_yaml(path.read_text(encoding="utf-8"))[_ANY_NODE]["ros__parameters"]
        foreign = set(parameters) - {"scaler", *_MOUNT}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _not_replaced(path, f"has no parameters of {_ANY_NODE}") from error
    if foreign:
        raise _not_replaced(path, f"has {', '.join(sorted(map(str, foreign)))} in it")


def each_nth(items: Iterable[Moment], n: int) -> Iterator[Moment]:
    """Each n-th of some items, counted on the terminal.

    Args:
        items: Items.
        n: Which to take.

    Yields:
        The first and every n-th after it.
    """
    with STDERR.status("reading") as status:
        for number, item in enumerate(items):
            if number % n == 0:
                status.update(f"cloud {number + 1}")
                yield item


def calibrate_scale(
    recording: Recording, model: Model, fit: FitSettings, output: Path, every: int = 1
) -> None:
    """Write the scale and shift that a recording's points give a network.

    Args:
        recording: Images with points in them.
        model: The network.
        fit: How scale and shift are fitted in each frame.
        output: The scale file, for scaler fixed.
        every: Each n-th cloud is used.

    Raises:
        InputError: The recording cannot be read or gives no scale, or the file cannot be written.
    """
    kind = model.estimator.kind
    values: list[Matrix] = []

    def measure(view: tuple[RgbImage, SparsePoints]) -> Measurement:
        rgb, points = view
        (prediction,) = model.estimator.estimate([rgb])
        found = measure_points(prediction, points, fit, "sparse")
        assert found.points is not None
        values.append(values_at(prediction.values, found.points))
        return found

    measured, frames = _each(each_nth(recording.pairs(), every), measure, "scale")
    low, high = np.median([np.percentile(part, (10, 90)) for part in values], axis=0)
    pooled = pooled_scale(measured, (float(low), float(high)), kind)
    save_scale(pooled, output)

    seen = np.concatenate(values).astype(np.float32)[None]
    depth = to_metres(Prediction(seen, kind, (1, 1)), pooled.scale, pooled.shift)[0]
    truth = np.concatenate([each.points.z for each in measured if each.points is not None])
    off = float(np.nanmedian(np.abs(depth / truth - 1)))
    say(
        f"{output}: scale {pooled.scale:.6g}, shift {pooled.shift:.6g} for "
        f"{model.info.name} from {len(measured)} of {frames} frames; half of their points are "
        f"within {off:.1%}. Node parameters: scaler fixed, scale_file {output}"
    )


def calibrate_ground(recording: Recording, output: Path, every: int = 1) -> None:
    """Write how the camera stands over the ground that a recording's LiDAR sees.

    Args:
        recording: Clouds, and where the camera is.
        output: The node's parameter file, for scaler ground_plane.
        every: Each n-th cloud is used.

    Raises:
        InputError: The recording cannot be read or shows no ground, or the file cannot be written.
    """

    def mount(points: Matrix) -> CameraMount:
        ahead = (points[:, 2] > 0) & (points[:, 2] < GROUND_RANGE_M)
        return mount_over(find_ground(points[ahead]))

    mounts, frames = _each(each_nth(recording.scans(), every), mount, "ground")
    numbers = [(each.height, each.pitch_deg, each.roll_deg) for each in mounts]
    height, pitch, roll = (float(value) for value in np.median(numbers, axis=0))
    height_span, pitch_span, roll_span = np.ptp(numbers, axis=0)
    numbers_of_node = (round(height, 4), round(pitch, 3), round(roll, 3))
    parameters = {"scaler": "ground_plane", **dict(zip(_MOUNT, numbers_of_node, strict=True))}
    _write_parameters(parameters, output)
    say(
        f"{output}: height {height:.3f} m, pitch {pitch:.2f} and roll {roll:.2f} degrees from "
        f"{len(mounts)} of {frames} clouds, among which they differ by up to {height_span:.3f} m, "
        f"{pitch_span:.2f} and {roll_span:.2f} degrees. The node takes it as --params-file"
    )


def _each(
    moments: Iterable[Moment], measure: Callable[[Moment], Found], what: str
) -> tuple[list[Found], int]:
    """What is measured in each moment of a recording that gives something, and their number."""
    found, frames, reason = [], 0, "no image and cloud lie near each other in time"
    for moment in moments:
        frames += 1
        try:
            found.append(measure(moment))
        except UnmeasurableError as error:
            reason = str(error)
    if not found:
        raise InputError(f"no {what} was found in {frames} moments of the recording: {reason}")
    if len(found) < frames:
        warn(f"no {what} in {frames - len(found)} of {frames} moments, at last because: {reason}")
    return found, frames


def _not_replaced(path: Path, why: str) -> InputError:
    return InputError(
        f"{path} exists and {why}, so it is not replaced; choose another file or move it away"
    )


def _write_parameters(parameters: dict[str, Any], path: Path) -> None:
    """Write a ROS 2 parameter file for any node name and namespace."""
    text = yaml.safe_dump({_ANY_NODE: {"ros__parameters": parameters}}, sort_keys=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text, durable=True)
    except OSError as error:
        raise InputError(f"cannot write the parameters {path}: {error.strerror}") from error
