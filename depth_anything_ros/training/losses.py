"""Losses of the Depth Anything papers; every one averages over the images of a batch.

Averages are taken per image first. A batch split over processes or accumulation steps of equal
size then has the same loss, and the same gradient, as the whole.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

GRADIENT_SCALES = 4
"""Resolutions of the gradient matching loss (MiDaS, Ranftl et al. 2022)."""

FEATURE_TOLERANCE = 0.85
"""Cosine similarity beyond which features count as aligned (Depth Anything V1)."""

SILOG_LAMBDA = 0.5
"""Weight of the scale term in SILog (Eigen et al. 2014; official metric_depth/util/loss.py)."""

FIXED_MEDIAN = 3.0
"""Median that the disparity of a picture has where its scale is fixed; its mean absolute deviation
is 1, so what is much farther than the median is the only thing cut off at 0."""

TRIMMED_SHARE = 0.1
"""Share of the largest-loss pixels of a pseudo-labelled image that is left out (V2)."""

FARTHEST_ALIGNED = 200.0
"""Metres up to which `aligned_log_depth` scores."""

RELATIVE_RANGES = (80.0, 200.0)
"""Metres up to which `aligned_relative_depth` scores in turn: KITTI's and DDAD's."""

_LINE_SLOPE = 0.1  # of a loss's own slope where it goes on as a line
_LARGEST_RELATIVE = 3.0  # a pixel beyond it learns slowly, but learns
_LARGEST_LOG = 2.0  # a pixel on the wrong side of everything must not decide alone

_SMALLEST = 1e-6


def normalise(disparity: Tensor, valid: Tensor) -> Tensor:
    """Take away shift and scale: median and mean absolute deviation per image (MiDaS).

    Args:
        disparity: N x H x W.
        valid: N x H x W bool.

    Returns:
        N x H x W float32; 0 where not valid.
    """
    values = disparity.float()
    count = valid.flatten(1).sum(1).clamp_min(1)
    holes = values.masked_fill(~valid, torch.nan)
    shift = holes.flatten(1).nanmedian(1).values.nan_to_num()[:, None, None]
    centred = (values - shift).masked_fill(~valid, 0.0)
    scale = centred.abs().flatten(1).sum(1) / count
    return centred / scale.clamp_min(_SMALLEST)[:, None, None]


def scale_shift_invariant(
    prediction: Tensor, target: Tensor, valid: Tensor, trimmed: float = 0.0
) -> Tensor:
    """L1 between normalised disparities (Depth Anything V1, after MiDaS).

    Args:
        prediction: N x H x W disparity.
        target: N x H x W disparity, up to scale and shift.
        valid: N x H x W bool.
        trimmed: Share of the pixels with the largest loss to leave out per image.

    Returns:
        Scalar; images without a valid pixel count 0.
    """
    error = (normalise(prediction, valid) - normalise(target, valid)).abs()
    return _mean(error, valid, trimmed)


def _mean(error: Tensor, valid: Tensor, trimmed: float) -> Tensor:
    """Mean over the valid pixels of each image but the worst, then over the images."""
    if trimmed <= 0:
        total = error.masked_fill(~valid, 0.0).flatten(1).sum(1)
        return (total / valid.flatten(1).sum(1).clamp_min(1)).mean()
    ranked = error.masked_fill(~valid, torch.inf).flatten(1).sort(1).values
    count = valid.flatten(1).sum(1)
    kept = (count * (1 - trimmed)).ceil().long()
    inside = torch.arange(ranked.shape[1], device=ranked.device)[None] < kept[:, None]
    return (ranked.masked_fill(~inside, 0.0).sum(1) / kept.clamp_min(1)).mean()


def fixed_scale(prediction: Tensor, target: Tensor, valid: Tensor, trimmed: float = 0.0) -> Tensor:
    """L1 to the normalised disparity itself: the prediction's own scale and shift count.

    A network that starts from scratch learns faster when scale and shift of its output are fixed
    than when any will do.

    Args:
        prediction: N x H x W, before an activation.
        target: N x H x W disparity, up to scale and shift.
        valid: N x H x W bool.
        trimmed: Share of the pixels with the largest loss to leave out per image.

    Returns:
        Scalar; images without a valid pixel count 0.
    """
    return _mean((prediction.float() - fixed_target(target, valid)).abs(), valid, trimmed)


def fixed_target(target: Tensor, valid: Tensor) -> Tensor:
    """Target of `fixed_scale`: disparity with the median FIXED_MEDIAN and the deviation 1.

    Args:
        target: N x H x W disparity, up to scale and shift.
        valid: N x H x W bool.

    Returns:
        N x H x W float32, at least 0.
    """
    return (normalise(target, valid) + FIXED_MEDIAN).clamp_min(0.0)


def gradient_matching(
    prediction: Tensor, target: Tensor, valid: Tensor, scales: int = GRADIENT_SCALES
) -> Tensor:
    """L1 between the gradients of normalised disparities at several resolutions (MiDaS).

    Args:
        prediction: N x H x W disparity.
        target: N x H x W disparity, up to scale and shift.
        valid: N x H x W bool.
        scales: How many resolutions; each takes every second pixel of the one before.

    Returns:
        Scalar.
    """
    return gradients(normalise(prediction, valid) - normalise(target, valid), valid, scales)


def gradients(difference: Tensor, valid: Tensor, scales: int = GRADIENT_SCALES) -> Tensor:
    """Mean gradient of a difference at several resolutions.

    Args:
        difference: N x H x W, of two disparities of the same scale.
        valid: N x H x W bool.
        scales: How many resolutions; each takes every second pixel of the one before.

    Returns:
        Scalar.
    """
    total = difference.new_zeros(())
    for scale in range(scales):
        step = 1 << scale
        part, mask = difference[:, ::step, ::step], valid[:, ::step, ::step]
        across = (part[:, :, 1:] - part[:, :, :-1]).abs() * (mask[:, :, 1:] & mask[:, :, :-1])
        down = (part[:, 1:] - part[:, :-1]).abs() * (mask[:, 1:] & mask[:, :-1])
        count = mask.flatten(1).sum(1).clamp_min(1)
        total = total + ((across.flatten(1).sum(1) + down.flatten(1).sum(1)) / count).mean()
    return total


def aligned_log_depth(
    prediction: Tensor, target: Tensor, valid: Tensor, farthest: float = FARTHEST_ALIGNED
) -> Tensor:
    """L1 of log depth after scale and shift were fitted in disparity by least squares.

    What is judged in the end, made differentiable: a far pixel counts as much as a near one.

    Args:
        prediction: N x H x W disparity.
        target: N x H x W disparity in 1/m.
        valid: N x H x W bool.
        farthest: Metres; what is farther, the sky too, does not count.

    Returns:
        Scalar; images whose disparity runs the wrong way count 0.
    """
    known = valid & (target > 1 / farthest)
    aligned, scale = _fitted(prediction, target, known)
    least = 1 / farthest
    # Below the least disparity the logarithm goes on as a line, so that it still has a gradient.
    line = math.log(least) + _LINE_SLOPE * (aligned - least) / least
    logarithm = torch.where(aligned > least, aligned.clamp_min(least).log(), line)
    error = (logarithm - target.clamp_min(least).log()).abs().clamp_max(_LARGEST_LOG)
    return _mean(error, known & (scale > 0), 0.0)


def aligned_relative_depth(
    prediction: Tensor, target: Tensor, valid: Tensor, farthest: float
) -> Tensor:
    """AbsRel of depth after scale and shift were fitted in disparity by least squares.

    The measure itself, made differentiable. Depth that comes out too far costs more than depth that
    comes out too near, without a limit; log depth does not know that.

    Args:
        prediction: N x H x W disparity.
        target: N x H x W disparity in 1/m.
        valid: N x H x W bool.
        farthest: Metres; what is farther, the sky too, does not count.

    Returns:
        Scalar; images whose disparity runs the wrong way count 0.
    """
    known = valid & (target > 1 / farthest)
    aligned, scale = _fitted(prediction, target, known)
    ratio = aligned / target.clamp_min(1 / farthest)
    # 1 / ratio has a pole at 0; from twice the true depth on its tangent is followed.
    error = torch.where(ratio > 0.5, (1 / ratio.clamp_min(0.5) - 1).abs(), 3 - 4 * ratio)
    error = torch.where(error < _LARGEST_RELATIVE, error, _beyond(error))
    return _mean(error, known & (scale > 0), 0.0)


def _beyond(error: Tensor) -> Tensor:
    """A tenth of the slope from `_LARGEST_RELATIVE` on."""
    return _LARGEST_RELATIVE + _LINE_SLOPE * (error - _LARGEST_RELATIVE)


def _fitted(prediction: Tensor, target: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Disparity brought to the target's scale and shift, and the scale (N x 1 x 1)."""
    weight = known.float()
    count = weight.flatten(1).sum(1).clamp_min(1)[:, None, None]
    ours_mean = (prediction * weight).sum((1, 2), keepdim=True) / count
    true_mean = (target * weight).sum((1, 2), keepdim=True) / count
    ours, truth = (prediction - ours_mean) * weight, (target - true_mean) * weight
    square = (ours * ours).sum((1, 2), keepdim=True).clamp_min(_SMALLEST)
    scale = (ours * truth).sum((1, 2), keepdim=True) / square
    return scale * (prediction - ours_mean) + true_mean, scale


def feature_alignment(
    student: Tensor, frozen: Tensor, tolerance: float = FEATURE_TOLERANCE
) -> Tensor:
    """Keep features near those of a frozen encoder (Depth Anything V1).

    Args:
        student: N x L x C patch features.
        frozen: N x L x C patch features of the frozen encoder.
        tolerance: Patches more similar than this are left alone.

    Returns:
        Scalar, the mean of 1 - cosine over the patches that still differ; images where none
        does count 0.
    """
    cosine = F.cosine_similarity(student.float(), frozen.float(), dim=-1)
    differ = cosine < tolerance
    total = ((1 - cosine) * differ).sum(1)
    return (total / differ.sum(1).clamp_min(1)).mean()


def surface_normal(prediction: Tensor, target: Tensor, valid: Tensor, focal: Tensor) -> Tensor:
    """One minus the cosine between the surface normals of two metric depths.

    Args:
        prediction: N x H x W depth in metres.
        target: N x H x W depth in metres.
        valid: N x H x W bool.
        focal: N focal lengths in pixels; the principal point is the centre of the image.

    Returns:
        Scalar, over the pixels whose right and lower neighbours are valid, too.
    """
    mask = valid[:, 1:, 1:] & valid[:, 1:, :-1] & valid[:, :-1, 1:] & valid[:, :-1, :-1]
    safe = torch.where(valid, target, torch.ones_like(target))
    ours = torch.where(valid, prediction.float(), torch.ones_like(target))
    cosine = (depth_normals(ours, focal) * depth_normals(safe, focal)).sum(1)
    return _mean(1 - cosine, mask, 0.0)


def depth_normals(depth: Tensor, focal: Tensor) -> Tensor:
    """Surface normals from differences of neighbouring points.

    Args:
        depth: N x H x W metres.
        focal: N focal lengths in pixels; the principal point is the centre of the image.

    Returns:
        N x 3 x (H-1) x (W-1) unit vectors, towards the camera, in the optical frame.
    """
    height, width = depth.shape[-2:]
    x = torch.arange(width, device=depth.device, dtype=depth.dtype) - (width - 1) / 2
    y = torch.arange(height, device=depth.device, dtype=depth.dtype) - (height - 1) / 2
    inverse = (1 / focal.to(depth.dtype))[:, None, None]
    points = torch.stack([depth * x * inverse, depth * y[:, None] * inverse, depth], 1)
    right = points[:, :, :-1, 1:] - points[:, :, :-1, :-1]
    down = points[:, :, 1:, :-1] - points[:, :, :-1, :-1]
    return F.normalize(torch.linalg.cross(down, right, dim=1), dim=1, eps=1e-12)


def log_difference(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Difference of log depths.

    Args:
        prediction: N x H x W metres, positive.
        target: N x H x W metres.
        valid: N x H x W bool.

    Returns:
        N x H x W, log(prediction / target), 0 where not valid.
    """
    ones = torch.ones_like(target)
    known = torch.where(valid, target, ones)
    ours = torch.where(valid, prediction.float(), ones).clamp_min(_SMALLEST)
    return ours.log() - known.log()


def silog(
    prediction: Tensor, target: Tensor, valid: Tensor, variance: float = SILOG_LAMBDA
) -> Tensor:
    """Scale-invariant logarithmic error of metric depth (Eigen et al. 2014).

    Args:
        prediction: N x H x W metres, positive.
        target: N x H x W metres.
        valid: N x H x W bool.
        variance: Lambda: 0 punishes a wrong scale like any error, 1 not at all.

    Returns:
        Scalar, sqrt(mean(g^2) - lambda mean(g)^2) with g = log(prediction / target); images
        without a valid pixel count 0.
    """
    g = log_difference(prediction, target, valid).flatten(1)
    count = valid.flatten(1).sum(1).clamp_min(1)
    square = (g * g).sum(1) / count - variance * (g.sum(1) / count) ** 2
    # The root has no gradient at 0.
    return square.clamp_min(_SMALLEST**2).sqrt().mul(valid.flatten(1).any(1)).mean()
