"""The scaler that follows measurements over time, from one source or the best of several."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import (
    FloatImage,
    Frame,
    Prediction,
    PredictionKind,
    Quality,
    RgbImage,
    ScaledDepth,
    ScaleState,
    SparsePoints,
)
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.metric.apply import metres_of_inverse, to_inverse, to_metres
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.fusion import MIN_POINTS, Refined, interpolate, refine
from depth_anything_ros.metric.memory import keep_freed_blocks
from depth_anything_ros.metric.scale_file import load_scale, save_scale
from depth_anything_ros.metric.scene_cut import SceneCut
from depth_anything_ros.metric.source import Measurement, ScaleSource
from depth_anything_ros.metric.tracking import ScaleTracker, TrackingSettings
from depth_anything_ros.metric.uncertainty import sigma_of_error, sigma_of_state

_SAMPLE = 16
_WANDERS = 0.25
"""How fast a held scale gets wrong, relative per square root of a second: what it is right for
changes with what is in sight.

Own choice, from the simulated robot in rooms: what the embedded network (FastDepth) gives 2 s after
the ground was last seen is off by less than 0.35 (0.39) in 68 % of the images.
"""


class Completion(Protocol):
    """Finishes depth that follows measured points, as `inference.completion` does."""

    def complete(
        self, rgb: RgbImage, fitted: FloatImage, coarse: FloatImage, points: SparsePoints
    ) -> FloatImage:
        """Inverse metres of an image from two such maps and the points, HxW each."""
        ...


class LiveScaler:
    """Measures in every frame and keeps the scale in between.

    With several sources it is `auto`: it takes the first that can measure, names it and says why
    the better ones could not. A better source takes over at once, a worse one only after the
    present one has been silent for `switch_after`; either way the depth does not jump.

    One thread calls `scale`; any other may freeze, reset, save and load meanwhile without waiting
    for it.

    Args:
        sources: Where scale comes from, best first.
        tracking: How it is followed over time.
        refinement: "local" lets measured points correct the depth around them, "none" does not.
        completion: Finishes what the local refinement gives; None for nothing.
        switch_after: Seconds of silence after which a worse source takes over.
        seed: Of random choices.

    Raises:
        SettingError: There is no source, or `refinement` is neither "none" nor "local".
    """

    def __init__(
        self,
        sources: Sequence[ScaleSource],
        tracking: TrackingSettings | None = None,
        refinement: str = "local",
        switch_after: float = 0.5,
        seed: int = 0,
        completion: Completion | None = None,
    ) -> None:
        if not sources:
            raise SettingError("a live scaler needs at least one source")
        if refinement not in ("none", "local"):
            raise SettingError(f"refinement is '{refinement}'; use none or local")
        keep_freed_blocks()
        self.name = sources[0].name if len(sources) == 1 else "auto"
        self._sources = tuple(sources)
        self._tracker = ScaleTracker(tracking)
        self._scene = SceneCut()
        self._refine = refinement == "local"
        self._completion = completion
        self._switch_after = round(switch_after * 1e9)
        self._seed = seed
        self._operating = threading.Lock()  # about the tracker; never held while measuring
        self._start_over()
        self._reset_wanted = False
        self._unscaled: SparsePoints | None = None  # of this frame, without a scale

    def scale(self, prediction: Prediction, frame: Frame) -> ScaledDepth:
        """Measure, follow and apply; see `MetricScaler.scale`."""
        self._notice_breaks(frame)
        self._unscaled = None
        measured = self._measure(prediction, frame)
        with self._operating:
            state = self._tracker.follow(
                frame.stamp,
                prediction.kind,
                prediction.values[::_SAMPLE, ::_SAMPLE],
                measured,
                self.name,
            )
        if state.quality is Quality.INVALID:
            return self._interpolated(prediction, frame, state)
        # Points of this moment correct the depth also where their scale is doubted (HELD).
        follows = self._refine and not self._tracker.frozen
        wrong = measured.wrong if isinstance(measured, Measurement) else None
        points = measured.points if isinstance(measured, Measurement) and follows else None
        if isinstance(measured, Measurement) and points is not None and len(points) >= MIN_POINTS:
            inverse = to_inverse(prediction, state.scale, state.shift)
            refined = refine(inverse, points, self._seed, frame.rgb, measured.residual)
            if refined is not None:
                if self._completion is not None:
                    finished = (frame.rgb, inverse, refined.inverse_m, points)
                    refined = replace(refined, inverse_m=self._completion.complete(*finished))
                depth_m = self._handed_over(inverse, refined)
                sigma_m = sigma_of_error(depth_m, refined.error)
                return ScaledDepth(depth_m, state, sigma_m, wrong_points=wrong)
        if self._tracker.is_unsettled:
            reason = f"{state.reason}; no points of this moment tell which scale is right"
            unknown = replace(state, quality=Quality.INVALID, reason=reason)
            unknown = replace(unknown, scale=math.nan, shift=math.nan)
            return ScaledDepth(None, unknown, wrong_points=wrong)
        depth_m = to_metres(prediction, state.scale, state.shift)
        deviation = self._tracker.deviation
        if state.quality is Quality.HELD:
            deviation = math.hypot(deviation, _WANDERS * math.sqrt(state.age))
        sigma_m = sigma_of_state(depth_m, state, deviation)
        return ScaledDepth(depth_m, state, sigma_m, wrong_points=wrong)

    def reset(self) -> None:
        """Forget everything measured so far, and unfreeze."""
        with self._operating:
            self._tracker.reset()
            self._reset_wanted = True  # the sources are the measuring thread's

    @property
    def frozen(self) -> bool:
        """Whether measurements are ignored."""
        return self._tracker.frozen

    def freeze(self, on: bool = True) -> None:
        """Keep the present scale whatever is measured, or follow measurements again.

        Args:
            on: Whether to freeze.

        Raises:
            InputError: There is no scale yet.
        """
        with self._operating:
            self._tracker.freeze(on)

    def save(self, path: Path) -> None:
        """Write the present scale as a scale file.

        Args:
            path: The YAML file.

        Raises:
            InputError: There is no scale yet, or the file cannot be written.
        """
        with self._operating:
            saved = self._tracker.saved()
        save_scale(saved, path)

    def load(self, path: Path) -> None:
        """Take the scale of a scale file and freeze it.

        Args:
            path: A file that `save` wrote.

        Raises:
            InputError: The file cannot be used.
        """
        saved = load_scale(path)
        with self._operating:
            self._tracker.load(saved)

    def _handed_over(self, inverse: FloatImage, refined: Refined) -> FloatImage:
        """Metres corrected by points; the correction comes in as gently as their scale does."""
        share = self._tracker.handed_over
        if share == 1.0:
            return metres_of_inverse(refined.inverse_m)
        return metres_of_inverse(inverse + np.float32(share) * (refined.inverse_m - inverse))

    def _interpolated(self, prediction: Prediction, frame: Frame, state: ScaleState) -> ScaledDepth:
        """Depth between points that agree with each other though no scale fits the network."""
        if self._unscaled is None or not self._refine:
            return ScaledDepth(None, state)
        refined = interpolate(prediction.values.shape, self._unscaled, self._seed, frame.rgb)
        if refined is None:
            return ScaledDepth(None, state)
        depth_m = metres_of_inverse(refined.inverse_m)
        reason = f"{state.reason}; depth is interpolated between the points alone"
        state = replace(state, quality=Quality.HELD, reason=reason)
        return ScaledDepth(depth_m, state, sigma_of_error(depth_m, refined.error))

    def _start_over(self) -> None:
        for source in self._sources:
            source.reset()
        self._scene.reset()
        self._stamp = 0
        self._camera: Camera | None = None
        self._kind: PredictionKind | None = None
        self._current = len(self._sources)
        self._last_success = 0

    def _notice_breaks(self, frame: Frame) -> None:
        """Start anew where time jumps back, the scene is cut or the camera is another one."""
        if self._reset_wanted:
            self._reset_wanted = False
            self._start_over()
        cut = self._scene.happened(frame.rgb)
        back = frame.stamp < self._stamp
        other = self._camera is not None and frame.camera not in (None, self._camera)
        if back or cut or other:
            self._start_over()
            self._scene.happened(frame.rgb)
            with self._operating:
                if not self._tracker.frozen:
                    self._tracker.reset()
        self._stamp = frame.stamp
        self._camera = frame.camera or self._camera

    def _measure(self, prediction: Prediction, frame: Frame) -> Measurement | str:
        """The measurement of the best source that has one, or why there is none."""
        reasons = []
        if prediction.kind is not self._kind:  # what was measured before is of no use
            self._kind, self._current = prediction.kind, len(self._sources)
        for rank, source in enumerate(self._sources):
            waits = frame.stamp - self._last_success <= self._switch_after
            if rank > self._current and waits and not prediction.kind.rescaled:
                break
            try:
                measured = source.measure(prediction, frame)
                _check_finite(measured)
            except (UnmeasurableError, np.linalg.LinAlgError) as error:
                if isinstance(error, UnmeasurableError) and self._unscaled is None:
                    self._unscaled = error.points
                reasons.append(f"{source.name}: {error}" if self.name == "auto" else str(error))
                continue
            self._current, self._last_success = rank, frame.stamp
            if reasons:
                reason = f"{source.name}: {measured.reason} ({'; '.join(reasons)})"
                return replace(measured, reason=reason)
            return measured
        return "; ".join(reasons)


def _check_finite(measured: Measurement) -> None:
    """Refuse what would poison the scale for ever.

    Raises:
        UnmeasurableError: Scale and shift give no metres.
    """
    if not (math.isfinite(measured.scale) and measured.scale > 0 and math.isfinite(measured.shift)):
        raise UnmeasurableError(
            f"a scale of {measured.scale:g} with a shift of {measured.shift:g} gives no metres"
        )
