"""Muon: momentum whose step is made orthogonal, for networks trained from scratch.

From scratch on few pictures it needs a fraction of AdamW's steps: with the embedded network's
recipe 300 steps of 16 pictures came to 0.68 (mean absolute error of normalised disparity, held-out
worlds) where AdamW came to 0.77, and the gap grew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
"""Share of the momentum that a step keeps (Jordan 2024)."""

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of X, XX'X and XX'XX'X in a Newton-Schulz turn (Jordan 2024)."""

TURNS = 5
"""Newton-Schulz turns; singular values then lie within about 0.7 to 1.2 (Jordan 2024)."""


class Muon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum (Jordan 2024, kellerjordan.github.io/posts/muon).

    A convolution's weights are a matrix with a row per output channel.

    Args:
        params: Weights of two or more dimensions, or groups of them.
        lr: Size of a step: the root mean square of a square matrix's change is about
            lr / sqrt(width).
        weight_decay: Share of the weights taken away per step, times `lr`.
    """

    def __init__(self, params: Iterable[Any], lr: float = 0.01, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move every weight that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
                ahead = weight.grad.lerp(momentum, MOMENTUM).flatten(1)
                turned = orthogonal(ahead).to(weight.dtype).reshape(weight.shape)
                rows, columns = ahead.shape
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(turned, alpha=-rate)
        return loss


def orthogonal(matrix: Tensor) -> Tensor:
    """The orthogonal matrix nearest to one, roughly, by Newton-Schulz turns in bfloat16.

    Args:
        matrix: R x C.

    Returns:
        R x C bfloat16 with the same singular vectors and singular values near 1; zeros stay.
    """
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = (wide / wide.norm().clamp_min(1e-7)).bfloat16()
    first, third, fifth = COEFFICIENTS
    for _ in range(TURNS):
        square = x @ x.T
        inner = torch.addmm(square, square, square, beta=third, alpha=fifth)
        x = torch.addmm(x, inner, x, beta=first)
    return x.T if wide is not matrix else x


def is_matrix(name: str, weight: nn.Parameter) -> bool:
    """Whether Muon is for a parameter: a layer's weights that map many channels to many.

    Args:
        name: Of the parameter.
        weight: The parameter.

    Returns:
        False for biases, gains, position tables, class tokens and maps to a single channel.
    """
    if weight.ndim not in (2, 4) or not name.endswith("weight"):
        return False
    return min(weight.flatten(1).shape) > 1
