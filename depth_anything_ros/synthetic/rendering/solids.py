"""Intersections of rays with unit solids, and normals.

Every solid is a unit shape in its own frame, so that one affine map per solid turns a ray of the
world into a ray of that frame; the ray's parameter t does not change by it.
"""

from __future__ import annotations

import enum

import torch
from torch import Tensor

NEAREST = 1e-4
"""Smallest ray parameter that counts as a hit, in metres for rays of unit depth."""

_TINY = 1e-12


class Kind(enum.IntEnum):
    """Shapes, in the unit frame they are intersected in."""

    BOX = 0
    """|x|, |y|, |z| <= 1."""

    ELLIPSOID = 1
    """x^2 + y^2 + z^2 <= 1."""

    CYLINDER = 2
    """x^2 + y^2 <= 1 and |z| <= 1."""

    CONE = 3
    """Apex at z = 1, base disc of radius 1 at z = -1."""

    TRIANGLE = 4
    """Corners (-1, -1, 0), (1, -1, 0), (-1, 1, 0), seen only from its side z > 0: the right
    triangle that meshes are made of."""

    PLANE = 5
    """z = 0, endless, seen only from its side z > 0."""

    TERRAIN = 6
    """A height field (see `terrain`); not intersected here."""


def hit(kind: Kind, o: Tensor, d: Tensor) -> Tensor:
    """Intersect rays with one kind of unit solid from outside.

    Args:
        kind: The shape; not TERRAIN.
        o: n x 3 x P (or n x 3 x 1) ray origins in the unit frame.
        d: n x 3 x P ray directions in the unit frame, any length.

    Returns:
        n x P ray parameters of the entry, infinite where there is none beyond `NEAREST`.
    """
    return _HITS[kind](o, d)


def _hit_box(o: Tensor, d: Tensor) -> Tensor:
    """The slab method (Kay and Kajiya 1986)."""
    inverse = (d + _TINY).reciprocal()
    middle = o * inverse
    reach = inverse.abs()
    enter = (-middle - reach).amax(1)
    leave = (reach - middle).amin(1)
    return _entry(enter, leave)


def _hit_ellipsoid(o: Tensor, d: Tensor) -> Tensor:
    enter, leave = _round(o, d)
    return _entry(enter, leave)


def _hit_cylinder(o: Tensor, d: Tensor) -> Tensor:
    enter, leave = _round(o[:, :2], d[:, :2])
    inverse = (d[:, 2] + _TINY).reciprocal()
    middle, reach = o[:, 2] * inverse, inverse.abs()
    return _entry(torch.maximum(enter, -middle - reach), torch.minimum(leave, reach - middle))


def _hit_cone(o: Tensor, d: Tensor) -> Tensor:
    """Roots of x^2 + y^2 = ((1 - z) / 2)^2 within -1 <= z <= 1, and the base disc."""
    below = 1 - o[:, 2]
    a = d[:, 0] ** 2 + d[:, 1] ** 2 - d[:, 2] ** 2 / 4
    b = o[:, 0] * d[:, 0] + o[:, 1] * d[:, 1] + below * d[:, 2] / 4
    c = o[:, 0] ** 2 + o[:, 1] ** 2 - below**2 / 4
    a = _off_zero(a)
    root = _root(b * b - a * c)  # infinite without a root: no comparison below is then true
    best = torch.full_like(a, torch.inf)
    for t in ((-b - root) / a, (-b + root) / a):
        z = o[:, 2] + t * d[:, 2]
        good = (z.abs() <= 1) & (t > NEAREST)
        best = torch.where(good & (t < best), t, best)
    t = (-1 - o[:, 2]) / _off_zero(d[:, 2])
    x, y = o[:, 0] + t * d[:, 0], o[:, 1] + t * d[:, 1]
    return torch.where((x * x + y * y <= 1) & (t > NEAREST) & (t < best), t, best)


def _hit_triangle(o: Tensor, d: Tensor) -> Tensor:
    t = _hit_plane(o, d)
    # A finite stand-in: infinite times 0 would be NaN.
    far = t.masked_fill(t.isinf(), 0.0)
    x, y = o[:, 0] + far * d[:, 0], o[:, 1] + far * d[:, 1]
    inside = (x >= -1) & (y >= -1) & (x + y <= 0)
    return torch.where(inside, t, torch.inf)


def _hit_plane(o: Tensor, d: Tensor) -> Tensor:
    down = d[:, 2]
    t = -o[:, 2] / _off_zero(down)
    return torch.where((down < 0) & (t > NEAREST), t, torch.inf)


def _round(o: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Entry and exit of the unit circle or sphere.

    The distance is taken at the point of closest approach, which keeps its digits far away
    (Haines, Guenther and Akenine-Moeller, Ray Tracing Gems, chapter 7). Where missed the entry
    is infinite.
    """
    square = (d * d).sum(1) + _TINY
    closest = -(o * d).sum(1) / square
    foot = o + closest[:, None] * d
    inside = 1 - (foot * foot).sum(1)
    reach = (inside.abs() / square).sqrt()
    return (closest - reach).masked_fill(inside < 0, torch.inf), closest + reach


def _root(x: Tensor) -> Tensor:
    """Square root, infinite for negative numbers (PyTorch's own is 30 times slower on those)."""
    return x.abs().sqrt().masked_fill(x < 0, torch.inf)


def _entry(enter: Tensor, leave: Tensor) -> Tensor:
    return torch.where((enter <= leave) & (enter > NEAREST), enter, torch.inf)


def _off_zero(x: Tensor) -> Tensor:
    return torch.where(x.abs() < _TINY, _TINY, x)


def longest(size: Tensor) -> Tensor:
    """Which of three numbers is the largest.

    Args:
        size: 3 x S.

    Returns:
        S int64. (PyTorch's argmax over so short an axis is ten times slower on the CPU.)
    """
    x, y, z = size
    return torch.where((x >= y) & (x >= z), 0, torch.where(y >= z, 1, 2))


_HITS = {
    Kind.BOX: _hit_box,
    Kind.ELLIPSOID: _hit_ellipsoid,
    Kind.CYLINDER: _hit_cylinder,
    Kind.CONE: _hit_cone,
    Kind.TRIANGLE: _hit_triangle,
    Kind.PLANE: _hit_plane,
}


def unit_normal(kind: Tensor, q: Tensor) -> Tensor:
    """The outward normals at points of solids, in the unit frame.

    A normal of the unit frame becomes one of the world by the transposed map; divide it by the
    half sizes, turn it and normalise it.

    Args:
        kind: Shapes, any shape S of integers.
        q: 3 x S points on the unit surfaces.

    Returns:
        3 x S normals, not normalised.
    """
    x, y, z = q
    box, ball, rod, cone = (
        kind == sort for sort in (Kind.BOX, Kind.ELLIPSOID, Kind.CYLINDER, Kind.CONE)
    )
    size = q.abs()
    face = longest(size)
    side = torch.where(rod, x * x + y * y >= z * z, cone & (z > -1 + 1e-3))
    round_ = (ball | side).to(q.dtype)
    flat_x, flat_y = (box & (face == 0)).to(q.dtype), (box & (face == 1)).to(q.dtype)
    # On the cone's side the gradient of x^2 + y^2 - ((1 - z) / 2)^2.
    up = torch.where(cone & side, (1 - z) / 4, torch.where(ball, z, z.sign()))
    up = torch.where((side & rod) | (box & (face != 2)), 0.0, up)
    up = torch.where(kind >= Kind.TRIANGLE, 1.0, up)
    return torch.stack([x * (round_ + flat_x), y * (round_ + flat_y), up])
