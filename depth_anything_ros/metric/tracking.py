"""A filter of scale and shift over time, with their age."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import PredictionKind, Quality, ScaleState
from depth_anything_ros.metric.scale_file import SavedScale
from depth_anything_ros.metric.source import Measurement

_MUCH = 0.25
"""A share of depth: a pixel off by more does not count as right in delta1 (Eigen et al. 2014)."""
_LONGEST = 7.0  # exp of it is a factor of a thousand


@dataclass(frozen=True)
class TrackingSettings:
    """How a scale is followed; a relative change is a change of depth everywhere.

    Attributes:
        noise: Standard deviation of one measurement, relative.
        drift: How fast the true scale wanders, relative per square root of a second.
        gate: Standard deviations from which on a measurement is treated as an outlier.
        patience: Outliers in a row that agree with each other before they are accepted.
        max_age: Seconds after which an old scale is INVALID (`scale_max_age`); infinite means the
            last scale is held for ever (`on_invalid: hold`).
        handover: Seconds over which the change to another method is spread.
    """

    noise: float = 0.05
    drift: float = 0.03
    gate: float = 3.0
    patience: int = 3
    max_age: float = 2.0
    handover: float = 1.0

    def __post_init__(self) -> None:
        """Refuse settings that cannot work.

        Raises:
            SettingError: A number is out of its range.
        """
        for name in ("noise", "gate", "max_age"):
            if not getattr(self, name) > 0:
                raise SettingError(f"{name} is {getattr(self, name):g}; it must be above 0")
        for name in ("drift", "handover"):
            if not getattr(self, name) >= 0:
                raise SettingError(f"{name} is {getattr(self, name):g}; it must not be negative")
        if self.patience < 1:
            raise SettingError(f"patience is {self.patience}; it must be at least 1")


@dataclass(frozen=True)
class _Line:
    """Scale and shift as the filter sees them."""

    log_scale: float
    shift: float

    def mixed(self, other: _Line, share: float) -> _Line:
        return _Line(
            self.log_scale + share * (other.log_scale - self.log_scale),
            self.shift + share * (other.shift - self.shift),
        )


class ScaleTracker:
    """A filter on (log scale, shift) with innovation gating.

    A scalar Kalman filter (random walk) whose variance is that of log depth; one gain moves both
    numbers. Whether a measurement fits is judged by what it does to the depths of the image at
    hand, because scale and shift trade off against each other. A measurement that does not fit is
    doubted; several in a row that agree with each other are a true change and are accepted at once.

    Args:
        settings: How to follow.
    """

    def __init__(self, settings: TrackingSettings | None = None) -> None:
        self.settings = settings or TrackingSettings()
        self.reset()

    def reset(self) -> None:
        """Reset the scale, and unfreeze."""
        self._line: _Line | None = None
        self._variance = 0.0
        self._kind = PredictionKind.RELATIVE_DISPARITY
        self._measured = 0  # stamp of the measurement behind the line
        self._seen = 0  # stamp of the last frame
        self._last: Measurement | None = None
        self._doubted: list[_Line] = []
        self._handover: tuple[_Line, int] | None = None
        self._handed_over = 1.0
        self._doubted_change = 0.0
        self._shown: _Line | None = None
        self._frozen = False

    @property
    def frozen(self) -> bool:
        """Whether measurements are ignored."""
        return self._frozen

    @property
    def handed_over(self) -> float:
        """How far the change to another method has gone: 0 at its start, 1 when it is done."""
        return self._handed_over

    @property
    def deviation(self) -> float:
        """Relative standard deviation of the depths that the present scale gives."""
        return math.sqrt(self._variance)

    @property
    def is_unsettled(self) -> bool:
        """Whether the last frame's measurement is doubted and would change depth much.

        Then either it or the held scale is far off. A scale held for ever is held then, too.
        """
        return self._doubted_change > _MUCH and math.isfinite(self.settings.max_age)

    def freeze(self, on: bool = True) -> None:
        """Keep the present scale whatever is measured, or follow measurements again.

        Args:
            on: Whether to freeze.

        Raises:
            InputError: There is no scale yet that could be frozen.
        """
        if on and self._line is None:
            raise InputError("no scale has been measured yet; there is nothing to freeze")
        if on:
            self._refuse_rescaled()
        if on and self._shown is not None:
            self._line, self._handover = self._shown, None
        self._frozen = on

    def saved(self) -> SavedScale:
        """The present scale as something to save.

        Returns:
            What a scale file keeps.

        Raises:
            InputError: There is no scale yet.
        """
        line = self._shown or self._line
        if line is None:
            raise InputError("no scale has been measured yet; there is nothing to save")
        self._refuse_rescaled()
        method = self._last.method if self._last else "fixed"
        return SavedScale(self._kind, math.exp(line.log_scale), line.shift, method)

    def load(self, saved: SavedScale) -> None:
        """Take a saved scale and freeze it; `freeze(False)` lets measurements move it.

        Args:
            saved: The scale and the kind of network it belongs to.
        """
        self.reset()
        self._line = _Line(math.log(saved.scale), saved.shift)
        self._variance = self.settings.noise**2
        self._kind = saved.kind
        self._last = Measurement(saved.method, "loaded from a file", saved.scale, saved.shift)
        self._frozen = True

    def _refuse_rescaled(self) -> None:
        if self._kind.rescaled:
            raise InputError(
                "the unit of a network that sees several views changes from image to image; there "
                "is no scale to keep (use window 1)"
            )

    def follow(
        self,
        stamp: int,
        kind: PredictionKind,
        values: npt.NDArray[Any],
        measured: Measurement | str,
        method: str,
    ) -> ScaleState:
        """Take in one frame.

        Args:
            stamp: Time of the frame in nanoseconds, not before the last one's.
            kind: Kind of the network's values.
            values: The network's values, or a sample of them.
            measured: The measurement of this frame, or why there is none.
            method: Name to report while there is nothing else to name.

        Returns:
            The scale to use for this frame.
        """
        if self._line is not None and kind is not self._kind:
            reason = f"the scale is for {self._kind.value}, the network gives {kind.value}"
            if self._frozen:
                return ScaleState(method, Quality.INVALID, reason)
            self.reset()
        self._doubted_change = 0.0
        elapsed = (stamp - self._seen) / 1e9 if self._seen else 0.0
        self._variance += self.settings.drift**2 * max(elapsed, 0.0)
        self._seen = stamp
        self._measured = self._measured or stamp
        if kind.rescaled:
            return self._own_of_image(stamp, kind, measured, method)
        if self._frozen:
            return self._state(stamp, Quality.GOOD, "frozen by the user")
        self._kind = kind
        if isinstance(measured, str):
            reason = measured
        else:
            reason = self._take(stamp, kind, values, measured)
            if not reason:
                return self._state(stamp, Quality.GOOD, measured.reason)
        if self._line is None:
            return ScaleState(method, Quality.INVALID, reason)
        age = (stamp - self._measured) / 1e9
        if age > self.settings.max_age:
            return replace(
                self._state(stamp, Quality.INVALID, f"{reason}; the last scale is too old"),
                scale=math.nan,
                shift=math.nan,
            )
        return self._state(stamp, Quality.HELD, reason)

    def _own_of_image(
        self, stamp: int, kind: PredictionKind, measured: Measurement | str, method: str
    ) -> ScaleState:
        """The scale of an image that says nothing about that of the next one."""
        self._kind, self._handover = kind, None
        if isinstance(measured, str):
            self._line = self._shown = None
            return ScaleState(method, Quality.INVALID, measured)
        self._believe(stamp, _Line(math.log(measured.scale), measured.shift), 0.0, measured)
        return self._state(stamp, Quality.GOOD, measured.reason)

    def _take(
        self, stamp: int, kind: PredictionKind, values: npt.NDArray[Any], new: Measurement
    ) -> str:
        """Update by a measurement; returns why it is an outlier, or nothing."""
        line = _Line(math.log(new.scale), new.shift)
        noise = self.settings.noise**2 + new.residual**2 / max(new.inliers, 1)
        too_old = stamp - self._measured > self.settings.max_age * 1e9
        if self._line is None or self._last is None or too_old:
            self._handover = None
            self._believe(stamp, line, noise, new)
            return ""
        if new.method != self._last.method:
            self._handover = ((self._shown or self._line), stamp)
            self._believe(stamp, line, noise, new)
            return ""
        change = _depth_change(self._line, line, kind, values)
        if change <= self.settings.gate * math.sqrt(self._variance + noise):
            gain = self._variance / (self._variance + noise)
            self._believe(stamp, self._line.mixed(line, gain), (1 - gain) * self._variance, new)
            return ""
        allowed = self.settings.gate * math.sqrt(2 * noise)
        if self._doubted and _depth_change(self._doubted[-1], line, kind, values) > allowed:
            self._doubted = []
        self._doubted.append(line)
        count = len(self._doubted)
        if count < self.settings.patience:
            self._doubted_change = math.expm1(min(change, _LONGEST))
            by = f"{self._doubted_change:.0%}"
            return f"the measured scale changes depth by {by}; waiting for more"
        mean = _Line(
            sum(each.log_scale for each in self._doubted) / count,
            sum(each.shift for each in self._doubted) / count,
        )
        self._handover = None
        self._believe(stamp, mean, noise / count, new)
        return ""

    def _believe(self, stamp: int, line: _Line, variance: float, new: Measurement) -> None:
        self._line, self._variance = line, variance
        self._measured, self._last, self._doubted = stamp, new, []

    def _state(self, stamp: int, quality: Quality, reason: str) -> ScaleState:
        assert self._line is not None and self._last is not None
        line = self._line
        self._handed_over = 1.0
        if self._handover is not None:
            start, since = self._handover
            done = (stamp - since) / 1e9 / self.settings.handover if self.settings.handover else 1.0
            if done < 1:
                self._handed_over = max(done, 0.0)
                line = start.mixed(line, self._handed_over)
            else:
                self._handover = None
        self._shown = line
        return ScaleState(
            method=self._last.method,
            quality=quality,
            reason=reason,
            scale=math.exp(line.log_scale),
            shift=line.shift,
            inliers=self._last.inliers,
            inlier_share=self._last.inlier_share,
            residual=self._last.residual if self._last.inliers else math.nan,
            age=max(stamp - self._measured, 0) / 1e9,
        )


def _depth_change(old: _Line, new: _Line, kind: PredictionKind, values: npt.NDArray[Any]) -> float:
    """Median |log ratio| of the depths that two lines give the values of an image."""
    before = math.exp(old.log_scale) * values + old.shift
    after = math.exp(new.log_scale) * values + new.shift
    usable = (before > 0) & (after > 0)
    if not usable.any():
        return math.inf
    return float(np.median(np.abs(np.log(after[usable] / before[usable]))))
