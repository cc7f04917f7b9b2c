from __future__ import annotations

import numpy as np
import pytest
from metric_scenes import METRIC, RELATIVE

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import Frame, Prediction, PredictionKind, Quality
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.rectification import rectify
from depth_anything_ros.inference.preprocess import network_size
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.sources.baseline import BaselineSource
from depth_anything_ros.metric.sources.focal import FocalSource
from depth_anything_ros.metric.sources.network import NetworkScaler
from depth_anything_ros.network.families.depth_anything.models import HYPERSIM_FOCAL, VKITTI_FOCAL

VALUES = np.linspace(1, 9, 480 * 640, dtype=np.float32).reshape(480, 640)
CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
FRAME = Frame(np.zeros((480, 640, 3), np.uint8), stamp=1, camera=CAMERA)


def test_training_focal_lengths_are_those_of_the_data_sets() -> None:
    assert pytest.approx(598.1, abs=0.05) == HYPERSIM_FOCAL
    assert pytest.approx(1001.5, abs=0.05) == VKITTI_FOCAL


def test_metres_grow_with_the_focal_length_at_the_networks_input() -> None:
    prediction = Prediction(VALUES, METRIC, (518, 686))
    scaled = LiveScaler([FocalSource(HYPERSIM_FOCAL)]).scale(prediction, FRAME)
    factor = 525.0 * 686 / 640 / HYPERSIM_FOCAL
    assert scaled.depth_m is not None
    assert np.abs(scaled.depth_m / (VALUES * factor) - 1).max() < 1e-6
    assert scaled.state.scale == pytest.approx(factor, rel=1e-9)
    assert (scaled.state.method, scaled.state.quality) == ("focal", Quality.GOOD)


@pytest.mark.parametrize(
    ("camera", "size"),
    [
        (Camera(640, 480, 525.0, 519.0, 319.5, 239.5), (378, 504)),
        (Camera(1920, 1080, 1391.3, 1402.7, 959.5, 539.5), (280, 504)),
        (Camera(300, 500, 410.0, 405.5, 12.0, 240.0), (504, 308)),  # of a rectified region
    ],
)
def test_depth_of_the_canonical_camera_becomes_metres(
    camera: Camera, size: tuple[int, int]
) -> None:
    ramp = np.linspace(0.1, 3, camera.height * camera.width, dtype=np.float32)
    values = ramp.reshape(camera.height, camera.width)
    prediction = Prediction(values, PredictionKind.RELATIVE_DEPTH, size)
    frame = Frame(np.zeros((camera.height, camera.width, 3), np.uint8), stamp=1, camera=camera)
    scaled = LiveScaler([FocalSource(300.0, canonical=True)]).scale(prediction, frame)
    # By hand: both focal lengths at the network's input, their mean, over 300.
    along_x = camera.fx * size[1] / camera.width
    along_y = camera.fy * size[0] / camera.height
    expected = values.astype(np.float64) * ((along_x + along_y) / 2) / 300
    assert scaled.depth_m is not None
    assert np.abs(scaled.depth_m / expected - 1).max() < 1e-6
    assert scaled.state.shift == 0.0


def test_the_focal_length_through_binning_regions_rectification_and_resizing() -> None:
    """The way of an image in the node: camera_info, rectified, cut, resized, then the network's."""
    k = [1391.3, 0, 951.2, 0, 1402.7, 533.8, 0, 0, 1]
    p = [1207.9, 0, 962.5, 0, 0, 1211.3, 541.1, 0, 0, 0, 1, 0]
    bent = [-0.21, 0.06, 0.0004, -0.0007, 0.0]
    camera = Camera.from_fields(
        1920,
        1080,
        k,
        bent,
        p=p,
        distortion_model="plumb_bob",
        binning=(2, 3),
        roi=(96, 54, 1728, 972),
    )
    assert (camera.width, camera.height) == (864, 324)
    rgb = np.zeros((324, 864, 3), np.uint8)
    image = rectify(rgb, camera)[20:320, 64:564]
    camera = camera.rectified().cropped(64, 20, 500, 300).resized(750, 200)
    size = network_size(200, 750, 504, 14, "longer")
    assert image.shape == (300, 500, 3) and size == (140, 504)
    ramp = np.linspace(0.1, 3, 200 * 750, dtype=np.float32).reshape(200, 750)
    frame = Frame(np.zeros((200, 750, 3), np.uint8), stamp=1, camera=camera)
    prediction = Prediction(ramp, PredictionKind.RELATIVE_DEPTH, size)
    scaled = LiveScaler([FocalSource(300.0, canonical=True)]).scale(prediction, frame)
    # By hand: P's focal lengths (the rectified image's), binned, resized to 750 and 200, then 504
    # and 140; neither region changes them.
    along_x = 1207.9 / 2 * (750 / 500) * (504 / 750)
    along_y = 1211.3 / 3 * (200 / 300) * (140 / 200)
    expected = ramp.astype(np.float64) * (along_x + along_y) / 2 / 300
    assert scaled.depth_m is not None
    assert np.abs(scaled.depth_m / expected - 1).max() < 1e-6


def test_relative_depth_alone_has_no_metres() -> None:
    prediction = Prediction(VALUES, PredictionKind.RELATIVE_DEPTH, (378, 504))
    with pytest.raises(UnmeasurableError, match="lacks nothing else"):
        FocalSource(600).measure(prediction, FRAME)
    scaled = NetworkScaler().scale(prediction, FRAME)
    assert scaled.depth_m is None
    assert "gives relative depth" in scaled.state.reason


def test_the_virtual_baseline_is_the_stereo_formula() -> None:
    prediction = Prediction(VALUES, RELATIVE, (480, 640))
    scaled = LiveScaler([BaselineSource(0.12)]).scale(prediction, FRAME)
    assert scaled.depth_m is not None
    assert np.abs(scaled.depth_m / (525.0 * 0.12 / VALUES) - 1).max() < 1e-6


def test_the_wrong_kind_and_a_missing_camera_are_named() -> None:
    relative = Prediction(VALUES, RELATIVE, (480, 640))
    metric = Prediction(VALUES, METRIC, (480, 640))
    with pytest.raises(UnmeasurableError, match="lacks nothing else"):
        FocalSource(600).measure(relative, FRAME)
    with pytest.raises(UnmeasurableError, match="give disparity only"):
        BaselineSource(0.1).measure(metric, FRAME)
    with pytest.raises(UnmeasurableError, match="camera_info"):
        FocalSource(600).measure(metric, Frame(FRAME.rgb))
    with pytest.raises(SettingError, match="baseline is 0"):
        BaselineSource(0)
    with pytest.raises(SettingError, match="reference_focal is -1"):
        FocalSource(-1)
