"""Whether the scale in use and that of the ground plane agree where both are there at once."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from depth_anything_ros.frames import DepthFrame, Prediction, Quality, ScaleState
from depth_anything_ros.metric.apply import to_metres
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.sources.ground import GroundPlaneSource

# Own choices. On simulated drives with the right scale the median of 14 comparisons, each with an
# embedded network's bent floor, lay between 0.98 and 1.10.
_PERIOD_NS = 1_000_000_000
_WINDOW_NS = 60_000_000_000
_COMPARISONS = 20
_FACTOR = 1.15
_AGREE = 0.8  # share of the comparisons on the same side
_SAMPLE = 16


class ScaleComparison:
    """Compares over time; one thread calls `add`, any other may read.

    Attributes:
        finding: What is wrong, as a sentence with numbers and a remedy; empty while nothing is.
        values: `scale_against_ground_plane`, the median factor between the two depths; empty while
            nothing was compared.
    """

    def __init__(self) -> None:
        self.finding = ""
        self.values: dict[str, float] = {}
        self._ground = GroundPlaneSource()
        self._compared: deque[tuple[int, float]] = deque(maxlen=_COMPARISONS)
        self._method = ""
        self._last = 0

    def add(self, answer: DepthFrame) -> None:
        """Compare the scale of an answer with that of the ground plane, about once a second.

        Args:
            answer: The answer; without a scale of another source and a known ground it says
                nothing.
        """
        stamp, state = answer.frame.stamp, answer.scale_state
        if stamp < self._last or state.method != self._method:
            self._compared.clear()
            self._method = state.method
        elif stamp - self._last < _PERIOD_NS:
            return
        self._last = stamp
        factor = self._factor(answer)
        if factor is not None:
            self._compared.append((stamp, factor))
        while self._compared and stamp - self._compared[0][0] > _WINDOW_NS:
            self._compared.popleft()
        self._judge(state)

    def _factor(self, answer: DepthFrame) -> float | None:
        """Depth by the scale in use over depth by the ground, median over the image."""
        state, prediction, frame = answer.scale_state, answer.prediction, answer.frame
        if state.quality is not Quality.GOOD or state.method == self._ground.name:
            return None
        if not math.isfinite(state.scale) or frame.ground is None or frame.camera is None:
            return None
        try:
            measured = self._ground.measure(prediction, frame)
        except UnmeasurableError:
            return None
        values = np.ascontiguousarray(prediction.values[::_SAMPLE, ::_SAMPLE])
        some = Prediction(values, prediction.kind, values.shape)
        used = to_metres(some, state.scale, state.shift)
        ground = to_metres(some, measured.scale, measured.shift)
        both = np.isfinite(used) & np.isfinite(ground) & (used > 0) & (ground > 0)
        return float(np.median(used[both] / ground[both])) if both.any() else None

    def _judge(self, state: ScaleState) -> None:
        self.finding, self.values = "", {}
        if not self._compared:
            return
        factors = np.log([factor for _, factor in self._compared])
        middle = float(np.median(factors))
        self.values = {"scale_against_ground_plane": math.exp(middle)}
        agree = float(np.mean(np.sign(factors) == np.sign(middle)))
        if len(factors) < _COMPARISONS or agree < _AGREE or abs(middle) < math.log(_FACTOR):
            return
        self.finding = (
            f"two scales disagree: by {state.method} everything is {math.exp(middle):.2f} times as "
            "far as by the ground plane; check camera_height or the height of base_frame, the "
            "camera's attitude, and pose and unit of the sensor"
        )
