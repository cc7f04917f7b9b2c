"""Muon: an orthogonal step, for the weights that are matrices, and it learns in fewer steps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from depth_anything_ros.network.families.depth_anything.network import (
    DepthAnything,
    DepthAnythingConfig,
)
from depth_anything_ros.training.muon import MOMENTUM, Muon, is_matrix, orthogonal


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (24, 24)])
def test_orthogonal_keeps_the_directions_and_levels_the_sizes(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    turned = orthogonal(matrix).float()
    inside = u.T @ turned @ v.T
    sizes = inside.diagonal()
    assert float(sizes.min()) > 0.6 and float(sizes.max()) < 1.3
    assert (inside - torch.diag(sizes)).abs().max() < 0.05
    # How large the gradient is does not matter, and no gradient is no step.
    assert torch.allclose(orthogonal(1e-4 * matrix).float(), turned, atol=0.02)
    assert not orthogonal(torch.zeros(shape)).any()


def test_a_step_by_hand() -> None:
    weight = nn.Parameter(torch.eye(2)[:, :, None, None] * 3)
    optimizer = Muon([weight], lr=0.1, weight_decay=0.5)
    weight.grad = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[:, :, None, None]
    optimizer.step()
    # Equal singular values stay equal: each ends at the Newton-Schulz value of 1/sqrt(2).
    x = 1 / math.sqrt(2)
    for _ in range(5):
        x = 3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5
    moved = 3 * (1 - 0.1 * 0.5) - 0.1 * x
    assert weight.detach()[:, :, 0, 0].diagonal().tolist() == pytest.approx([moved] * 2, abs=2e-3)
    assert weight.detach()[0, 1].item() == pytest.approx(0, abs=1e-6)
    momentum = optimizer.state[weight]["momentum"]
    assert momentum[0, 0].item() == pytest.approx(1 - MOMENTUM)


def test_which_weights_are_matrices() -> None:
    network = DepthAnything(
        DepthAnythingConfig(
            width=24, depth=4, heads=2, features=8, out_channels=(8, 8, 8, 8), taps=(0, 1, 2, 3),
        )
    )  # fmt: skip
    chosen = {name for name, weight in network.named_parameters() if is_matrix(name, weight)}
    assert "pretrained.blocks.0.attn.qkv.weight" in chosen
    assert "depth_head.projects.0.weight" in chosen
    for name in (
        "pretrained.pos_embed",
        "pretrained.cls_token",
        "pretrained.norm.weight",
        "pretrained.blocks.0.mlp.fc1.bias",
        "depth_head.scratch.output_conv2.2.weight",
    ):
        assert name in dict(network.named_parameters()) and name not in chosen, name


def test_it_comes_farther_than_adamw_at_any_rate() -> None:
    """A network copies another from inputs that are strong in some directions, weak in others."""
    sizes = torch.logspace(0, -1.5, 32)

    def network() -> nn.Sequential:
        return nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 32))

    def loss_after(rate: float, matrix_rate: float = 0.0) -> float:
        torch.manual_seed(0)
        teacher, learner = network(), network()
        next(teacher.parameters()).data.mul_(4)
        matrices = [p for p in learner.parameters() if p.ndim == 2 and matrix_rate]
        rest = [p for p in learner.parameters() if p.ndim == 1 or not matrix_rate]
        optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, rate)]
        if matrices:
            optimizers.append(Muon(matrices, matrix_rate))
        loss = torch.zeros(())
        for _ in range(200):
            x = torch.randn(64, 32) * sizes
            loss = (learner(x) - teacher(x).detach()).square().mean()
            learner.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
        return loss.item()

    adamw = min(loss_after(rate) for rate in (1e-3, 3e-3, 1e-2, 3e-2))
    assert loss_after(3e-3, 0.03) < 0.7 * adamw
