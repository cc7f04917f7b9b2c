"""The training loop of the correction."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depth_anything_ros.errors import InputError
from depth_anything_ros.metric.correction import SIDE
from depth_anything_ros.training.correction.draws import Draw, read_draws
from depth_anything_ros.training.correction.network import CorrectionNetwork, write_onnx
from depth_anything_ros.training.correction.recipe import CorrectionRecipe
from depth_anything_ros.training.sparse.draw_files import folder_of

RESULT = "correction.onnx"
"""File of the trained network in the output folder."""

Report = Callable[[int, dict[str, float]], None]

# Own choices.
_HELD_OUT = 16  # of so many files one is not learned from
_NODES = 800_000  # of one step, and
_MOST = 96  # the most lattices in it
_COARSE = 0.6  # coarse lattices, of few points, are drawn so much less often than they are many
_WARM_UP = 300
_LOG_WEIGHT = 0.3
_LEAST_ERROR = 0.01
_REPORT_EVERY = 500
_COLOURS = slice(3, 6)


class _Shape:
    """Lattices of one shape, on the device."""

    def __init__(self, draws: list[Draw], device: torch.device) -> None:
        rows, columns = draws[0].wanted.shape
        pad = (0, -columns % SIDE, 0, -rows % SIDE)
        seen = torch.from_numpy(np.stack([draw.seen for draw in draws]))
        wanted = torch.from_numpy(np.stack([draw.wanted for draw in draws]))
        self.seen = functional.pad(seen, pad).to(device)
        self.wanted = functional.pad(wanted, pad, value=math.nan).to(device)
        self.batch = max(1, min(_MOST, _NODES // self.wanted[0].numel()))

    def __len__(self) -> int:
        return len(self.seen)


def train_correction(recipe: CorrectionRecipe, report: Report) -> Path:
    """Learn from all draws that are there, and write the network.

    Args:
        recipe: The training; its draws are made (`make_files`).
        report: Told the step and its figures now and then; "ratio" is AbsRel of held-out draws
            with the correction, relative to without, mean over draws.

    Returns:
        The ONNX file, for `metric/correction.onnx`.

    Raises:
        InputError: There are no draws.
    """
    device = torch.device(recipe.device)
    torch.manual_seed(recipe.seed)
    learned, held_out = _load(recipe, device)
    network = CorrectionNetwork(recipe.channels).to(device)
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=1e-3)
    rng = np.random.default_rng(recipe.seed)
    coarsest = min(shape.wanted[0].numel() for shape in learned)
    share = np.array(
        [len(each) * (_COARSE if each.wanted[0].numel() == coarsest else 1) for each in learned]
    )
    bf16 = recipe.precision == "bf16"
    for step in range(1, recipe.steps + 1):
        rate = recipe.rate * min(1, step / _WARM_UP)
        rate *= 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        shape = learned[int(rng.choice(len(learned), p=share / share.sum()))]
        some = torch.from_numpy(rng.integers(len(shape), size=shape.batch)).to(device)
        seen, wanted = _varied(shape.seen[some].float(), shape.wanted[some].float())
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            answer = network.logarithm(seen)
        loss = _loss(answer, wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            kept = min(recipe.ema, 1 - 1 / step)
            for ours, theirs in zip(average.parameters(), network.parameters(), strict=True):
                ours.lerp_(theirs, 1 - kept)
        if step % _REPORT_EVERY == 0 or step == recipe.steps:
            report(step, {"loss": float(loss.detach()), "ratio": _ratio(average, held_out)})
    path = Path(recipe.output).expanduser() / RESULT
    write_onnx(average, path)
    return path


def _load(recipe: CorrectionRecipe, device: torch.device) -> tuple[list[_Shape], list[_Shape]]:
    """Draws to learn from and to judge by, by the shape of their lattice."""
    files = sorted(folder_of(recipe).glob("*.npz"))
    parts: tuple[dict[tuple[int, ...], list[Draw]], ...] = ({}, {})
    for number, path in enumerate(files):
        for draw in read_draws(path):
            part = parts[number % _HELD_OUT == 1]
            part.setdefault(draw.wanted.shape, []).append(draw)
    learned, held_out = ([_Shape(draws, device) for draws in part.values()] for part in parts)
    if not learned:
        raise InputError(f"{folder_of(recipe)} has too few draws; set more `pictures`")
    return learned, held_out


def _varied(seen: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Mirrored now and then, in other light and colours, or without any."""
    if torch.rand(()) < 0.5:
        seen, wanted = seen.flip(-1), wanted.flip(-1)
    colours = seen[:, _COLOURS]

    def normal(*shape: int) -> Tensor:
        return torch.randn(len(seen), *shape, device=seen.device)

    varied = colours * (1 + 0.25 * normal(1, 1, 1))
    varied = varied + torch.cat([0.1 * normal(1, 1, 1), 0.03 * normal(2, 1, 1)], dim=1)
    varied = varied * (torch.rand(len(seen), 1, 1, 1, device=seen.device) > 0.05)
    varied = varied + 0.01 * torch.rand_like(normal(1, 1, 1)) * torch.randn_like(colours)
    seen = seen.clone()
    seen[:, _COLOURS] = varied
    return seen, wanted


def _absrel(off: Tensor, known: Tensor) -> Tensor:
    """Mean relative error of depth of each lattice, from the logarithm of what is missing."""
    error = (torch.exp(off.clamp(-2.5, 1.2)) - 1).abs()
    return (error * known).sum((1, 2)) / known.sum((1, 2)).clamp_min(1)


def _loss(answer: Tensor, wanted: Tensor) -> Tensor:
    """AbsRel, and a little of the error of log depth, relative to AbsRel before the correction."""
    known = torch.isfinite(wanted)
    wanted = torch.nan_to_num(wanted)
    before = _absrel(wanted, known)
    off = wanted - answer
    size = (off.abs() * known).sum((1, 2)) / known.sum((1, 2)).clamp_min(1)
    return ((_absrel(off, known) + _LOG_WEIGHT * size) / (before + _LEAST_ERROR)).mean()


@torch.no_grad()
def _ratio(network: CorrectionNetwork, held_out: list[_Shape]) -> float:
    ratios = []
    for shape in held_out:
        for start in range(0, len(shape), shape.batch):
            part = slice(start, start + shape.batch)
            wanted = shape.wanted[part].float()
            known = torch.isfinite(wanted)
            wanted = torch.nan_to_num(wanted)
            after = _absrel(wanted - network.logarithm(shape.seen[part].float()), known)
            ratios.append(after / (_absrel(wanted, known) + 1e-6))
    return float(torch.cat(ratios).mean()) if ratios else math.nan
