"""Prompt Depth Anything says what transformers says with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from metric_scenes import sample, wavy_depth
from safetensors.torch import save_file

from depth_anything_ros.errors import CheckpointError
from depth_anything_ros.inference.completion import PromptCompletion, load_completion
from depth_anything_ros.network.checkpoints import load_network
from depth_anything_ros.network.families.prompt_depth_anything import checkpoint

SIDE = 70  # of both sides: elsewhere transformers interpolates positions otherwise


@pytest.fixture(scope="module")
def theirs() -> Any:
    transformers = pytest.importorskip("transformers")
    backbone = transformers.Dinov2Config(
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=1,
        image_size=SIDE,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
    )
    config = transformers.PromptDepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=64,
        neck_hidden_sizes=[8, 16, 32, 32],
        fusion_hidden_size=16,
        depth_estimation_type="metric",
    )
    network = transformers.PromptDepthAnythingForDepthEstimation(config).eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            fan = tensor[0].numel() if tensor.dim() > 1 else 4
            if "resize" in name and tensor.dim() > 1:
                fan = tensor.shape[0]
            tensor.normal_(0, (2 / fan) ** 0.5, generator=generator)
    return network


def test_parity(theirs: Any) -> None:
    state = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    assert checkpoint.recognises(state)
    ours = checkpoint.build(state, Path("it"))
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, 3, SIDE, SIDE, generator=generator)
    prompt = 1 + 3 * torch.rand(2, 1, 12, 16, generator=generator)
    with torch.inference_mode():
        expected = theirs(pixel_values=image, prompt_depth=prompt).predicted_depth
        found = ours(image, prompt)
    worst = float((found - expected).abs().max() / expected.std())
    print(f"\nat most {worst:.1e} of the standard deviation, {float(expected.std()):.2f} m")
    assert expected.std() > 0.1
    assert worst <= 1e-4


def test_coarse_depth_is_the_prompt(theirs: Any, tmp_path: Path) -> None:
    path = tmp_path / "prompt.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in theirs.state_dict().items()}, path)
    with pytest.raises(CheckpointError, match="give this one as prior_model"):
        load_network(path)
    completion = load_completion(str(path), "cpu")
    assert isinstance(completion, PromptCompletion)
    depth = wavy_depth()
    coarse = np.asarray(1 / depth, np.float32)
    coarse[:4, :4] = np.nan
    rgb = np.zeros((*depth.shape, 3), np.uint8)
    metres = 1 / completion.complete(rgb, coarse, coarse, sample(depth, 50))
    assert metres.shape == depth.shape and np.isfinite(metres).all()
    assert depth.min() * 0.99 <= metres.min() and metres.max() <= 1.5 * depth.max()
