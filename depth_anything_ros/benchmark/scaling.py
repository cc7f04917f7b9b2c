"""Cost per image of every scale source, compared with one forward pass of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from depth_anything_ros.benchmark.drive import PERIOD_NS, SCALE, SHIFT, drive
from depth_anything_ros.benchmark.timing import Contender, Cost, stopwatch
from depth_anything_ros.errors import DepthAnythingError, SettingError
from depth_anything_ros.frames import Frame, Prediction, PredictionKind, Quality
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.metric.selection import make_scaler
from depth_anything_ros.metric.source import SCALE_SOURCES
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings

LOCAL_REFINEMENT = ", local refinement"
"""Ending of the name of a method whose depth follows the measured points locally."""

_NETWORK = ModelInfo("drive", "vits", "v2", PredictionKind.RELATIVE_DISPARITY)
_SETTINGS = ScalerSettings(scale=SCALE, shift=SHIFT, baseline=0.1, refinement="none")


def methods() -> dict[str, ScalerSettings]:
    """Settings of every scale source that takes a relative network, by name of the method."""
    found = {}
    for record in SCALE_SOURCES:
        settings = replace(_SETTINGS, scaler=record.name)
        if record.why_not(settings, _NETWORK) is not None:
            continue
        found[record.name] = settings
        if "refinement" in record.settings:
            found[record.name + LOCAL_REFINEMENT] = replace(settings, refinement="local")
    return found


def method_scaler(method: str) -> MetricScaler:
    """A new scaler of a method.

    Args:
        method: A key of `methods`.

    Returns:
        The scaler.

    Raises:
        SettingError: The method is not known.
    """
    known = methods()
    if method not in known:
        raise SettingError(f"method is '{method}'; use one of {', '.join(known)}")
    return make_scaler(known[method], _NETWORK)


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


def scaling_contenders(size: Size, names: Sequence[str]) -> dict[str, Contender]:
    """The methods on the same drive, each from prediction and frame to metres.

    Args:
        size: Of images and scans.
        names: Keys of `methods`.

    Returns:
        Contenders for `timing.interleaved`.

    Raises:
        SettingError: A method is not known.
    """
    scalers = {name: method_scaler(name) for name in names}
    lap = drive(size.height, size.width, size.points)
    return {name: _Driver(name, scaler, lap).measure for name, scaler in scalers.items()}


class _Driver:
    """One method, measured on repeated laps of the drive."""

    def __init__(
        self, method: str, scaler: MetricScaler, lap: Sequence[tuple[Prediction, Frame]]
    ) -> None:
        self._method = method
        self._scaler = scaler
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
