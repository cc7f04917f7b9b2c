"""The official networks of Depth Anything 3 (PyPI depth-anything-3) with random weights.

Every maker skips the test where that code is not installed.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from depth_anything_ros.network.families.depth_anything.network import ENCODERS, default_taps
from depth_anything_ros.network.families.depth_anything_3.single_view import SingleViewConfig

GIANT_BLOCKS = 17
"""Of 40: four after the thirteen that see one view. The whole network needs 11 GB twice."""

GIANT_TAPS = (13, 14, 15, 16)
"""Blocks that the head of that network reads."""

_NAMES = {"vits": "da3-small", "vitb": "da3-base", "vitl": "da3-large"}
_CALIBRATION = (98, 126)


def config_of(encoder: str) -> SingleViewConfig:
    """Our architecture of a single-view network with an encoder."""
    width, depth, features, out_channels = ENCODERS[encoder]
    taps = default_taps(depth)
    return SingleViewConfig(width, depth, width // 64, features, out_channels, taps, False)


def official_single(encoder: str) -> Any:
    """DA3MONO or DA3METRIC with an encoder; published is vitl."""
    model = pytest.importorskip("depth_anything_3.model.da3")
    dinov2 = pytest.importorskip("depth_anything_3.model.dinov2.dinov2")
    dpt = pytest.importorskip("depth_anything_3.model.dpt")
    config = config_of(encoder)
    backbone = dinov2.DinoV2(encoder, list(config.taps), cat_token=False)
    head = dpt.DPT(
        config.width,
        output_dim=1,
        features=config.features,
        out_channels=list(config.out_channels),
    )
    network = model.DepthAnything3Net(backbone, head).eval()
    randomise(network)
    calibrate_single(network)
    return network


def official_views(encoder: str) -> Any:
    """An any-view network from its own configuration; see `official_giant` for the giant one."""
    cfg = pytest.importorskip("depth_anything_3.cfg")
    registry = pytest.importorskip("depth_anything_3.registry")
    return _ready(cfg.create_object(cfg.load_config(registry.MODEL_REGISTRY[_NAMES[encoder]])))


def official_giant(width: int = 1536) -> Any:
    """The first blocks of the giant any-view network, without its Gaussian splats.

    Args:
        width: Channels of a token; the official 1536, or less.
    """
    cfg = pytest.importorskip("depth_anything_3.cfg")
    registry = pytest.importorskip("depth_anything_3.registry")
    dinov2 = pytest.importorskip("depth_anything_3.model.dinov2.dinov2")
    transformer = pytest.importorskip("depth_anything_3.model.dinov2.vision_transformer")
    config = cfg.load_config(registry.MODEL_REGISTRY["da3-giant"])
    del config["gs_head"], config["gs_adapter"]
    config.net.out_layers = list(GIANT_TAPS)
    config.cam_enc.dim_out = width
    config.cam_dec.dim_in = config.head.dim_in = 2 * width
    if width < 1536:
        config.head.features, config.head.out_channels = 32, [32, 32, 64, 64]
    blocks = functools.partial(
        transformer.DinoVisionTransformer,
        embed_dim=width,
        depth=GIANT_BLOCKS,
        num_heads=width // 64,
        mlp_ratio=4,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dinov2, "vit_giant2", blocks)
        return _ready(cfg.create_object(config))


def _ready(network: Any) -> Any:
    randomise(network)
    network.cam_dec.fc_fov[0].bias.data.fill_(2.0)  # fields of view behind a ReLU
    calibrate_views(network)
    return network.eval()


def official_nested(encoder: str) -> Any:
    """A nested network of two small ones."""
    model = pytest.importorskip("depth_anything_3.model.da3")
    network = model.NestedDepthAnything3Net.__new__(model.NestedDepthAnything3Net)
    torch.nn.Module.__init__(network)
    network.da3, network.da3_metric = official_views(encoder), official_single(encoder)
    return network.eval()


@torch.no_grad()
def randomise(network: Any) -> None:
    """Weights with which every part of a network has a say in the result."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in network.named_parameters():
        if name.endswith("gamma"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.dim() > 1 and "pos_embed" not in name and "token" not in name:
            fan_in = tensor.shape[0] if "resize_layers" in name else tensor[0].numel()
            gain = 2 if "head" in name else 1
            tensor.normal_(std=(gain / fan_in) ** 0.5, generator=generator)
        elif "norm" in name and name.endswith("weight"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        else:
            tensor.normal_(std=0.1, generator=generator)


@torch.no_grad()
def calibrate_single(network: Any) -> None:
    """Outputs before their activations spread by 0.25 around 0 (depth) and 0.3 (sky).

    Noise has no smooth surfaces: with more, single pixels would be a hundred times the others.
    """
    head = network.head.scratch
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(1, 1, 3, *_CALIBRATION, generator=generator)
    for last, middle in ((head.output_conv2, 0.0), (head.sky_output_conv2, 0.3)):
        raw: list[torch.Tensor] = []
        hook = last.register_forward_hook(lambda module, inputs, out, raw=raw: raw.append(out))
        feats, _ = network.backbone(image, cam_token=None, export_feat_layers=[])
        network.head(feats, *_CALIBRATION, patch_start_idx=0)
        hook.remove()
        scale = 0.25 / raw[0].std()
        last[2].weight.mul_(scale)
        last[2].bias.mul_(scale).add_(middle - raw[0].mean() * scale)


@torch.no_grad()
def calibrate_views(network: Any) -> None:
    """Depth and confidence before their exponential functions spread by 0.25 around 0."""
    last = network.head.scratch.output_conv2
    raw: list[torch.Tensor] = []
    hook = last.register_forward_hook(lambda module, inputs, out: raw.append(out))
    generator = torch.Generator().manual_seed(3)
    network(torch.randn(1, 1, 3, *_CALIBRATION, generator=generator))
    hook.remove()
    for channel in range(2):
        scale = 0.25 / raw[0][:, channel].std()
        mean = raw[0][:, channel].mean()
        last[2].weight[channel].mul_(scale)
        last[2].bias[channel].mul_(scale).sub_(mean * scale)


def cameras(views: int, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Poses along a bend, relative to the first, in units of about their distance; and lenses."""
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (1, views, 1, 1))
    for view in range(1, views):
        poses[0, view, :3, :3] = Rotation.from_rotvec(rng.normal(0, 0.4, 3)).as_matrix()
        poses[0, view, :3, 3] = rng.normal(0, 1, 3)
    intrinsics = np.tile(np.eye(3), (1, views, 1, 1))
    intrinsics[..., 0, 0], intrinsics[..., 1, 1] = 0.86 * size[1], 0.85 * size[1]
    intrinsics[..., 0, 2], intrinsics[..., 1, 2] = size[1] / 2, size[0] / 2
    return torch.from_numpy(poses).float(), torch.from_numpy(intrinsics).float()


def share(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference as a share of the standard deviation."""
    return float((ours - theirs.reshape(ours.shape)).abs().max() / theirs.std())


def differences_single(network: Any, ours: Any, image: torch.Tensor) -> dict[str, float]:
    """Largest difference of each output of a single-view network as a share of its deviation."""
    with torch.inference_mode():
        mine = ours.named_outputs(image)
        feats, _ = network.backbone(image[:, None], cam_token=None, export_feat_layers=[])
        theirs = network.head(feats, *image.shape[-2:], patch_start_idx=0)
    figures = {}
    for name, values in mine.items():
        reference = theirs[name][:, 0].reshape(values.shape)
        assert 0.05 < float(reference.std()) < 10
        figures[name] = share(values, reference)
    return figures


def differences_views(
    network: Any, ours: Any, images: torch.Tensor, given: bool
) -> dict[str, float]:
    """The same of an any-view network for images of one scene, with or without known cameras."""
    size = images.shape[-2], images.shape[-1]
    poses, lenses = cameras(images.shape[1], size) if given else (None, None)
    with torch.inference_mode():
        theirs = network(images, poses, lenses)
        mine = ours.views(images, poses, lenses)
    assert float(theirs.depth.std()) > 0.05
    return {
        "depth": share(mine.depth, theirs.depth),
        "confidence": share(mine.confidence, theirs.depth_conf),
        "extrinsics": share(mine.extrinsics, theirs.extrinsics),
        "field of view": float((_fields(mine.intrinsics) - _fields(theirs.intrinsics)).abs().max()),
    }


def _fields(lenses: torch.Tensor) -> torch.Tensor:
    """Fields of view in radians, which are what the networks give."""
    return 2 * torch.stack([torch.atan(lenses[..., i, 2] / lenses[..., i, i]) for i in range(2)])


def differences_nested(network: Any, ours: Any, image: torch.Tensor) -> dict[str, float]:
    """The same of a nested network for one image.

    The official depth is in metres by the focal length that it estimates, and sky is filled.
    """
    with torch.inference_mode():
        mine = ours.named_outputs(image)
        theirs = network(image[:, None])
        sky = network.da3_metric.head(
            network.da3_metric.backbone(image[:, None], cam_token=None, export_feat_layers=[])[0],
            *image.shape[-2:],
            patch_start_idx=0,
        ).sky
        focal = theirs.intrinsics[0, 0, [0, 1], [0, 1]].mean()
    ground = sky.reshape(mine["depth"].shape) < 0.3
    depth = theirs.depth.reshape(ground.shape)[ground]
    assert 0.2 < float(ground.float().mean()) < 0.9
    return {
        "depth": share(mine["depth"][ground] * focal / 300, depth),
        "confidence": share(
            mine["confidence"][ground], theirs.depth_conf.reshape(ground.shape)[ground]
        ),
        "sky": share(mine["sky"], sky),
    }
