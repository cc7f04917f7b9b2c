"""The optimisers of a run and how their rates change over its steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from depth_anything_ros.network.trainable import TrainableNetwork
from depth_anything_ros.training.muon import Muon, is_matrix
from depth_anything_ros.training.recipe import Recipe


def make_optimizers(network: TrainableNetwork, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """AdamW with a rate of its own for the encoder; Muon for the matrices if enabled.

    Args:
        network: The network to train.
        recipe: The run.

    Returns:
        One or two optimisers whose groups name their full rate as `rate`.
    """
    rest: list[dict[str, Any]] = []
    matrices: list[nn.Parameter] = []
    for part, rate in (
        (network.encoder_module, recipe.encoder_rate),
        (network.decoder_module, recipe.head_rate),
    ):
        named = [(name, weight) for name, weight in part.named_parameters() if weight.requires_grad]
        if recipe.matrix_rate:
            matrices += [weight for name, weight in named if is_matrix(name, weight)]
            named = [(name, weight) for name, weight in named if not is_matrix(name, weight)]
        rest.append({"params": [weight for _, weight in named], "rate": rate, "lr": rate})
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, weight_decay=recipe.weight_decay)
    ]
    if matrices:
        group = {"params": matrices, "rate": recipe.matrix_rate}
        optimizers.append(Muon([group], recipe.matrix_rate, recipe.weight_decay))
    return optimizers


def set_rates(optimizers: list[torch.optim.Optimizer], recipe: Recipe, step: int) -> float:
    """Give every group its rate of one step.

    Args:
        optimizers: As `make_optimizers` made them.
        recipe: The run.
        step: Steps done so far.

    Returns:
        The share of the full rate: up from 0 over the warm-up, then linearly down to 0.
    """
    if step < recipe.warm_up:
        factor = (step + 1) / recipe.warm_up
    else:
        factor = (recipe.steps - step) / max(1, recipe.steps - recipe.warm_up)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * factor
    return factor
