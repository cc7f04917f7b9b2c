"""Confidence: of made-up experts, and which errors it finds on real photographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_anything_ros.confidence.agreement import (
    FLIP,
    ZOOMS,
    View,
    estimate_views,
    expert_confidence,
    metric_confidence,
    ordering_confidence,
    support_confidence,
)
from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.frames import Prediction, PredictionKind, RgbImage, SparsePoints
from depth_anything_ros.inference.backends.onnxruntime import OnnxEstimator

METRIC = PredictionKind.METRIC_DEPTH
RELATIVE = PredictionKind.RELATIVE_DISPARITY


def scene(height: int = 120, width: int = 160) -> np.ndarray:
    v, u = np.mgrid[0:height, 0:width]
    return (2 + 4 * v / height + np.sin(u / 15)).astype(np.float32)


def metric(depth: np.ndarray) -> Prediction:
    return Prediction(depth.astype(np.float32), METRIC, depth.shape)


def relative(disparity: np.ndarray) -> Prediction:
    return Prediction(disparity.astype(np.float32), RELATIVE, disparity.shape)


def patch() -> tuple[slice, slice]:
    return np.s_[50:90, 60:110]


# --- views ----------------------------------------------------------------------------------


class Brightness:
    """A network whose depth is the picture's red channel: what a view does to it can be told."""

    kind = METRIC
    device = "cpu"
    precision = "fp32"
    backend = "none"
    calls = 0

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        self.calls += 1
        return [metric(image[..., 0].astype(np.float32)) for image in images]

    def warm_up(self, height: int, width: int, batch: int = 1) -> None:
        """Nothing to warm up."""


@pytest.mark.parametrize(
    "view", [View(flip=True), View(zoom=0.8), View(flip=True, zoom=0.9), View()]
)
def test_views_come_back_to_their_pixels(view: View) -> None:
    v, u = np.mgrid[0:121, 0:161]
    ramp = (20 + u + 0.5 * v).astype(np.uint8)
    image = np.repeat(ramp[..., None], 3, axis=2)
    assert view.show(image).shape == image.shape
    assert view.show(image).flags.c_contiguous
    network = Brightness()
    ((own, back),) = estimate_views(network, [image], [view])
    assert network.calls == 1
    np.testing.assert_array_equal(own.values, ramp)
    known = np.isfinite(back.values)
    assert known.mean() == pytest.approx(view.zoom**2, abs=0.02)
    assert known[60, 80]
    assert np.abs(back.values - ramp)[known].max() <= 1.5  # uint8 rounding, resized twice


def test_views_of_several_pictures_keep_their_order() -> None:
    images = [np.full((40 + 10 * i, 60, 3), 50 * i + 10, np.uint8) for i in range(3)]
    groups = estimate_views(Brightness(), images, (*FLIP, *ZOOMS))
    for image, group in zip(images, groups, strict=True):
        assert len(group) == 4
        for prediction in group:
            assert prediction.values.shape == image.shape[:2]
            assert np.nanmax(np.abs(prediction.values - image[0, 0, 0])) == 0


def test_impossible_zooms_are_refused() -> None:
    with pytest.raises(SettingError, match="zoom is 2"):
        View(zoom=2)


# --- made-up experts ------------------------------------------------------------------------


def test_metric_experts_differ_where_one_is_wrong() -> None:
    depth, wrong = scene(), scene()
    wrong[patch()] *= 1.3
    confidence = metric_confidence([metric(depth), metric(wrong)])
    assert confidence.dtype == np.float32
    inside = np.zeros(depth.shape, bool)
    inside[patch()] = True
    np.testing.assert_allclose(confidence[inside], 1 / 1.3, rtol=1e-4)
    np.testing.assert_array_equal(confidence[~inside], 1.0)
    # What all pixels share, as a zoomed view's focal length, is no disagreement.
    np.testing.assert_allclose(
        metric_confidence([metric(depth), metric(depth * 0.8)]), 1.0, atol=1e-6
    )
    three = metric_confidence([metric(depth), metric(wrong), metric(depth)])
    np.testing.assert_allclose(three[inside], np.exp(-np.log(1.3) / np.sqrt(2)), rtol=1e-4)


def test_pixels_a_view_does_not_show_follow_their_neighbours() -> None:
    depth, view = scene(), scene()
    view[:, :80] *= 1.5
    view[:12] = view[-12:] = np.nan
    view[:, :16] = view[:, -16:] = np.nan
    confidence = metric_confidence([metric(depth), metric(view)])
    assert np.isfinite(confidence).all()
    np.testing.assert_array_equal(confidence[:, 100:] > confidence[0, 0], True)
    np.testing.assert_allclose(confidence[:12], np.tile(confidence[12], (12, 1)))
    nothing = metric_confidence([metric(depth), metric(np.full_like(depth, np.nan))])
    np.testing.assert_array_equal(nothing, 1.0)


def test_zero_depth_of_a_network_is_no_surprise() -> None:
    depth = scene()
    depth[:5] = 0.0
    confidence = metric_confidence([metric(depth), metric(scene())])
    assert np.isfinite(confidence).all()
    assert (confidence[:5] < 0.01).all()


def test_the_vote_needs_no_common_scale() -> None:
    depth = scene()
    experts = [metric(depth), relative(7 / depth - 3), metric(depth**1.7), relative(-np.log(depth))]
    # Nearest sampling keeps every order, so all votes are unanimous.
    np.testing.assert_array_equal(ordering_confidence(experts), 1.0)


def test_the_vote_counts_the_partners_that_change_sides() -> None:
    # Depth spreads evenly in log; rows moved by a factor change sides with the partners between.
    depth = np.exp(np.linspace(0, np.log(8), 120 * 160)).reshape(120, 160).astype(np.float32)
    wrong = depth.copy()
    rows = np.s_[60:64]
    wrong[rows] *= 1.5
    share = np.log(1.5) / (np.log(8) * 0.98)
    for other in (metric(wrong), relative(1 / wrong)):
        confidence = ordering_confidence([metric(depth), other])
        assert np.abs(1 - confidence[rows] - share).max() < 0.06
        assert confidence[:30].min() > 0.93
        assert confidence[100:].min() > 0.93
    again = ordering_confidence([metric(depth), metric(wrong)], seed=0)
    np.testing.assert_array_equal(again, ordering_confidence([metric(depth), metric(wrong)]))
    assert (again != ordering_confidence([metric(depth), metric(wrong)], seed=1)).any()


def test_the_vote_is_brought_back_to_the_size_of_the_picture() -> None:
    depth = scene(480, 640)
    wrong = depth.copy()
    wrong[200:360, 240:440] *= 2
    confidence = ordering_confidence([metric(depth), metric(wrong)])
    assert confidence.shape == (480, 640)
    assert confidence[220:340, 260:420].mean() < confidence[:100].mean() - 0.15


def test_metres_are_compared_where_all_give_them() -> None:
    depth, wrong = scene(), scene()
    wrong[patch()] *= 1.3
    both = [metric(depth), metric(wrong)]
    np.testing.assert_array_equal(expert_confidence(both), metric_confidence(both))
    mixed = [metric(depth), relative(1 / wrong)]
    np.testing.assert_array_equal(expert_confidence(mixed, 3), ordering_confidence(mixed, 3))


def test_bad_panels_are_refused() -> None:
    depth = metric(scene())
    with pytest.raises(InputError, match="1 expert cannot disagree"):
        expert_confidence([depth])
    with pytest.raises(InputError, match="differ in size"):
        ordering_confidence([depth, metric(scene(60, 80))])
    with pytest.raises(InputError, match="in metres"):
        metric_confidence([depth, relative(scene())])
    with pytest.raises(InputError, match="share no pixel"):
        ordering_confidence([depth, relative(np.full((120, 160), np.nan))])


# --- support --------------------------------------------------------------------------------


def test_support_falls_with_the_distance_to_points() -> None:
    points = SparsePoints(np.array([30.0]), np.array([40.0]), np.array([2.0]))
    support = support_confidence((300, 400), points, reach=0.2)
    assert support[40, 30] == 1.0
    # 3-4-5 triangles of 100 and 250 pixels; the diagonal has 500.
    assert support[100, 110] == pytest.approx(0.5 + 0.5 * np.exp(-1.0), abs=1e-5)
    assert support[190, 230] == pytest.approx(0.5 + 0.5 * np.exp(-2.0 / 0.8), abs=1e-5)
    assert support.min() > 0.5
    for none in (None, SparsePoints(*np.zeros((3, 0)))):
        np.testing.assert_array_equal(support_confidence((30, 40), none), 1.0)
    with pytest.raises(SettingError, match="reach is 0"):
        support_confidence((30, 40), points, 0)


# --- real photographs -----------------------------------------------------------------------


def error_ratio(confidence: np.ndarray, error: np.ndarray, share: float = 0.1) -> float:
    """Mean error of the least certain share of the pixels over that of all others."""
    order = confidence.argsort(kind="stable")
    flagged = round(share * len(order))
    return float(error[order[:flagged]].mean() / error[order[flagged:]].mean())


REAL = [
    *((f"nyu/rgb_{i}.jpg", f"nyu/sync_depth_{i}.png") for i in ("00000", "00050")),
    *((f"tum_kinect/color/{i}.png", f"tum_kinect/depth/{i}.pgm") for i in range(1, 6)),
]
NYU = slice(0, 2)


@pytest.fixture(scope="module")
def fast_depth(data_dir: Path) -> OnnxEstimator:
    return OnnxEstimator(data_dir / "fastdepth" / "fastdepth_7.onnx", num_threads=1)


def predictions_of(
    data_dir: Path, network: OnnxEstimator, views: Sequence[View]
) -> Iterator[tuple[list[Prediction], np.ndarray]]:
    """Predictions for each real photograph and its views, and the truth (0 unknown)."""
    for color, depth in REAL:
        (group,) = estimate_views(network, [read_image(data_dir / color)], views)
        yield group, np.asarray(cv2.imread(str(data_dir / depth), cv2.IMREAD_UNCHANGED)) / 1000


@pytest.mark.data
def test_doubted_pixels_are_wrong_on_real_photographs(
    data_dir: Path, fast_depth: OnnxEstimator
) -> None:
    ratios = {}
    for name, views in (("flip", FLIP), ("zooms", ZOOMS)):
        found = []
        for group, truth in predictions_of(data_dir, fast_depth, views):
            known = truth > 0
            confidence = expert_confidence(group)[known]
            error = np.abs(group[0].values[known] - truth[known])
            relative_error = error / truth[known]
            found.append([error_ratio(confidence, each) for each in (relative_error, error)])
        ratios[name] = np.array(found)
        print(f"\n{name}: error of the least certain 10 % over that of the rest, NYU then TUM")
        print("relative", ratios[name][:, 0].round(2), "absolute", ratios[name][:, 1].round(2))
    assert (ratios["zooms"][:, 0] >= 2.0).all()
    assert ratios["zooms"][:, 1].mean() >= 1.8
    assert ratios["flip"][:, 0].mean() >= 1.8


@pytest.mark.data
def test_the_vote_finds_errors_of_a_relative_network(
    data_dir: Path, fast_depth: OnnxEstimator
) -> None:
    found = []
    for group, truth in predictions_of(data_dir, fast_depth, FLIP):
        known = truth > 0
        disparities = [relative(3 / np.maximum(each.values, 0.05) - 0.5) for each in group]
        confidence = expert_confidence(disparities)[known]
        depth = group[0].values[known] * np.median(truth[known] / group[0].values[known])
        found.append(error_ratio(confidence, np.abs(depth / truth[known] - 1)))
    print(f"\nvote with the mirrored view, NYU then TUM: {np.round(found, 2)}")
    assert np.mean(found[NYU]) >= 2.0
    assert np.mean(found) >= 2.0
