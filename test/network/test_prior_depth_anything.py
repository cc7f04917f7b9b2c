"""The second stage of Prior Depth Anything: what it is shown, and what it makes of it.

The official code needs libraries that are not had here. Without its maps the network is Depth
Anything V2, which is held against the official code elsewhere; what the maps add is written out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
import torch.nn.functional as F
from metric_scenes import frame, relative, sample, wavy_depth
from random_checkpoints import PRIOR, make_prior, write_prior

from depth_anything_ros.errors import CheckpointError
from depth_anything_ros.frames import FloatImage, RgbImage, SparsePoints
from depth_anything_ros.inference.completion import PriorCompletion, load_completion
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.selection import make_scaler
from depth_anything_ros.metric.sources.sparse import SparseSource
from depth_anything_ros.network.catalogue import catalogue
from depth_anything_ros.network.checkpoints import load_network
from depth_anything_ros.network.families.depth_anything.network import (
    DepthAnything,
)
from depth_anything_ros.network.families.prior_depth_anything import checkpoint
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings

DEPTH = wavy_depth()


@torch.inference_mode()
def test_v2_with_maps_added_to_its_tokens() -> None:
    network = make_prior()
    state = {
        name.replace("output_conv2.0.", "output_conv2."): tensor
        for name, tensor in network.state_dict().items()
        if "alpha_proj" not in name
    }
    v2 = DepthAnything(PRIOR).eval()
    missing, unexpected = v2.load_state_dict(state, strict=False)
    assert not unexpected
    assert {name.split(".")[-2] for name in missing} <= {"conv1", "conv2", "pretrained"}
    image, maps = torch.randn(1, 3, 42, 56), torch.rand(1, 3, 42, 56)
    weight = network.pretrained.get_parameter("patch_embed.alpha_proj.weight")
    bias = network.pretrained.get_parameter("patch_embed.alpha_proj.bias")
    added = F.unfold(maps, 14, stride=14).transpose(1, 2) @ weight.flatten(1).T + bias
    v2.pretrained.patch_embed.register_forward_hook(lambda module, inputs, out: out + added)
    expected = v2(image)
    ours = network(torch.cat([image, maps], 1))
    assert expected.std() > 0.05
    worst = float((ours - expected).abs().max() / expected.std())
    print(f"\nat most {worst:.1e} of the standard deviation")
    assert worst <= 1e-4


class Echo(torch.nn.Module):
    """Answers one of the maps, and keeps what it was shown."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        self.channel = channel
        self.shown = torch.zeros(0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.shown = image
        return image[:, self.channel]


def completion_of(channel: int) -> tuple[PriorCompletion, Echo]:
    echo = Echo(channel)
    return PriorCompletion(echo, "cpu", DEPTH.shape[0]), echo  # type: ignore[arg-type]


def test_depth_goes_through_the_condition_and_back() -> None:
    points = sample(DEPTH, 400)
    rgb = np.random.default_rng(0).integers(0, 256, (*DEPTH.shape, 3), dtype=np.uint8)
    coarse = np.asarray(1 / DEPTH, np.float32)
    fitted = np.asarray(1.1 / DEPTH, np.float32)
    completion, echo = completion_of(5)
    inverse = completion.complete(rgb, fitted, coarse, points)
    beyond = 1.02 * points.z.min() < DEPTH  # the nearest of all points has no disparity there
    off = np.abs(inverse[beyond] * DEPTH[beyond] - 1)
    assert np.nanmedian(off) < 0.01
    there = echo.shown[0, 3]
    assert 0 < float(there.sum()) < 2 * len(points)
    assert float(echo.shown[0, 4:].min()) >= 0
    # Blue, green, red, normalised by the numbers of red, green, blue.
    blue = (rgb[..., 2].mean() / 255 - 0.485) / 0.229
    assert float(echo.shown[0, 0].mean()) == pytest.approx(blue, abs=0.02)


def test_what_the_network_does_not_say_is_unknown() -> None:
    completion, _ = completion_of(5)
    nothing = np.full(DEPTH.shape, np.nan, np.float32)
    rgb = np.zeros((*DEPTH.shape, 3), np.uint8)
    points = sample(DEPTH, 20)
    inverse = completion.complete(rgb, nothing, nothing, points)
    assert np.isnan(inverse).mean() > 0.8
    assert np.nanmin(inverse) > 0


class Half:
    """Finishes nothing but halves inverse depth."""

    def complete(
        self, rgb: RgbImage, fitted: FloatImage, coarse: FloatImage, points: SparsePoints
    ) -> FloatImage:
        return np.asarray(coarse / 2, np.float32)


def test_the_scaler_gives_what_the_network_finishes() -> None:
    prediction = relative(DEPTH, 0.05, 0.08)
    scaler = LiveScaler([SparseSource()], completion=Half())
    scaled = scaler.scale(prediction, frame(DEPTH, points=sample(DEPTH, 500)))
    assert scaled.depth_m is not None
    np.testing.assert_allclose(np.nanmedian(scaled.depth_m / DEPTH), 2, rtol=1e-3)


def test_files(tmp_path: Path) -> None:
    path = write_prior(tmp_path)
    assert checkpoint.recognises(make_prior().state_dict())
    with pytest.raises(CheckpointError, match="give this one as prior_model"):
        load_network(path)
    info = ModelInfo("some", "vits", "v2", relative(DEPTH, 1, 0).kind)
    scaler = make_scaler(ScalerSettings("sparse", refinement="prior", prior_model=str(path)), info)
    assert isinstance(scaler, LiveScaler)
    scaled = scaler.scale(relative(DEPTH, 0.05, 0.08), frame(DEPTH, points=sample(DEPTH, 500)))
    assert scaled.depth_m is not None and np.isfinite(scaled.depth_m).mean() > 0.5
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="no network of Prior Depth Anything"):
        load_completion(str(tmp_path / "other.pth"))
    assert catalogue()["prior_depth_anything_vitb_1_1"].licence_note
