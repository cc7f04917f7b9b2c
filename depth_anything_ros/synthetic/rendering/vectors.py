"""Arithmetic on batches of vectors."""

from __future__ import annotations

import torch
from torch import Tensor


def unit(vectors: Tensor, dim: int) -> Tensor:
    """Normalise vectors; on the CPU several times as fast as F.normalize.

    Args:
        vectors: Any shape.
        dim: Axis of the components.

    Returns:
        Vectors of length 1, 0 where they were 0.
    """
    return vectors * (vectors * vectors).sum(dim, keepdim=True).clamp_min(1e-24).rsqrt()


def cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product along axis 1.

    Args:
        a: N x 3 x ....
        b: As a.

    Returns:
        As a.
    """
    (ax, ay, az), (bx, by, bz) = a.unbind(1), b.unbind(1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)


def bounding_ball(point: Tensor, hit: Tensor) -> tuple[Tensor, Tensor]:
    """Ball around some points of each group.

    Args:
        point: G x 3 x P metres.
        hit: G x P bool, the points that count.

    Returns:
        Centres, G x 3, and radii, G, in metres; 0 for groups without points.
    """
    far = torch.where(hit[:, None], point, torch.inf)
    low = far.amin(2)
    high = torch.where(hit[:, None], point, -torch.inf).amax(2)
    empty = low.isinf()
    low, high = torch.where(empty, 0.0, low), torch.where(empty, 0.0, high)
    return (low + high) / 2, (high - low).norm(dim=1) / 2
