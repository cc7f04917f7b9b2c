"""Scores on held-out pictures: AbsRel and delta1, aligned for relative networks."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from depth_anything_ros.evaluation.metrics import depth_errors, fit_disparity
from depth_anything_ros.training.samples import Prepared, to_network

_FARTHEST = 100.0
"""Metres; what is farther, the sky too, is not scored."""


@torch.no_grad()
def validate(
    network: nn.Module, images: Iterable[Prepared], metric: bool, device: torch.device
) -> dict[str, float]:
    """Score a network.

    Args:
        network: Gives N x H x W disparity or metres.
        images: Pictures with labels.
        metric: Whether network and labels are metres; else disparities, aligned by least squares.
        device: Where the network is.

    Returns:
        `abs_rel`, `delta1`, and for a relative network `ramp_abs_rel`: that of a vertical ramp,
        the least a network must beat. NaN when no picture has a label.
    """
    was_training = network.training
    network.eval()
    scores: dict[str, list[float]] = {}
    for image in images:
        known = image.valid & (image.target > 0)
        if not metric:
            known &= image.target > 1 / _FARTHEST
        if known.sum() < 10:
            continue
        batch = torch.from_numpy(to_network(image.rgb))[None].to(device)
        prediction = network(batch)[0].float().cpu().numpy()
        truth = image.target[known].astype(np.float64)
        if metric:
            depth, true_depth = prediction[known].astype(np.float64), truth
        else:
            true_depth = 1 / truth
            depth = _aligned(prediction[known], true_depth)
            rows = np.arange(known.shape[0], dtype=np.float64)[:, None]
            ramp = np.broadcast_to(rows / known.shape[0], known.shape)[known]
            _add_score(scores, "ramp_", _aligned(ramp, true_depth), true_depth)
        _add_score(scores, "", depth, true_depth)
    network.train(was_training)
    names = ("abs_rel", "delta1") if metric else ("abs_rel", "delta1", "ramp_abs_rel")
    return {name: float(np.mean(scores.get(name, [math.nan]))) for name in names}


def _aligned(
    disparity: npt.NDArray[np.floating], true_depth: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Metres of N disparities after the papers' fit of scale and shift, at most `_FARTHEST`."""
    values = disparity.astype(np.float64)
    scale, shift = fit_disparity(values, true_depth)
    return 1 / np.maximum(scale * values + shift, 1 / _FARTHEST)


def _add_score(
    scores: dict[str, list[float]],
    prefix: str,
    depth: npt.NDArray[np.float64],
    true_depth: npt.NDArray[np.float64],
) -> None:
    errors = depth_errors(depth, true_depth)
    scores.setdefault(f"{prefix}abs_rel", []).append(errors.abs_rel)
    scores.setdefault(f"{prefix}delta1", []).append(errors.delta1)
