"""The training loop of the network that finds wrong points."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depth_anything_ros.errors import InputError, reading
from depth_anything_ros.metric.wrong_points_network import COLOURS_OF_PAIR, COLOURS_OF_POINT
from depth_anything_ros.training.sparse.draw_files import folder_of
from depth_anything_ros.training.wrong_points.network import WrongPointsNetwork, write_weights
from depth_anything_ros.training.wrong_points.recipe import WrongPointsRecipe

RESULT = "wrong_points.safetensors"
"""File of the trained network in the output folder."""

Report = Callable[[int, dict[str, float]], None]

# Own choices.
_HELD_OUT = 32  # of so many files one is not learned from
_WARM_UP = 300
_EACH_POINT = 0.4  # weight of a point; the rest of the weight is shared out evenly to draws
_COLOURLESS = 0.08  # share of draws
_REPORT_EVERY = 500
_MOST_JUDGED = 400  # draws


class _Draws:
    """All draws, on the device."""

    def __init__(self, files: list[Path], device: torch.device) -> None:
        parts: dict[str, list[np.ndarray]] = {}
        for path in files:
            with reading(path, "draws (delete it)"), np.load(path, allow_pickle=False) as file:
                for name in ("count", "points", "near", "pairs", "wrong"):
                    parts.setdefault(name, []).append(file[name])

        def joined(name: str) -> Tensor:
            whole = torch.from_numpy(np.concatenate(parts.pop(name)))
            return whole.to(device)

        self.count = joined("count") if files else torch.empty(0, dtype=torch.long, device=device)
        if not len(self.count):
            return
        self._start = torch.cumsum(self.count, 0) - self.count
        self._points, self._near = joined("points"), joined("near")
        self._pairs, self._wrong = joined("pairs"), joined("wrong")

    def __len__(self) -> int:
        return len(self.count)

    def batch(self, some: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Points, neighbours, pairs, draw and wrong of some draws, one after the other."""
        count = self.count[some]
        draw = torch.repeat_interleave(torch.arange(len(some), device=count.device), count)
        first = torch.cumsum(count, 0) - count
        place = torch.arange(len(draw), device=count.device) - first[draw]
        place = self._start[some][draw] + place
        near = self._near[place].long() + first[draw][:, None]
        return (
            self._points[place].float(),
            near,
            self._pairs[place].float(),
            draw,
            self._wrong[place].float(),
        )


def train_wrong_points(recipe: WrongPointsRecipe, report: Report) -> Path:
    """Learn from all draws that are there, and write the network.

    Args:
        recipe: The training; its draws are made (`make_files`).
        report: Told the step and its figures now and then: "loss", and of held-out draws the
            cross entropy, and precision and recall of points that are likelier wrong than right.

    Returns:
        The file, for `metric/wrong_points.safetensors`.

    Raises:
        InputError: There are no draws.
    """
    device = torch.device(recipe.device)
    torch.manual_seed(recipe.seed)
    files = sorted(folder_of(recipe).glob("*.npz"))
    held_out = _Draws(files[1::_HELD_OUT], device)
    learned = _Draws([file for file in files if file not in files[1::_HELD_OUT]], device)
    if not len(learned):
        raise InputError(f"{folder_of(recipe)} has too few draws; set more `pictures`")
    network = WrongPointsNetwork(recipe.features, recipe.rounds).to(device)
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=1e-3)
    draws = max(1, round(recipe.points / float(learned.count.float().mean())))
    for step in range(1, recipe.steps + 1):
        rate = recipe.rate * min(1, step / _WARM_UP)
        rate *= 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        some = torch.randint(len(learned), (draws,), device=device)
        points, near, pairs, draw, wrong = learned.batch(some)
        _vary(points, pairs, draw, draws)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logit = network(points, near, pairs, draw)
        loss = (_cross_entropy(logit, wrong) * _weight(draw)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            kept = min(recipe.ema, 1 - 1 / step)
            for ours, theirs in zip(average.parameters(), network.parameters(), strict=True):
                ours.lerp_(theirs, 1 - kept)
        if step % _REPORT_EVERY == 0 or step == recipe.steps:
            report(step, {"loss": float(loss.detach()), **_judged(average, held_out)})
    path = Path(recipe.output).expanduser() / RESULT
    write_weights(average, path)
    return path


def _cross_entropy(logit: Tensor, wrong: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logit.float(), wrong, reduction="none")


def _weight(draw: Tensor) -> Tensor:
    """Weight of each point, 1 in the mean: small draws must not be lost among large ones."""
    count = torch.bincount(draw)
    of_draw = len(draw) / len(count) / count[draw]
    return _EACH_POINT + (1 - _EACH_POINT) * of_draw


def _vary(points: Tensor, pairs: Tensor, draw: Tensor, draws: int) -> None:
    """Mirrored now and then, in other light and colours, or without any; in place."""
    device = points.device
    if torch.rand(()) < 0.5:
        pairs[..., 0] *= -1
    gain = (1 + 0.25 * torch.randn(draws, 1, device=device))[draw]
    tint = (0.06 * torch.randn(draws, 3, device=device))[draw]
    seen = (torch.rand(draws, 1, device=device) > _COLOURLESS)[draw]
    points[:, COLOURS_OF_POINT] = (points[:, COLOURS_OF_POINT] * gain + tint) * seen
    pairs[..., COLOURS_OF_PAIR] *= (gain.abs() * seen)[:, None]


@torch.no_grad()
def _judged(network: WrongPointsNetwork, held_out: _Draws) -> dict[str, float]:
    if not len(held_out):
        return dict.fromkeys(("cross entropy", "precision", "recall"), math.nan)
    step = max(1, len(held_out) // _MOST_JUDGED)
    some = torch.arange(0, len(held_out), step, device=held_out.count.device)
    points, near, pairs, draw, wrong = held_out.batch(some)
    logit, weight = network(points, near, pairs, draw), _weight(draw)
    told = weight * (logit > 0)
    right = (told * wrong).sum()
    return {
        "cross entropy": float((_cross_entropy(logit, wrong) * weight).mean()),
        "precision": float(right / told.sum().clamp_min(1e-6)),
        "recall": float(right / (weight * wrong).sum().clamp_min(1e-6)),
    }
