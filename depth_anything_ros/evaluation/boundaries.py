"""Sharpness of depth at occluding edges: the boundary F1 of Depth Pro."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage

# Bochkovskii et al., Depth Pro (2024), section 4: ratios of 5 % to 25 %; ten of them in their code.
_RATIOS = np.linspace(1.05, 1.25, 10)


def boundary_f1(predicted: FloatImage, true: FloatImage) -> float:
    """Score where depth jumps between neighbouring pixels.

    Between two neighbours runs an occluding edge at threshold t when one depth is more than t times
    the other; its direction says which side is in front. Precision and recall compare the edges of
    prediction and truth at exactly the same place and direction; F1 is averaged over thresholds
    from 1.05 to 1.25 with weights proportional to the threshold (Bochkovskii et al., Depth Pro,
    2024, section 4). As in the paper's formula all four directions are counted together; the
    official code averages them, which costs an image without edges in one direction a quarter.

    Ratios do not see a scale, so depth up to scale is enough; a shift in disparity they do see.

    Args:
        predicted: HxW positive depth, up to scale.
        true: HxW metres, NaN where unknown; pairs with an unknown pixel are left out.

    Returns:
        F1 from 0 to 1, NaN where the truth has no edge at any threshold.
    """
    steps = [_log_steps(np.log(predicted), np.log(true), axis) for axis in (0, 1)]
    predicted_steps = np.concatenate([step for step, _ in steps])
    true_steps = np.concatenate([step for _, step in steps])
    total = weights = 0.0
    for ratio in _RATIOS:
        edges = _signed_edges(predicted_steps, ratio)
        true_edges = _signed_edges(true_steps, ratio)
        count = np.count_nonzero(edges) + np.count_nonzero(true_edges)
        if not true_edges.any():
            continue
        hits = np.count_nonzero((edges == true_edges) & (true_edges != 0))
        # The harmonic mean of hits / edges and hits / true edges.
        total += ratio * 2 * hits / count
        weights += ratio
    return float(total / weights) if weights else float("nan")


def _log_steps(
    predicted: FloatImage, true: FloatImage, axis: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Differences of log depth along an axis, where both pixels are known in the truth."""
    true_step = np.diff(true, axis=axis)
    known = np.isfinite(true_step)
    return np.diff(predicted, axis=axis)[known], true_step[known]


def _signed_edges(steps: npt.NDArray[np.float32], ratio: float) -> npt.NDArray[np.int8]:
    """+1 where depth jumps up, -1 where it jumps down, 0 elsewhere."""
    return (steps > np.log(ratio)).astype(np.int8) - (steps < -np.log(ratio)).astype(np.int8)
