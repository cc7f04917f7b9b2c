from __future__ import annotations

import math

import numpy as np
import pytest
from metric_scenes import METRIC, RELATIVE

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import Quality, ScaleState
from depth_anything_ros.metric.source import Measurement
from depth_anything_ros.metric.tracking import ScaleTracker, TrackingSettings

VALUES = np.linspace(0.1, 0.9, 50)
STEP = 100_000_000  # 10 Hz


def measured(scale: float, shift: float = 0.0, method: str = "sparse") -> Measurement:
    return Measurement(method, "measured", scale, shift, inliers=500, residual=0.02)


def follow(
    tracker: ScaleTracker, index: int, what: Measurement | str, kind: object = RELATIVE
) -> ScaleState:
    stamp = 1_000_000_000 + index * STEP
    return tracker.follow(stamp, kind, VALUES, what, "sparse")  # type: ignore[arg-type]


def test_flicker_falls_fivefold_on_a_drive_whose_scale_drifts() -> None:
    rng = np.random.default_rng(0)
    true = 0.05 * np.exp(0.1 * np.sin(np.arange(200) / 30))
    noisy = true * np.exp(0.05 * rng.standard_normal(200))
    tracker = ScaleTracker()
    shown = np.array([follow(tracker, i, measured(s)).scale for i, s in enumerate(noisy)])
    before, after = (np.std(np.diff(np.log(scale))) for scale in (noisy, shown))
    off = np.std(np.log(shown / true)[10:])
    print(
        f"frame-to-frame change {before:.4f} -> {after:.4f}: {before / after:.1f}x; off {off:.3f}"
    )
    assert before / after >= 5
    assert off < 0.05 / 1.5


@pytest.mark.parametrize("factor", [1.3, 1 / 1.3])
@pytest.mark.parametrize("seed", range(5))
def test_a_true_step_of_30_percent_is_followed_within_5_frames(factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tracker = ScaleTracker()
    scales = []
    for i in range(120):
        true = 0.05 * (factor if i >= 100 else 1.0)
        scales.append(follow(tracker, i, measured(true * np.exp(0.05 * rng.standard_normal()))))
    errors = [abs(state.scale / (0.05 * factor) - 1) for state in scales[100:]]
    print(f"error after the step: {', '.join(f'{error:.0%}' for error in errors[:6])}")
    assert max(errors[4:]) < 0.1


def test_a_single_wrong_measurement_moves_nothing() -> None:
    tracker = ScaleTracker()
    for i in range(20):
        good = follow(tracker, i, measured(0.05, 0.02))
    bad = follow(tracker, 20, measured(0.15, 0.02))
    assert (bad.scale, bad.shift) == (good.scale, good.shift)
    assert bad.quality is Quality.HELD and "waiting for more" in bad.reason
    assert follow(tracker, 21, measured(0.05, 0.02)).quality is Quality.GOOD


def test_scale_and_shift_that_trade_off_are_no_step() -> None:
    """Both change a lot, the depths of the image hardly: it is the same measurement."""
    tracker = ScaleTracker()
    follow(tracker, 0, measured(0.5, 0.10))
    narrow = np.linspace(0.48, 0.52, 50)
    state = tracker.follow(2_000_000_000, RELATIVE, narrow, measured(0.6, 0.05), "sparse")
    assert state.quality is Quality.GOOD
    assert 0.5 < state.scale < 0.6


def test_without_measurements_a_scale_is_held_then_invalid_then_fresh_again() -> None:
    tracker = ScaleTracker(TrackingSettings(max_age=1.0))
    assert follow(tracker, 0, "no points").quality is Quality.INVALID
    assert follow(tracker, 1, measured(0.05)).quality is Quality.GOOD
    held = follow(tracker, 6, "no points")
    assert (held.quality, held.reason) == (Quality.HELD, "no points")
    assert held.age == pytest.approx(0.5)
    gone = follow(tracker, 12, "no points")
    assert gone.quality is Quality.INVALID and math.isnan(gone.scale)
    back = follow(tracker, 13, measured(0.2))
    assert (back.quality, back.scale) == (Quality.GOOD, pytest.approx(0.2))


def test_an_infinite_age_holds_for_ever() -> None:
    tracker = ScaleTracker(TrackingSettings(max_age=math.inf))
    follow(tracker, 0, measured(0.05))
    state = follow(tracker, 100_000, "no points")
    assert (state.quality, state.scale) == (Quality.HELD, pytest.approx(0.05))


def test_another_method_takes_over_without_a_jump() -> None:
    tracker = ScaleTracker(TrackingSettings(handover=1.0))
    for i in range(20):
        last = follow(tracker, i, measured(0.05)).scale
    ground = measured(0.06, method="ground_plane")
    scales = [last, *(follow(tracker, i, ground).scale for i in range(20, 40))]
    steps = np.abs(np.diff(np.log(scales)))
    print(f"largest step {steps.max():.3f} of a change of {math.log(1.2):.3f}")
    assert steps.max() < 0.025
    assert scales[-1] == pytest.approx(0.06)


def test_frozen_means_frozen_until_let_go_or_reset() -> None:
    tracker = ScaleTracker()
    with pytest.raises(InputError, match="nothing to freeze"):
        tracker.freeze()
    follow(tracker, 0, measured(0.05))
    tracker.freeze()
    for i in range(1, 50):
        state = follow(tracker, i, measured(0.1))
    assert (state.scale, state.quality) == (pytest.approx(0.05), Quality.GOOD)
    assert "frozen" in state.reason
    tracker.freeze(False)
    for i in range(50, 60):
        state = follow(tracker, i, measured(0.1))
    assert state.scale == pytest.approx(0.1)
    tracker.freeze()
    tracker.reset()
    assert follow(tracker, 61, measured(0.3)).scale == pytest.approx(0.3)


def test_a_loaded_scale_is_used_as_it_is_and_only_for_its_kind() -> None:
    tracker = ScaleTracker()
    with pytest.raises(InputError, match="nothing to save"):
        tracker.saved()
    follow(tracker, 0, measured(0.05, 0.01))
    saved = tracker.saved()
    assert (saved.kind, saved.shift, saved.method) == (RELATIVE, 0.01, "sparse")
    assert saved.scale == pytest.approx(0.05)
    fresh = ScaleTracker()
    fresh.load(saved)
    state = follow(fresh, 5, "no points")
    assert (state.scale, state.shift) == (pytest.approx(0.05), 0.01)
    assert state.quality is Quality.GOOD
    assert follow(fresh, 6, "no points", METRIC).quality is Quality.INVALID


@pytest.mark.parametrize(
    ("name", "value"), [("noise", 0.0), ("max_age", -1.0), ("drift", -1.0), ("patience", 0)]
)
def test_settings_that_cannot_work_are_refused(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=f"{name} is "):
        TrackingSettings(**{name: value})  # type: ignore[arg-type]


def test_what_is_measured_badly_moves_the_scale_less() -> None:
    """Weight is inverse variance: 30 % of spread over 9 points is 10 % beside the scale's own."""
    moved = {}
    for residual in (0.0, 0.3):
        tracker = ScaleTracker()
        for index in range(20):
            follow(tracker, index, measured(0.05))
        new = Measurement("sparse", "measured", 0.05 * 1.04, inliers=9, residual=residual)
        moved[residual] = math.log(follow(tracker, 20, new).scale / 0.05) / math.log(1.04)
    print(f"share of the step that is taken: {moved}")
    assert 0.1 < moved[0.0] <= 1.0
    assert 0 < moved[0.3] < 0.5 * moved[0.0]


def test_what_is_frozen_while_a_source_hands_over_is_what_is_shown() -> None:
    tracker = ScaleTracker()
    for index in range(10):
        follow(tracker, index, measured(0.05, method="ground_plane"))
    for index in range(10, 13):
        shown = follow(tracker, index, measured(0.1)).scale
    assert 0.05 < shown < 0.09  # on its way
    tracker.freeze(True)
    for index in range(13, 16):
        assert follow(tracker, index, measured(0.1)).scale == pytest.approx(shown, rel=1e-6)
    assert tracker.saved().scale == pytest.approx(shown, rel=1e-6)
