"""A network with a window answers an image and its keyframes as one pass over all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import FloatArray, Frame, Keyframe, PredictionKind
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.inference.backends.torch.estimator import TorchEstimator
from depth_anything_ros.inference.estimator import ViewsEstimator
from depth_anything_ros.inference.preprocess import Normaliser
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.network.checkpoints import save_network
from depth_anything_ros.network.families.depth_anything_3.any_view import AnyView, AnyViewConfig
from depth_anything_ros.network.several_views import Features
from depth_anything_ros.settings import ModelSettings

TINY = AnyViewConfig(64, 6, 1, 16, (8, 8, 8, 8), (2, 3, 4, 5), 2, grid=5)
CAMERA = Camera(80, 60, 70.0, 71.0, 39.5, 29.5)
SIZE = (42, 56)


def make_tiny() -> AnyView:
    torch.manual_seed(3)
    network = AnyView(TINY).eval()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if tensor.dim() < 2 and "norm" not in name:
                tensor.normal_(0, 0.3)
            if name == "cam_dec.fc_fov.0.bias":
                tensor.fill_(2.0)
    return network


def scene(count: int, posed: bool = True) -> Frame:
    rng = np.random.default_rng(count)

    def pose(x: float) -> FloatArray:
        placed = np.eye(4)
        placed[:3, :3] = Rotation.from_rotvec(rng.normal(0, 0.2, 3)).as_matrix()
        placed[:3, 3] = 1e4 + x, 0.1, -3.0  # odometry may be far from its origin
        return placed

    images = rng.integers(0, 256, (count, 60, 80, 3), dtype=np.uint8)
    keyframes = tuple(Keyframe(each, 0, CAMERA, pose(0.3 * i)) for i, each in enumerate(images[1:]))
    newest = pose(0.3 * count) if posed else None
    return Frame(images[0], 1, "optical", CAMERA, pose=newest, keyframes=keyframes)


@pytest.mark.parametrize("posed", [True, False], ids=["poses-given", "poses-unknown"])
def test_the_same_as_all_views_at_once(posed: bool) -> None:
    network = make_tiny()
    frame = scene(4, posed)
    estimator = TorchEstimator(network, "cpu", "fp32", 56, window=4)
    assert isinstance(estimator, ViewsEstimator)
    twice = [estimator.estimate_views(frame) for _ in range(2)]
    np.testing.assert_array_equal(twice[0].values, twice[1].values)  # kept features are the same
    normaliser = Normaliser(SIZE, replace(network.preprocessing, input_size=56))
    pixels = np.empty((4, *SIZE, 3), np.float32)
    for image, out in zip([frame.rgb, *(k.rgb for k in frame.keyframes)], pixels, strict=True):
        normaliser.into(image, out)
    poses, lenses = None, None
    if frame.pose is not None:
        known = np.array([frame.pose, *(each.pose for each in frame.keyframes)])
        relative = np.linalg.inv(known) @ frame.pose
        distances = np.linalg.norm(np.linalg.inv(relative)[:, :3, 3], axis=1)
        relative[:, :3, 3] /= np.sort(distances)[1]  # torch's median of four
        poses = torch.from_numpy(relative[None]).float()
        k = np.array([[70 * 0.7, 0, 39.5 * 0.7], [0, 71 * 0.7, 29.5 * 0.7], [0, 0, 1]])
        lenses = torch.from_numpy(k).float().expand(1, 4, 3, 3)
    with torch.inference_mode():
        whole = network.views(torch.from_numpy(pixels).permute(0, 3, 1, 2)[None], poses, lenses)
        expected = torch.nn.functional.interpolate(
            whole.depth[:, :1], (60, 80), mode="bilinear", align_corners=False
        )
    prediction = twice[0]
    assert prediction.kind is PredictionKind.DEPTH_UP_TO_SCALE
    assert prediction.input_size == SIZE and prediction.confidence is not None
    np.testing.assert_allclose(prediction.values, expected[0, 0], rtol=1e-4)
    extrinsics = np.tile(np.eye(4), (4, 1, 1))
    extrinsics[:, :3] = whole.extrinsics[0]
    assert prediction.poses is not None
    np.testing.assert_allclose(prediction.poses, np.linalg.inv(extrinsics), atol=1e-4)


def test_only_what_is_new_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_tiny()
    seen: list[torch.Tensor] = []
    whole = AnyView.view_features

    def counted(self: AnyView, image: torch.Tensor) -> Features:
        seen.append(image)
        return whole(self, image)

    monkeypatch.setattr(AnyView, "view_features", counted)
    estimator = TorchEstimator(network, "cpu", "fp32", 56, window=4)
    frame = scene(4)
    counts = []
    for step in range(3):
        before = len(seen)
        estimator.estimate_views(replace(frame, rgb=np.roll(frame.rgb, step, 1), stamp=step + 1))
        counts.append(len(seen) - before)
    assert counts == [4, 1, 1]
    before = len(seen)
    estimator.estimate_views(scene(6))
    assert len(seen) - before == 4  # no more than the window holds


def test_windows_by_settings(tmp_path: Path) -> None:
    save_network(make_tiny(), tmp_path / "tiny.safetensors")
    settings = ModelSettings(str(tmp_path / "tiny.safetensors"), "cpu", "fp32", 56, 1, window=3)
    loaded = make_estimator(settings)
    assert (loaded.info.window, loaded.estimator.backend) == (3, "torch")
    alone = make_estimator(replace(settings, window=1, backend="torch"))
    assert alone.info.window == 1
    assert isinstance(alone.estimator, TorchEstimator)
    with pytest.raises(SettingError, match="window is 1"):
        alone.estimator.estimate_views(scene(2))
    with pytest.raises(SettingError, match="use backend torch or auto"):
        make_estimator(replace(settings, backend="onnxruntime"))
    with pytest.raises(SettingError, match="one image at a time"):
        make_estimator(replace(settings, model="embedded"))
