"""What changes metres happens in the pipeline, once, and the same for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from depth_anything_ros.confidence.agreement import FLIP
from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import Frame, Prediction, PredictionKind, Quality, RgbImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.metric.sources.network import NetworkScaler
from depth_anything_ros.metric.temporal_filter import TemporalFilter
from depth_anything_ros.metric.uncertainty import UNMEASURED
from depth_anything_ros.pipeline import (
    ConfidenceSources,
    DepthLimits,
    DepthRequest,
    Pipeline,
    limit_depth,
    process_batch,
)


class RedIsDepth:
    """A network that answers the red channel; counts the pictures it is shown."""

    device, precision, backend = "cpu", "fp32", "toy"

    def __init__(self, kind: PredictionKind = PredictionKind.METRIC_DEPTH) -> None:
        self.kind = kind
        self.calls: list[int] = []

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        self.calls.append(len(images))
        return [
            Prediction(image[..., 0].astype(np.float32), self.kind, image.shape[:2])
            for image in images
        ]

    def warm_up(self, height: int, width: int, batch: int = 1) -> None:
        pass


def ramp() -> RgbImage:
    red = np.broadcast_to(np.arange(10, 26, dtype=np.uint8), (12, 16))
    return np.stack([red, red, red], axis=2)


def test_limits_are_what_rep_117_asks_for() -> None:
    hidden = np.zeros((12, 16), np.bool_)
    hidden[:, 0] = True
    limits = DepthLimits(min_range=12.0, max_range=20.0, hidden=hidden)
    depth = Pipeline(RedIsDepth(), NetworkScaler(), limits).process(Frame(ramp())).depth_m
    assert depth is not None
    assert np.isnan(depth[:, 0]).all()
    assert np.isneginf(depth[:, 1]).all()
    np.testing.assert_array_equal(depth[0, 2:11], np.arange(12, 21))
    assert np.isposinf(depth[:, 11:]).all()


def test_without_limits_nothing_changes_and_nothing_is_copied() -> None:
    depth = np.array([[1.0, np.nan, np.inf]], np.float32)
    assert limit_depth(depth, DepthLimits()) is depth


def test_temporal_filter_averages_what_stays_the_same() -> None:
    red = np.random.default_rng(0).integers(80, 160, (30, 40), np.uint8).repeat(4, 0).repeat(4, 1)
    pictures = [np.stack([red + brighter] * 3, axis=2) for brighter in (0, 4)]
    pipeline = Pipeline(RedIsDepth(), NetworkScaler(), temporal_filter=TemporalFilter())
    first, second = (
        pipeline.process(Frame(rgb, stamp=1 + 10**8 * number)).depth_m
        for number, rgb in enumerate(pictures)
    )
    assert first is not None and second is not None
    np.testing.assert_array_equal(first, red)
    assert float(np.median(second - red)) == pytest.approx(2, abs=0.3)


def test_doubtful_pixels_are_unknown() -> None:
    depth = np.array([[1.0, 2.0, 3.0]], np.float32)
    confidence = np.array([[0.2, 0.5, 0.9]], np.float32)
    limited = limit_depth(depth, DepthLimits(min_confidence=0.5, max_range=2.5), confidence)
    np.testing.assert_array_equal(limited, [[np.nan, 2.0, np.inf]])


def test_pixels_that_are_not_sure_enough_are_unknown() -> None:
    depth = np.array([[1.0, 2.0, 4.0]], np.float32)
    sigma = np.array([[0.3, 0.3, 0.3]], np.float32)
    limited = limit_depth(depth, DepthLimits(max_relative_sigma=0.2, max_range=3.0), None, sigma)
    np.testing.assert_array_equal(limited, [[np.nan, 2.0, np.inf]])


def test_sigma_is_known_where_the_depth_is_a_number() -> None:
    answer = Pipeline(RedIsDepth(), NetworkScaler(), DepthLimits(max_range=20.0)).process(
        Frame(ramp())
    )
    assert answer.depth_m is not None and answer.sigma_m is not None
    np.testing.assert_allclose(answer.sigma_m[:, :11], UNMEASURED * answer.depth_m[:, :11])
    assert np.isposinf(answer.depth_m[:, 11:]).all()
    assert np.isnan(answer.sigma_m[:, 11:]).all()


def test_a_mask_of_another_size_is_named() -> None:
    limits = DepthLimits(hidden=np.zeros((2, 3), np.bool_))
    with pytest.raises(InputError, match="the mask is 3x2 but the image is 16x12"):
        Pipeline(RedIsDepth(), NetworkScaler(), limits).process(Frame(ramp()))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"min_range": 3.0, "max_range": 2.0}, "max_range is 2 m but min_range is 3 m"),
        ({"min_range": -1.0}, "min_range not negative"),
        ({"min_confidence": 2.0}, "min_confidence is 2"),
        ({"max_relative_sigma": -0.1}, "max_relative_sigma is -0.1"),
    ],
)
def test_limits_that_leave_nothing_are_refused(limits: dict[str, float], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        DepthLimits(**limits)  # type: ignore[arg-type]


def test_no_metres_are_no_depth_or_nan_as_wanted() -> None:
    network = RedIsDepth(PredictionKind.RELATIVE_DISPARITY)
    answer = Pipeline(network, NetworkScaler()).process(Frame(ramp()))
    assert answer.depth_m is None
    assert answer.scale_state.quality is Quality.INVALID
    filled = Pipeline(network, NetworkScaler(), DepthLimits(fill_invalid=True)).process(
        Frame(ramp())
    )
    assert filled.depth_m is not None
    assert np.isnan(filled.depth_m).all()


def test_further_views_are_predicted_only_for_frames_with_confidence() -> None:
    network = RedIsDepth()
    requests = [
        DepthRequest(Frame(ramp(), stamp=stamp), NetworkScaler(), confidence=stamp == 2)
        for stamp in (1, 2, 3)
    ]
    answers = process_batch(network, requests, ConfidenceSources(views=FLIP))
    assert [answer.frame.stamp for answer in answers] == [1, 2, 3]
    assert [answer.confidence is not None for answer in answers] == [False, True, False]
    assert network.calls == [2, 2]


def test_image_and_camera_must_be_of_one_size() -> None:
    frame = Frame(ramp(), camera=Camera(8, 6, 10.0, 10.0, 3.5, 2.5))
    with pytest.raises(InputError, match="image is 16x12 but camera_info says 8x6"):
        Pipeline(RedIsDepth(), NetworkScaler()).process(frame)


class SkyAndConfidence(RedIsDepth):
    """It sees the sky in the upper half, and is sure of the left half only."""

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        answers = []
        for plain in super().estimate(images):
            height, width = plain.values.shape[:2]
            sky = np.arange(height)[:, None].repeat(width, 1) < height // 2
            own = np.where(np.arange(width) < width // 2, 10.0, 1.25).astype(np.float32)
            own = np.tile(own, (height, 1))
            answers.append(replace(plain, sky=sky, confidence=own))
        return answers


def test_the_sky_is_infinitely_far_within_the_limits() -> None:
    hidden = np.zeros((12, 16), np.bool_)
    hidden[:, 0] = True
    limits = DepthLimits(max_range=20.0, hidden=hidden)
    depth = Pipeline(SkyAndConfidence(), NetworkScaler(), limits).process(Frame(ramp())).depth_m
    assert depth is not None
    assert np.isposinf(depth[:6, 1:]).all()
    assert np.isnan(depth[:, 0]).all()  # the robot itself, also before the sky
    np.testing.assert_array_equal(depth[6, 1:11], np.arange(11, 21))


def test_the_network_s_own_confidence_is_used() -> None:
    limits = DepthLimits(min_confidence=0.5)
    pipeline = Pipeline(SkyAndConfidence(), NetworkScaler(), limits)
    answer = pipeline.process(Frame(ramp()), confidence=True)
    assert answer.confidence is not None and answer.depth_m is not None
    np.testing.assert_allclose(answer.confidence[:, :8], 0.9)
    np.testing.assert_allclose(answer.confidence[:, 8:], 0.2, rtol=1e-6)
    assert np.isnan(answer.depth_m[:, 8:]).all()
    assert not np.isnan(answer.depth_m[:, :8]).any()
    assert pipeline.process(Frame(ramp())).confidence is None
    seen = Pipeline(SkyAndConfidence(), NetworkScaler(), confidence_sources=ConfidenceSources(FLIP))
    both = seen.process(Frame(ramp()), confidence=True).confidence
    assert both is not None
    assert np.all(both <= answer.confidence + 1e-6)
