"""Figures, alignments and crops against numbers computed by hand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.evaluation.metrics import (
    aligned_depth,
    default_alignment,
    depth_errors,
    fit_disparity,
    mean_errors,
    scored_pixels,
)
from depth_anything_ros.evaluation.protocol import Alignment, Crop, Protocol
from depth_anything_ros.frames import Prediction, PredictionKind

DISPARITY = PredictionKind.RELATIVE_DISPARITY
METRES = PredictionKind.METRIC_DEPTH


def prediction(values: npt.NDArray[Any], kind: PredictionKind) -> Prediction:
    return Prediction(values.astype(np.float32), kind, (values.shape[0], values.shape[1]))


@pytest.fixture
def truth() -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 20, (30, 40)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.2] = np.nan
    return depth


def test_figures_equal_hand_computed_ones() -> None:
    # ln(Z / Z*): 0, ln 1.5, -ln 2, ln 1.9.
    errors = depth_errors(np.array([1.0, 3.0, 2.0, 19.0]), np.array([1.0, 2.0, 4.0, 10.0]))
    assert asdict(errors) == pytest.approx(
        {
            "abs_rel": (0 + 0.5 + 0.5 + 0.9) / 4,
            "sq_rel": (0 + 1 / 2 + 4 / 4 + 81 / 10) / 4,
            "rmse": 4.636809247747852,  # sqrt((0 + 1 + 4 + 81) / 4)
            "rmse_log": 0.514011522,  # sqrt((0.405465108^2 + 0.693147181^2 + 0.641853886^2) / 4)
            "log10": 0.188968714,  # (0.176091259 + 0.301029996 + 0.278753601) / 4
            "silog": 50.6327947,  # 100 sqrt(0.264207845 - 0.088542953^2)
            "delta1": 0.25,
            "delta2": 0.5,
            "delta3": 0.75,
        },
        rel=1e-8,
    )


def test_silog_does_not_see_scale() -> None:
    rng = np.random.default_rng(1)
    predicted, true = rng.uniform(1, 9, (2, 500))
    before, after = depth_errors(predicted, true), depth_errors(3 * predicted, true)
    assert after.silog == pytest.approx(before.silog, rel=1e-12)
    assert after.abs_rel > 2 * before.abs_rel


def test_images_count_the_same_whatever_their_size() -> None:
    one = depth_errors(np.full(1000, 1.1), np.ones(1000))
    other = depth_errors(np.array([1.5]), np.array([1.0]))
    mean = mean_errors([one, other])
    assert mean.abs_rel == pytest.approx(0.3)
    assert mean.delta1 == 0.5


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(InputError, match="no pixel has a true depth"):
        depth_errors(np.empty(0), np.empty(0))


def test_disparity_alignment_finds_scale_and_shift(truth: npt.NDArray[np.float32]) -> None:
    known = np.isfinite(truth)
    values = np.where(known, (1 / truth - 0.05) / 3, 0)
    depth = aligned_depth(prediction(values, DISPARITY), truth, Protocol(Alignment.DISPARITY))
    np.testing.assert_allclose(depth[known], truth[known], rtol=1e-4)
    # A metric network that is wrong by scale and shift of its disparity is aligned the same way.
    metres = prediction(np.where(known, 1 / (0.02 + 2 / truth), 1), METRES)
    depth = aligned_depth(metres, truth, Protocol(Alignment.DISPARITY))
    np.testing.assert_allclose(depth[known], truth[known], rtol=1e-4)


def test_disparity_alignment_is_least_squares() -> None:
    true = np.array([[1.0, 0.5, 0.25]], np.float32)
    # Disparity 0, 1, 2 against 1/Z 1, 2, 4: scale 1.5, shift 5/6.
    depth = aligned_depth(
        prediction(np.array([[0.0, 1.0, 2.0]]), DISPARITY), true, Protocol(Alignment.DISPARITY)
    )
    np.testing.assert_allclose(1 / depth, [[5 / 6, 14 / 6, 23 / 6]], rtol=1e-6)


def test_disparity_aligned_below_zero_is_as_far_as_can_be() -> None:
    true = np.array([[1.0, 2.0, 100.0, 100.0]], np.float32)
    values = np.array([[1.0, 0.5, 0.0, -3.0]])
    protocol = Protocol(Alignment.DISPARITY, max_depth=50)
    depth = aligned_depth(prediction(values, DISPARITY), true, protocol)
    # Truth beyond the cap is not fitted, so the first two points alone give scale 1, shift 0.
    np.testing.assert_allclose(depth, [[1, 2, 50, 50]], rtol=1e-6)


@pytest.mark.parametrize("kind", [METRES, DISPARITY])
def test_median_alignment(kind: PredictionKind) -> None:
    true = np.array([[2.0, 4.0, 8.0, np.nan]], np.float32)
    metres = np.array([[1.0, 3.0, 9.0, 1.0]])
    values = metres if kind is METRES else 1 / metres
    depth = aligned_depth(prediction(values, kind), true, Protocol(Alignment.MEDIAN))
    np.testing.assert_allclose(depth, metres * 4 / 3, rtol=1e-6)


def test_metric_depth_is_kept_to_the_range() -> None:
    values = np.array([[0.0, 5.0, 500.0, np.nan, np.inf]])
    true = np.ones((1, 5), np.float32)
    depth = aligned_depth(prediction(values, METRES), true, Protocol(min_depth=0.5, max_depth=10))
    np.testing.assert_array_equal(depth, np.array([[0.5, 5, 10, 0.5, 10]], np.float32))


def test_relative_depth_is_never_taken_for_metres(truth: npt.NDArray[np.float32]) -> None:
    with pytest.raises(SettingError, match="alignment 'disparity'"):
        aligned_depth(prediction(truth, DISPARITY), truth, Protocol(Alignment.NONE))


def test_prediction_is_brought_to_the_size_of_the_truth() -> None:
    ramp = np.tile(np.arange(1.0, 41.0), (30, 1))
    true = np.tile(np.arange(1.0, 81.0), (60, 1)).astype(np.float32)
    depth = aligned_depth(prediction(ramp, METRES), true, Protocol())
    assert depth.shape == true.shape
    np.testing.assert_allclose(depth[:, 1:-1], (true[:, 1:-1] + 0.5) / 2, rtol=1e-6)
    with pytest.raises(InputError, match="do not show the same picture"):
        aligned_depth(prediction(ramp, METRES), np.ones((60, 100), np.float32), Protocol())


def test_crops_and_caps() -> None:
    def box(crop: Crop, height: int, width: int) -> tuple[int, int, int, int]:
        rows, columns = np.nonzero(
            scored_pixels(np.ones((height, width), np.float32), Protocol(crop=crop))
        )
        return rows.min(), rows.max(), columns.min(), columns.max()

    assert box(Crop.NONE, 375, 1242) == (0, 374, 0, 1241)
    assert box(Crop.NYU, 480, 640) == (45, 470, 41, 600)
    # 352x1216 is the size KITTI's evaluations take; the products are computed by hand.
    assert box(Crop.GARG, 352, 1216) == (143, 348, 43, 1171)
    assert box(Crop.EIGEN, 352, 1216) == (117, 320, 43, 1171)
    with pytest.raises(SettingError, match="640x480, but the depth is 1216x352"):
        box(Crop.NYU, 352, 1216)

    depth = np.array([[0.4, 0.5, 3.0, 10.0, 11.0, np.nan]], np.float32)
    scored = scored_pixels(depth, Protocol(min_depth=0.45, max_depth=10))
    assert scored.tolist() == [[False, True, True, False, False, False]]
    with pytest.raises(SettingError, match="no range"):
        Protocol(min_depth=10, max_depth=1)


def test_fit_is_exact_for_affine_disparity() -> None:
    disparity = np.array([0.1, 0.2, 0.5, 1.0])
    assert fit_disparity(disparity, 1 / (5 * disparity + 3)) == pytest.approx((5, 3))
    assert fit_disparity(np.ones(3), np.array([1.0, 2.0, 4.0])) == pytest.approx((0, 7 / 12))


def test_relative_depth_is_aligned_in_depth(truth: npt.NDArray[np.float32]) -> None:
    given = prediction((truth - 0.5) / 3, PredictionKind.RELATIVE_DEPTH)
    assert default_alignment(given.kind) is Alignment.DEPTH
    aligned = aligned_depth(given, truth, Protocol(Alignment.DEPTH))
    known = np.isfinite(truth)
    np.testing.assert_allclose(aligned[known], truth[known], rtol=1e-4)
    with pytest.raises(SettingError, match="gives relative depth; use alignment 'depth'"):
        aligned_depth(given, truth, Protocol(Alignment.NONE))
