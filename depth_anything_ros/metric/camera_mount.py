"""How a camera is mounted over the ground, from the points that a LiDAR measures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.frames import FloatArray, Plane
from depth_anything_ros.metric.fit import UnmeasurableError

_STREAM = 5  # apart from other users of the same seed
_TRIPLES = 300
_JUDGES = 2000
_TOLERANCE = 0.02
_MIN_POINTS = 30
_MIN_SHARE = 0.05
_MIN_SHARE_LEVEL = 0.01  # where it is known what is level, with hardly a point below
_MOST_BELOW = 0.2  # of those on it


@dataclass(frozen=True)
class CameraMount:
    """How a camera is mounted over level ground.

    Attributes:
        height: Metres above the ground.
        pitch_deg: Degrees the camera looks down.
        roll_deg: Degrees it is turned clockwise about its optical axis.
    """

    height: float
    pitch_deg: float
    roll_deg: float


def mount_over(ground: Plane) -> CameraMount:
    """Height and attitude of a camera from the ground plane in its optical frame.

    The up direction of a camera pitched down by p and then rolled clockwise by r is
    (-sin r cos p, -cos r cos p, -sin p) in the optical frame (REP-103: x right, y down, z forward).

    Args:
        ground: The plane, its normal pointing up.

    Returns:
        How the camera is mounted.
    """
    x, y, z = ground.normal
    return CameraMount(
        height=ground.offset,
        pitch_deg=math.degrees(math.asin(min(max(-z, -1.0), 1.0))),
        roll_deg=math.degrees(math.atan2(-x, -y)),
    )


def find_ground(
    points: FloatArray,
    max_tilt_deg: float = 35.0,
    seed: int = 0,
    up: FloatArray | None = None,
) -> Plane:
    """The ground plane among metric points of the optical frame (LiDAR, depth camera).

    Random triples of points span candidate planes; the one wins that holds most points and has
    fewest below it. Then least squares over its points (smallest singular vector).

    Args:
        points: Nx3 metres in the optical frame.
        max_tilt_deg: Largest angle between the ground's normal and the upward direction.
        seed: Of the triples.
        up: The upward direction where it is known, 3 numbers of unit length; fewer points then show
            the ground, which lies at right angles to it up to `max_tilt_deg`.

    Returns:
        The plane, its normal pointing up and its offset the camera's height.

    Raises:
        UnmeasurableError: No such plane is among the points.
    """
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < _MIN_POINTS:
        raise UnmeasurableError(f"{len(points)} points are too few to find the ground in")
    upward = np.array([0.0, -1.0, 0.0]) if up is None else up
    rng = np.random.default_rng((seed, _STREAM))
    corners = points[rng.integers(0, len(points), (3, _TRIPLES))]
    normals = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    lengths = np.linalg.norm(normals, axis=1)
    normals /= np.maximum(lengths, 1e-12)[:, None]
    if up is not None:
        normals = np.concatenate([normals, np.tile(up, (_TRIPLES, 1))])
        lengths = np.concatenate([lengths, np.ones(_TRIPLES)])
        corners = np.concatenate([corners[0], corners[1]])[None]
    level = normals @ upward
    normals *= np.sign(level)[:, None]
    offsets = -(normals * corners[0]).sum(axis=1)
    least_level = math.cos(math.radians(max_tilt_deg))
    sound = (lengths > 1e-6) & (np.abs(level) >= least_level)
    sound &= offsets > 0
    if not sound.any():
        raise UnmeasurableError("no plane below the camera is level enough to be the ground")
    normals, offsets = normals[sound], offsets[sound]
    judges = points[rng.permutation(len(points))[:_JUDGES]]
    above = (normals @ judges.T + offsets[:, None]) / offsets[:, None]
    votes = (np.abs(above) < _TOLERANCE).sum(axis=1) - (above < -2 * _TOLERANCE).sum(axis=1)
    best = int(np.argmax(votes))
    normal, offset = normals[best], float(offsets[best])
    for _ in range(3):
        held = points[np.abs(points @ normal + offset) < _TOLERANCE * offset]
        least = _MIN_SHARE if up is None else _MIN_SHARE_LEVEL
        if len(held) < max(least * len(points), _MIN_POINTS):
            raise UnmeasurableError("too few points lie on one level plane to call it the ground")
        centre = held.mean(axis=0)
        normal = np.linalg.svd(held - centre, full_matrices=False)[2][2]
        normal = normal * np.sign(normal @ upward)
        offset = float(-normal @ centre)
    if up is not None:
        below = (points @ normal + offset < -2 * _TOLERANCE * offset).sum()
        if normal @ up < least_level or below > _MOST_BELOW * len(held):
            raise UnmeasurableError("what is level among the points has others below it")
    return Plane((float(normal[0]), float(normal[1]), float(normal[2])), offset)
