from __future__ import annotations

import numpy as np
import pytest
from metric_scenes import METRIC, RELATIVE, frame, metric, relative, wavy_depth

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import Prediction, Quality
from depth_anything_ros.metric.apply import FARTHEST_M, to_metres
from depth_anything_ros.metric.scale_file import SavedScale
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.metric.sources.fixed import FixedScaler
from depth_anything_ros.metric.sources.network import NetworkScaler

DEPTH = wavy_depth()


def test_scale_and_shift_are_applied_in_the_space_of_the_network() -> None:
    for prediction, scale, shift in (
        (relative(DEPTH, 0.05, 0.08), 0.05, 0.08),
        (metric(DEPTH, 1.7), 1.7, 0.0),
    ):
        scaled = FixedScaler(scale, shift).scale(prediction, frame(DEPTH))
        assert scaled.depth_m is not None and scaled.depth_m.dtype == np.float32
        assert np.abs(scaled.depth_m / DEPTH - 1).max() < 1e-5
        assert (scaled.state.quality, scaled.state.scale) == (Quality.GOOD, scale)


def test_what_has_no_depth_is_nan_never_zero_negative_or_infinite() -> None:
    values = np.array([[0.0, -1.0, 1e-9, np.nan, np.inf, 0.5, 1 / FARTHEST_M]], np.float32)
    metres = to_metres(Prediction(values, RELATIVE, (1, 7)), 1.0, 0.0)
    assert np.isnan(metres[0, :4]).all()
    assert metres[0, 5:] == pytest.approx([2.0, FARTHEST_M])
    values = np.array([[0.0, -1.0, np.nan, np.inf, 2000.0, 3.0]], np.float32)
    metres = to_metres(Prediction(values, METRIC, (1, 6)), 1.0, 0.0)
    assert np.isnan(metres[0, :5]).all() and metres[0, 5] == 3.0


def test_an_infinite_disparity_is_not_a_depth_of_zero() -> None:
    values = np.array([[np.inf]], np.float32)
    assert np.isnan(to_metres(Prediction(values, RELATIVE, (1, 1)), 1.0, 0.0)).all()


def test_a_saved_scale_of_another_kind_gives_no_metres() -> None:
    scaler = FixedScaler.from_saved(SavedScale(METRIC, 1.2))
    scaled = scaler.scale(relative(DEPTH, 0.05, 0.08), frame(DEPTH))
    assert scaled.depth_m is None and scaled.state.quality is Quality.INVALID
    assert "for metric_depth, the network gives relative_disparity" in scaled.state.reason


def test_unusable_numbers_are_named() -> None:
    with pytest.raises(SettingError, match="scale is 0; it must be a positive number"):
        FixedScaler(0.0)
    with pytest.raises(SettingError, match="shift is nan"):
        FixedScaler(1.0, float("nan"))


def test_the_network_scaler_passes_metres_and_refuses_disparity() -> None:
    scaled = NetworkScaler().scale(metric(DEPTH), frame(DEPTH))
    assert scaled.depth_m is not None and np.allclose(scaled.depth_m, DEPTH)
    assert scaled.state.quality is Quality.GOOD
    scaled = NetworkScaler().scale(relative(DEPTH, 1, 0), frame(DEPTH))
    assert scaled.depth_m is None and scaled.state.quality is Quality.INVALID
    assert "choose a scaler" in scaled.state.reason
    assert isinstance(NetworkScaler(), MetricScaler) and isinstance(FixedScaler(1), MetricScaler)
