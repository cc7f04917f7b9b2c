"""`depth_anything run` with a folder as the official Depth Anything 3 repositories have it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from safetensors.torch import save_file

from depth_anything_ros.api import EDGE_ANGLE_DEG
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud_filters import flying_pixels
from depth_anything_ros.inference.preprocess import Normaliser, network_size
from depth_anything_ros.network.families.depth_anything_3.single_view import (
    SingleView,
    SingleViewConfig,
)

SHAPE = (120, 200)
SIZE = (308, 504)


def small_network() -> SingleView:
    """A small network of the official architecture; the upper part of a picture is sky to it."""
    torch.manual_seed(0)
    config = SingleViewConfig(64, 4, 1, 16, (8, 12, 16, 24), (0, 1, 2, 3), metric=True)
    network = SingleView(config).eval()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if "depth_head" in name:
                tensor.normal_(std=(2 / max(tensor[0].numel(), 2)) ** 0.5)
            elif "pos_embed" in name:
                tensor.normal_(std=0.5)
        noise = torch.randn(1, 3, 98, 126)
        tokens = network.pretrained(noise, config.taps)
        depth, sky = network.depth_head.both(tokens, 7, 9)
        for raw, name, middle in ((depth, "output_conv2", 1.5), (sky, "sky_output_conv2", 0.2)):
            last: Any = network.depth_head.scratch.get_submodule(name)[2]  # type: ignore[index]
            scale = 0.2 / raw.std()
            last.weight.mul_(scale)
            last.bias.mul_(scale).add_(middle - raw.mean() * scale)
    return network


@pytest.fixture(scope="module")
def network() -> SingleView:
    return small_network()


@pytest.fixture(scope="module")
def folder(network: SingleView, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("official")
    state = {
        "model." + name.replace("pretrained.", "backbone.pretrained.", 1)
        if name.startswith("pretrained.")
        else "model." + name.replace("depth_head.", "head.", 1): tensor
        for name, tensor in network.state_dict().items()
    }
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_name": "da3metric-large"}))
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = np.random.default_rng(4).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    cv2.imwrite(str(path), cv2.resize(small, SHAPE[::-1], interpolation=cv2.INTER_CUBIC))
    return path


def by_hand(network: SingleView, photo: Path) -> tuple[np.ndarray, np.ndarray]:
    """What the network says about the photograph, at its size: depth and whether it is sky."""
    image = np.asarray(cv2.imread(str(photo)), np.uint8)[..., ::-1]
    assert network_size(*SHAPE, 504, 14, "longer") == SIZE
    pixels = np.empty((*SIZE, 3), np.float32)
    Normaliser(SIZE, network.preprocessing).into(np.ascontiguousarray(image), pixels)
    with torch.inference_mode():
        said = network.named_outputs(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    depth, sky = (
        cv2.resize(each[0].numpy(), SHAPE[::-1], interpolation=cv2.INTER_LINEAR)
        for each in said.values()
    )
    return np.asarray(depth), np.asarray(sky) >= 0.3


def test_metres_by_the_focal_length_and_sky_at_infinity(
    run_cli: Callable[..., Any], network: SingleView, folder: Path, photo: Path, tmp_path: Path
) -> None:
    runtime = ("--backend", "torch", "--precision", "fp32")
    result = run_cli(
        *("run", photo, "--model", folder, "--hfov", "60", "-o", tmp_path, "--cloud"), *runtime
    )
    assert result.code == 0, result.err
    report = json.loads((tmp_path / "photo.json").read_text())
    assert (report["kind"], report["values"]) == ("relative_depth", "metres")
    assert report["scale_state"]["method"] == "focal"
    depth_m = np.load(tmp_path / "photo_depth.npy")
    depth, sky = by_hand(network, photo)
    camera = Camera.from_hfov(*SHAPE[::-1], 60.0)
    focal = (camera.fx * SIZE[1] / SHAPE[1] + camera.fy * SIZE[0] / SHAPE[0]) / 2
    assert 0.05 < sky.mean() < 0.95
    np.testing.assert_array_equal(np.isposinf(depth_m), sky)
    np.testing.assert_allclose(depth_m[~sky], depth[~sky] * focal / 300, rtol=1e-4)
    png = np.asarray(cv2.imread(str(tmp_path / "photo_depth.png"), cv2.IMREAD_UNCHANGED))
    assert np.all(png[sky] == 0)
    cloud = (tmp_path / "photo_cloud.ply").read_bytes().split(b"end_header")[0]
    in_the_air = flying_pixels(depth_m, camera, EDGE_ANGLE_DEG)
    assert f"element vertex {np.count_nonzero(~sky & ~in_the_air)}".encode() in cloud


def test_without_a_camera_there_are_no_metres(
    run_cli: Callable[..., Any], folder: Path, photo: Path, tmp_path: Path
) -> None:
    result = run_cli("run", photo, "--model", folder, "-o", tmp_path, "--backend", "torch")
    assert result.code == 0
    assert "has no metres" in result.err
    assert "camera_info" in result.err or "focal length" in result.err
    assert np.isnan(np.load(tmp_path / "photo_depth.npy")).all()
    refused = run_cli("run", photo, "--model", folder, "--scaler", "network", "-o", tmp_path)
    assert refused.code != 0
    assert "gives relative depth" in refused.err
