"""The work behind `depth_anything calibrate BAG --extrinsics`: where the LiDAR stands in truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import yaml

from depth_anything_ros.cli.support.terminal import STDERR, say, warn
from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.extrinsics import position_and_quaternion
from depth_anything_ros.formats.recording import Recording, chained
from depth_anything_ros.formats.whole_file import write_whole
from depth_anything_ros.formats.yaml_text import load_yaml
from depth_anything_ros.metric.alignment import Alignment, estimate_alignment
from depth_anything_ros.metric.alignment_moment import Moment
from depth_anything_ros.metric.alignment_monitor import known_numbers, moment_between

_MOST_MOMENTS = 150
_APART_NS = 200_000_000
_ROUNDS = 3
_ENOUGH_DEG = 0.05  # a round that turns the LiDAR by less is the last one
_AXES = ("pitch", "yaw", "roll")
_MARK = "child_frame_id"

Matrix = npt.NDArray[np.float64]
Reopen = Callable[[Matrix | None], Recording]


def check_extrinsics_file(path: Path) -> None:
    """Refuse to replace a file that `calibrate_extrinsics` cannot have written.

    Args:
        path: Where it will write to.

    Raises:
        InputError: There is a file with something else in it.
    """
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return
    try:
        known = {"extrinsics", _MARK} <= set(load_yaml(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        known = False
    if not known:
        raise InputError(
            f"{path} exists and has no extrinsics of a frame, so it is not replaced; choose "
            "another file or move it away"
        )


def calibrate_extrinsics(reopen: Reopen, given: Matrix | None, output: Path, every: int) -> None:
    """Turn the LiDAR of a recording until its jumps of depth lie on edges of the images.

    Its position stays: edges do not tell it well enough.

    Args:
        reopen: Opens the recording with the LiDAR's pose (LiDAR -> optical frame), None for the
            recording's own.
        given: The pose the user gives, or None.
        output: The YAML file.
        every: Each n-th cloud is used.

    Raises:
        InputError: The recording cannot be read or tells nothing, or the file cannot be written.
    """
    with reopen(given) as recording:
        child, pose = recording.points_pose()
        optical = recording.optical_frame
        parent = optical
        to_parent = np.eye(4)
        mounted = [each.parent for each in recording.transforms if each.child == child]
        if given is None and mounted and mounted[0] != optical:
            parent = mounted[0]
            to_parent = chained(recording.transforms, parent, optical)
    turned = np.eye(4)
    found = known = None
    for _ in range(_ROUNDS):
        with reopen(turned @ pose) as recording:
            moments = _moments(recording, every)
        found = estimate_alignment(moments)
        if found is None:
            raise InputError(
                f"{len(moments)} clouds with images do not tell how the LiDAR stands: record a "
                "drive of half a minute with turns, past things with edges, with 5 images a "
                "second or more"
            )
        known = known_numbers(found)
        step = replace(found, turn_deg=np.where(known[:3], found.turn_deg, 0.0))
        turned = step.matrix() @ turned
        if np.abs(step.turn_deg).max() < _ENOUGH_DEG:
            break
    assert found is not None and known is not None
    refined = turned @ pose
    _write(output, refined, (parent, child, to_parent @ refined))
    _report(output, turned, found, known, len(moments))


def _moments(recording: Recording, every: int) -> list[Moment]:
    """Of the frames with clouds, evenly over the recording."""
    moments: list[Moment] = []
    before, clouds, last, stride = None, 0, 0, 1
    with STDERR.status("reading") as status:
        for frame in recording.frames():
            if frame.points is not None:
                clouds += 1
                status.update(f"cloud {clouds}")
                apart = abs(frame.stamp - last) >= stride * _APART_NS
                if (clouds - 1) % every == 0 and apart:
                    moment = moment_between(before, frame)
                    if moment is not None:
                        moments.append(moment)
                        last = frame.stamp
            before = frame
            if len(moments) > _MOST_MOMENTS:  # a long one: half of them, over twice the time
                moments, stride = moments[::2], 2 * stride
    return moments


def _write(path: Path, refined: Matrix, mount: tuple[str, str, Matrix]) -> None:
    parent, child, matrix = mount
    content: dict[str, Any] = {
        "extrinsics": [round(float(each), 6) for each in position_and_quaternion(refined)],
        "frame_id": parent,
        _MARK: child,
        "transform": [round(float(each), 6) for each in position_and_quaternion(matrix)],
        "static_transform_publisher": _arguments(parent, child, matrix),
    }
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=1000)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text, durable=True)
    except OSError as error:
        raise InputError(f"cannot write the extrinsics {path}: {error.strerror}") from error


def _arguments(parent: str, child: str, matrix: Matrix) -> str:
    """Arguments of tf2_ros's static_transform_publisher."""
    names = ("x", "y", "z", "qx", "qy", "qz", "qw")
    numbers = position_and_quaternion(matrix)
    pose = " ".join(f"--{name} {each:.6f}" for name, each in zip(names, numbers, strict=True))
    return f"{pose} --frame-id {parent} --child-frame-id {child}"


def _report(
    path: Path, turned: Matrix, found: Alignment, known: npt.NDArray[np.bool_], moments: int
) -> None:
    turn = np.degrees(np.asarray(cv2.Rodrigues(turned[:3, :3])[0]).ravel())
    parts = [
        f"{name} {degrees:+.2f} +- {sigma:.2f}" if sure else f"{name} not known"
        for name, degrees, sigma, sure in zip(
            _AXES, turn, found.turn_sigma_deg, known[:3], strict=True
        )
    ]
    say(
        f"{path}: the LiDAR turned by {', '.join(parts)} degrees (up, right and clockwise in the "
        f"image are positive) from {moments} clouds; sensor_extrinsics and --extrinsics take it, "
        "and ros2 run tf2_ros static_transform_publisher its last line"
    )
    if not known[:3].all():
        warn("what is not known stays as it was: the recording has too few edges or no turns")
    if known[3] and abs(found.late_s) > max(3 * found.late_sigma_s, 0.01):
        way = "older" if found.late_s > 0 else "newer"
        warn(
            f"the points are {abs(1000 * found.late_s):.0f} +- {1000 * found.late_sigma_s:.0f} ms "
            f"{way} than their stamps say; no pose mends that, check the driver's time stamps"
        )
