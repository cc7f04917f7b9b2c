"""Whether measured points fit the image: how far their sensor is turned, how late they are.

It says so and corrects nothing. What it cannot tell (a robot that stands, or turns at one rate all
the time; a view without edges) it leaves open.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, Frame
from depth_anything_ros.geometry.camera import Camera, rays_of_pixels
from depth_anything_ros.metric.alignment import Alignment, estimate_alignment
from depth_anything_ros.metric.alignment_moment import CameraMotion, Moment, moment_of

# Own choices; simulated drives without an error stay below them.
_PERIOD_NS, _LATER_PERIOD_NS = 200_000_000, 500_000_000
_MOMENTS = 60
_FIRST, _THEN, _LATER = 20, 8, 30  # moments before an estimate: first, until full, then,
_SUSPECTING, _LATER_SUSPECTING = 5, 15  # and after one that is to be confirmed
_LONGEST_STEP_NS = 500_000_000  # between two frames whose difference is a speed
_TURN_DEG, _LATE_S = (0.35, 0.35, 0.5), 0.02  # what is worth saying
_KNOWN_TURN_DEG, _KNOWN_LATE_S = 0.35, 0.015  # sigma from which on a number is a guess
_SURE = 3.0  # sigma
_STAYS = 0.8  # of what is worth saying: as long as it is so much, what was said is said
_OLDEST_S = 0.2  # what looks older than that is turned
_AS_LIKELY = 2.0  # sigma of the age within which yaw may be age alone
_CANCELLED = 0.5  # share of yaw that is left of it at the usual turning rate
_SURER = 6.0  # sigma by which yaw and age must be known then
_CERTAIN, _CERTAIN_LATE_S = 2.0, 0.01  # times what is worth saying, and sigma: said at once
_THUMBNAIL = (40, 30)
_MOVED_GREY = 2.0  # change of a fifth of the thumbnail from which on the view is another one
_MOVED_M, _MOVED_DEG = 0.05, 0.5
_CORNERS, _FEWEST_CORNERS = 150, 15
_FLOW_WIDTH = 320
_FLOW_PX = 1.5  # median distance from a rotation's flow up to which it is one

Grey = npt.NDArray[np.uint8]

_WAYS = (("up", "down"), ("right", "left"), ("clockwise", "counterclockwise"))
_NUMBERS = (
    ("pitch", "deg", 1),
    ("yaw", "deg", 1),
    ("roll", "deg", 1),
    ("late", "ms", 1000),
    ("apparent_yaw", "deg", 1),
)


@dataclass(frozen=True)
class _View:
    """What tells one moment's view from another one's."""

    pose: FloatArray | None
    thumbnail: Grey


class AlignmentMonitor:
    """Collects frames and estimates now and then; one thread calls `add`, any may read.

    Attributes:
        alignment: The newest estimate, None before the first and where nothing can be told.
        finding: What is wrong, as a sentence with numbers and a remedy; empty while nothing is.
        values: What is known, by name: `alignment_pitch_deg`, `alignment_yaw_deg`,
            `alignment_roll_deg`, `alignment_late_ms`, each with `..._sigma_...` beside it; where
            yaw and age cannot be told apart `alignment_apparent_yaw_deg`.
    """

    def __init__(self) -> None:
        self.alignment: Alignment | None = None
        self.finding = ""
        self.values: dict[str, float] = {}
        self._previous: Frame | None = None
        self._newest: _View | None = None
        self._moments: deque[Moment] = deque(maxlen=_MOMENTS)
        self._last = 0
        self._new = 0
        self._estimated = False
        self._suspected = np.zeros(5)
        self._undecided = False
        self._said = np.zeros(5)
        self._said_rate = 0.0

    def add(self, frame: Frame) -> None:
        """Take in a frame; every few seconds of driving this estimates.

        Args:
            frame: The frame; without points and camera it says nothing.
        """
        before, self._previous = self._previous, frame
        if before is not None and (frame.stamp < before.stamp or frame.camera != before.camera):
            self._start_over()
        points, camera = frame.points, frame.camera
        settled = len(self._moments) == _MOMENTS
        period = _LATER_PERIOD_NS if settled else _PERIOD_NS
        if points is None or camera is None or frame.stamp - self._last < period:
            return
        small = cv2.resize(frame.rgb, _THUMBNAIL, interpolation=cv2.INTER_AREA)
        thumbnail = np.asarray(small, np.uint8)
        if self._newest is not None and not _has_moved(self._newest, frame, thumbnail):
            return
        moment = moment_between(before, frame)
        if moment is None:
            return
        self._last = frame.stamp
        self._newest = _View(frame.pose, thumbnail)
        self._moments.append(moment)
        self._new += 1
        then = _SUSPECTING if self._undecided else _THEN
        later = _LATER_SUSPECTING if self._undecided else _LATER
        if self._new >= (later if settled else then if self._estimated else _FIRST):
            self._new = 0
            self._estimated = True
            self._judge(estimate_alignment(self._moments), points.source)

    def _start_over(self) -> None:
        self._moments.clear()
        self._newest = None
        self._last = self._new = 0
        self._estimated = False
        self._said = np.zeros(5)
        self.finding = ""
        self._judge(None, "")

    def _judge(self, found: Alignment | None, source: str) -> None:
        """Say what two estimates in a row say, or one of them clearly, until one knows better."""
        self.alignment = found
        self._undecided = False
        if found is None:
            self.values, self._suspected = {}, np.zeros(5)
            return
        off = np.array([*found.turn_deg, found.late_s, found.apparent_yaw_deg])
        sigma = np.array([*found.turn_sigma_deg, found.late_sigma_s, found.apparent_yaw_sigma_deg])
        known = known_numbers(found)
        told_apart = bool(known[1] or known[3])
        known = np.append(known, not told_apart and sigma[4] < _KNOWN_TURN_DEG)
        least = np.array([*_TURN_DEG, _LATE_S, _TURN_DEG[1]])
        most = np.maximum(least, _SURE * sigma)
        suspected = np.where(known & (np.abs(off) > most), np.sign(off), 0.0)
        again = (suspected != 0) & (suspected == self._suspected)
        certain = sigma < np.array([*[_KNOWN_TURN_DEG] * 3, _CERTAIN_LATE_S, _KNOWN_TURN_DEG])
        confirmed = again | (known & certain & (np.abs(off) > _CERTAIN * most))
        self._suspected = suspected
        self._undecided = bool(((suspected != 0) & ~confirmed).any())
        stays = (np.sign(off) == np.sign(self._said)) & (np.abs(off) > _STAYS * least)
        self._said = np.where(known, np.where(confirmed | stays, off, 0.0), self._said)
        if confirmed[4]:
            self._said_rate = found.rate_deg_s if may_be_age_alone(found) else 0.0
        if told_apart or self._said[1] or self._said[3]:  # said already, and better
            self._said[4] = 0.0
        self.values = _values(off, sigma, known)
        self.finding = describe(self._said, self._said_rate, source)


def _values(off: FloatArray, sigma: FloatArray, known: npt.NDArray[np.bool_]) -> dict[str, float]:
    """What is known, by name, in degrees and milliseconds."""
    return {
        f"alignment_{name}{of_sigma}_{unit}": float(factor * value)
        for (name, unit, factor), number, deviation, told in zip(
            _NUMBERS, off, sigma, known, strict=True
        )
        if told
        for of_sigma, value in (("", number), ("_sigma", deviation))
    }


def _has_moved(seen: _View, frame: Frame, thumbnail: Grey) -> bool:
    """Whether the view is another one: a robot that stands sees the same edges again and again."""
    if seen.pose is not None and frame.pose is not None:
        step = np.linalg.inv(seen.pose) @ frame.pose
        turned = float(np.linalg.norm(cv2.Rodrigues(step[:3, :3])[0]))
        return bool(np.linalg.norm(step[:3, 3]) > _MOVED_M or turned > math.radians(_MOVED_DEG))
    change = np.abs(thumbnail.astype(np.int16) - seen.thumbnail)
    return bool(np.quantile(change, 0.8) > _MOVED_GREY)


def describe(said: FloatArray, rate_deg_s: float, source: str) -> str:
    """Put numbers of an alignment into a sentence.

    Args:
        said: 5 float64: degrees up, right and clockwise, seconds late, and degrees to the right
            where yaw and age cannot be told apart; 0 where nothing is to be said.
        rate_deg_s: Degrees by which points look turned to the right per second of age; 0 where age
            alone does not explain it.
        source: Name of the points.

    Returns:
        The sentence with a remedy, empty where nothing is to be said.
    """
    parts, remedies = [], []
    turns = [
        _turned(degrees, ways) for degrees, ways in zip(said[:3], _WAYS, strict=True) if degrees
    ]
    if turns:
        parts.append(f"its sensor seems turned {' and '.join(turns)} of what its pose says")
    if said[3]:
        parts.append(f"they are {_late(said[3])}")
    if said[4]:
        part = f"its sensor seems turned {_turned(said[4], _WAYS[1])} of what its pose says"
        if rate_deg_s:
            part += f", or they are {_late(said[4] / rate_deg_s)}"
            remedies.append("turn both ways to tell them apart")
        parts.append(part)
    if turns or said[4]:
        remedies.append(
            "check its pose in tf2 or sensor_extrinsics (depth_anything calibrate --extrinsics "
            "measures it)"
        )
    if said[3] or said[4]:
        remedies.append("check the driver's time stamps and the clocks")
    if not parts:
        return ""
    return f"points of {source} do not fit the image: {' and '.join(parts)}; " + " and ".join(
        remedies
    )


def _turned(degrees: float, ways: tuple[str, str]) -> str:
    return f"{abs(degrees):.1f} degrees {ways[0] if degrees > 0 else ways[1]}"


def _late(seconds: float) -> str:
    way = "late: older" if seconds > 0 else "early: newer"
    return f"{abs(1000 * seconds):.0f} ms too {way} than their stamps say"


def moment_between(before: Frame | None, frame: Frame) -> Moment | None:
    """What a frame says of the alignment of its points.

    Args:
        before: The frame before, which tells how the camera moves.
        frame: The frame.

    Returns:
        What it says; None without points, camera or a known motion: points that are late could
        not be told from turned ones.
    """
    if frame.points is None or frame.camera is None:
        return None
    motion = camera_motion(before, frame)
    if motion is None:
        return None
    return moment_of(frame.rgb, frame.camera, frame.points, motion, frame.stamp)


def known_numbers(found: Alignment) -> npt.NDArray[np.bool_]:
    """What of an alignment is more than a guess.

    Args:
        found: The alignment.

    Returns:
        4 bool: up, right, clockwise and late.
    """
    sigma = np.array([*found.turn_sigma_deg, found.late_sigma_s])
    known = sigma < np.array([*[_KNOWN_TURN_DEG] * 3, _KNOWN_LATE_S])
    off = np.array([*found.turn_deg, found.late_s])
    if abs(off[1]) > max(_TURN_DEG[1], abs(found.apparent_yaw_deg) / _CANCELLED):
        # Rather mistaken for each other than both there.
        known[[1, 3]] &= (np.abs(off) > _SURER * sigma)[[1, 3]]
    return known


def may_be_age_alone(found: Alignment) -> bool:
    """Whether what looks like yaw may be age and nothing else: a plausible one that fits, too."""
    if abs(found.apparent_yaw_deg) >= _OLDEST_S * abs(found.rate_deg_s):
        return False
    age = found.apparent_yaw_deg / found.rate_deg_s
    return abs(age - found.late_s) < _AS_LIKELY * found.late_sigma_s


def camera_motion(before: Frame | None, frame: Frame) -> CameraMotion | None:
    """How a camera moves between two frames: from their poses, else from the images.

    Args:
        before: The frame before, None at the start.
        frame: The frame.

    Returns:
        The motion, without velocity where only the images tell; None where it is not known.
    """
    if before is None or not 0 < frame.stamp - before.stamp < _LONGEST_STEP_NS:
        return None
    seconds = (frame.stamp - before.stamp) * 1e-9
    if before.pose is not None and frame.pose is not None:
        step = np.linalg.inv(before.pose) @ frame.pose
        turned = np.asarray(cv2.Rodrigues(step[:3, :3])[0], np.float64).ravel()
        return CameraMotion(step[:3, 3] / seconds, turned / seconds)
    if frame.camera is None or before.rgb.shape != frame.rgb.shape:
        return None
    turned_by = _rotation_between(_grey(before), _grey(frame), frame.camera)
    return None if turned_by is None else CameraMotion(np.zeros(3), turned_by / seconds)


def _grey(frame: Frame) -> Grey:
    height = max(8, round(frame.rgb.shape[0] * _FLOW_WIDTH / frame.rgb.shape[1]))
    small = cv2.resize(frame.rgb, (_FLOW_WIDTH, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def _rotation_between(before: Grey, now: Grey, camera: Camera) -> FloatArray | None:
    """Rotation vector of the camera in rad from corners; what it drives moves them to all sides."""
    corners = cv2.goodFeaturesToTrack(before, _CORNERS, 0.003, 8)
    if corners is None or len(corners) < _FEWEST_CORNERS:
        return None
    moved, status, _ = cv2.calcOpticalFlowPyrLK(before, now, corners, corners.copy())
    tracked = np.asarray(status).ravel() > 0
    if np.count_nonzero(tracked) < _FEWEST_CORNERS:
        return None
    small = camera.resized(before.shape[1], before.shape[0])
    first, second = (np.asarray(each, np.float64)[tracked, 0] for each in (corners, moved))
    x, y = rays_of_pixels(small, first[:, 0], first[:, 1])
    to_x, to_y = rays_of_pixels(small, second[:, 0], second[:, 1])
    # Points of a still world turn against the camera.
    model = np.stack(
        [
            np.stack([x * y, -(1 + x * x), y], axis=1),
            np.stack([1 + y * y, -x * y, -x], axis=1),
        ],
        axis=1,
    )
    flow = np.stack([to_x - x, to_y - y], axis=1)
    known = np.isfinite(flow).all(axis=1)
    model, flow = model[known], flow[known]
    if len(flow) < _FEWEST_CORNERS:
        return None
    weight: FloatArray = np.ones(len(flow))
    for _ in range(5):
        rows = (model * weight[:, None, None]).reshape(-1, 3)
        solved = np.linalg.lstsq(rows, (flow * weight[:, None]).ravel(), rcond=None)[0]
        turn = np.asarray(solved, np.float64)
        off = np.linalg.norm(flow - model @ turn, axis=1)
        weight = np.sqrt(1 / (1 + (off / (np.median(off) + 1e-6)) ** 2))
    if float(np.median(off)) * small.fx > _FLOW_PX:
        return None
    return turn
