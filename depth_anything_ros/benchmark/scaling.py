"""Cost per image of every scale source, compared with one forward pass of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from depth_anything_ros.benchmark.drive import PERIOD_NS, SCALE, SHIFT, drive
from depth_anything_ros.benchmark.timing import Contender, Cost, stopwatch
from depth_anything_ros.errors import DepthAnythingError, SettingError
from depth_anything_ros.frames import Frame, Prediction, Quality
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.metric.sources.baseline import BaselineSource
from depth_anything_ros.metric.sources.fixed import FixedScaler
from depth_anything_ros.metric.sources.ground import GroundPlaneSource
from depth_anything_ros.metric.sources.motion import MotionSource
from depth_anything_ros.metric.sources.slam import SlamSource
from depth_anything_ros.metric.sources.sparse import SparseSource

METHODS: dict[str, Callable[[], MetricScaler]] = {
    "sparse, local refinement": lambda: LiveScaler([SparseSource()]),
    "sparse": lambda: LiveScaler([SparseSource()], refinement="none"),
    "ground_plane": lambda: LiveScaler([GroundPlaneSource()], refinement="none"),
    "motion": lambda: LiveScaler([MotionSource()], refinement="none"),
    "slam": lambda: LiveScaler([SlamSource()], refinement="none"),
    "baseline": lambda: LiveScaler([BaselineSource(0.1)], refinement="none"),
    "fixed": lambda: FixedScaler(SCALE, SHIFT),
}
"""Scalers for a relative network by name."""


@dataclass(frozen=True)
class Size:
    """What the cost depends on.

    Attributes:
        height: Rows of the images.
        width: Columns of the images.
        points: LiDAR points per image.
    """

    height: int = 480
    width: int = 640
    points: int = 20_000


def scaling_contenders(size: Size, methods: Sequence[str] = tuple(METHODS)) -> dict[str, Contender]:
    """The methods on the same drive, each from prediction and frame to metres.

    Args:
        size: Of images and scans.
        methods: Names in `METHODS`.

    Returns:
        Contenders for `timing.interleaved`.

    Raises:
        SettingError: A method is not known.
    """
    for method in methods:
        if method not in METHODS:
            raise SettingError(f"method is '{method}'; use one of {', '.join(METHODS)}")
    lap = drive(size.height, size.width, size.points)
    return {method: _Driver(method, lap).measure for method in methods}


class _Driver:
    """One method, measured on repeated laps of the drive."""

    def __init__(self, method: str, lap: Sequence[tuple[Prediction, Frame]]) -> None:
        self._method = method
        self._scaler = METHODS[method]()
        self._lap = lap
        self._image = 0
        for _ in lap:  # motion and SLAM need motion before they give a scale
            self._next()

    def measure(self) -> Cost:
        """Cost of the next image with a fresh scale."""
        for _ in self._lap:
            cost = self._next()
            if self._state.quality is Quality.GOOD:
                return cost
        raise DepthAnythingError(
            f"{self._method} gives no metres on the drive: {self._state.reason}"
        )

    def _next(self) -> Cost:
        prediction, frame = self._lap[self._image % len(self._lap)]
        frame = replace(frame, stamp=self._image * PERIOD_NS)  # stamps must increase
        self._image += 1

        def scale() -> None:
            self._state = self._scaler.scale(prediction, frame).state

        return stopwatch(scale)()


def network_contender(estimator: DepthEstimator, size: Size) -> Contender:
    """One image through the network.

    Args:
        estimator: The network.
        size: Of the image.

    Returns:
        A contender for `timing.interleaved`.
    """
    ((_, frame),) = drive(size.height, size.width, points=0, images=1)
    return stopwatch(lambda: estimator.estimate([frame.rgb]))
