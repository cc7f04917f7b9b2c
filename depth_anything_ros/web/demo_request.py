"""What the demo page asks for: JSON of a browser -> checked settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import Plane, SparsePoints
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.ground import up_of_attitude
from depth_anything_ros.metric.selection import AUTO, NONE
from depth_anything_ros.metric.source import SCALE_SOURCES, FrameInput
from depth_anything_ros.settings import ScalerSettings

_MOST_MARKS = 1000
_FIXED = "fixed"


@dataclass(frozen=True)
class DemoRequest:
    """One picture or video, and how its depth is to be made.

    Attributes:
        file: Id of the upload or name of the example.
        model: Name of the network.
        scaler: Scaler and its settings.
        hfov: Horizontal field of view in degrees, or None.
        intrinsics: (fx, fy, cx, cy) in pixels of the picture, or None.
        points_file: Id of the uploaded points, or None.
        marks: Points that were marked in the picture with their distance, or None.
        ground: The ground, where the camera's height is known, or None.
        confidence: Whether to compute a confidence.
    """

    file: str
    model: str
    scaler: ScalerSettings
    hfov: float | None
    intrinsics: tuple[float, float, float, float] | None
    points_file: str | None
    marks: SparsePoints | None
    ground: Plane | None
    confidence: bool

    def camera(self) -> Callable[[int, int], Camera | None] | None:
        """From (width, height) of a picture to its camera; None where nothing is known."""
        if self.intrinsics is not None:
            fx, fy, cx, cy = self.intrinsics
            return lambda width, height: Camera(width, height, fx, fy, cx, cy)
        if self.hfov is not None:
            hfov = self.hfov
            return lambda width, height: Camera.from_hfov(width, height, hfov)
        return None


def offered_scalers() -> dict[str, str]:
    """Scalers that a single picture allows, with their meanings."""
    without = {FrameInput.POSE, FrameInput.SLAM}
    return {
        AUTO: "the best that what is given allows",
        **{
            each.name: each.meaning
            for each in SCALE_SOURCES
            if not each.inputs & without and each.name not in (_FIXED, "baseline")
        },
        NONE: "the network's values as they are",
    }


def parse_request(content: object) -> DemoRequest:
    """Check what a browser sent.

    Args:
        content: The JSON.

    Returns:
        The request.

    Raises:
        InputError: A sentence names the field, its value and what it should be.
    """
    if not isinstance(content, dict):
        raise InputError("the request is no JSON object")
    scaler = _text(content, "scaler", AUTO)
    if scaler not in offered_scalers():
        raise InputError(f"scaler is '{scaler}'; use one of {', '.join(offered_scalers())}")
    marks = _marks(content.get("marks"))
    intrinsics = content.get("intrinsics")
    hfov = _number(content, "hfov", 0, 180)
    if intrinsics is not None and hfov is not None:
        raise InputError("give either the field of view or the intrinsics")
    return DemoRequest(
        file=_text(content, "file"),
        model=_text(content, "model"),
        # A person marks few points, but means each of them.
        scaler=ScalerSettings(scaler, min_points=min(6, max(1, len(marks))) if marks else 6),
        hfov=hfov,
        intrinsics=None if intrinsics is None else _intrinsics(intrinsics),
        points_file=_text(content, "points_file", "") or None,
        marks=marks,
        ground=_ground(content),
        confidence=content.get("confidence") is True,
    )


def _text(content: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = content.get(name)
    value = default if value is None else value
    if not isinstance(value, str):
        raise InputError(f"'{name}' is missing or is no text")
    return value


def _number(content: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    value = content.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value < high:
        raise InputError(f"{name} is {value}; use a number between {low:g} and {high:g}")
    return float(value)


def _intrinsics(value: object) -> tuple[float, float, float, float]:
    numbers = _numbers(value, 4)
    if numbers is None or not (numbers[0] > 0 and numbers[1] > 0):
        raise InputError(f"intrinsics are {value}; use four numbers fx, fy, cx, cy in pixels")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _ground(content: Mapping[str, Any]) -> Plane | None:
    height = _number(content, "camera_height", 0, 1000)
    pitch = _number(content, "camera_pitch", -90, 90) or 0.0
    if height is None:
        return None
    x, y, z = up_of_attitude(pitch, 0.0)
    return Plane((float(x), float(y), float(z)), height)


def _marks(value: object) -> SparsePoints | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list) or len(value) > _MOST_MARKS:
        raise InputError(f"marks must be a list of at most {_MOST_MARKS} points")
    points = [_numbers(each, 3) for each in value]
    if any(each is None or not each[2] > 0 for each in points):
        raise InputError("every mark must be column, row (pixels) and a distance above 0 m")
    u, v, z = np.asarray(points, np.float64).T
    return SparsePoints(u, v, z, source="marked by hand")


def _numbers(value: object, count: int) -> list[float] | None:
    """A list of finite numbers, None where it is something else."""
    if not isinstance(value, list) or len(value) != count:
        return None
    for each in value:
        if isinstance(each, bool) or not isinstance(each, (int, float)) or not math.isfinite(each):
            return None
    return [float(each) for each in value]
