"""Low points that were measured a moment ago, moved to where the camera is now.

A LiDAR does not see the floor next to the robot: the lowest beam of one that looks down by 15
degrees from 1 m meets it 3.7 m ahead. What it saw there while coming nearer is still known.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, Frame, Plane, SparsePoints
from depth_anything_ros.geometry.camera import project, rays_of_pixels
from depth_anything_ros.metric.ground_odometry import told_by_ground
from depth_anything_ros.metric.scan_line import are_in_line

Mask = npt.NDArray[np.bool_]

LOWEST, HIGHEST = -1.0, 0.35
"""Heights over the ground in metres between which points are remembered: the floor, kerbs, what
lies on the floor, and stairs down."""

_SECONDS = 5.0  # as long as it takes to drive slowly over what a LiDAR sees and a camera not yet
_APART = 0.2  # seconds between the scans that are remembered
_JUMP = 2.0  # metres between two frames that no robot drives: the pose was set anew
_TALL = 0.2  # metres around a point higher than HIGHEST: what stands there belongs to it
_FLOOR = 0.05  # height up to which a point is floor all the same
_HIDDEN_CELL, _HIDDEN_BEHIND = 8, 1.15  # pixels, ratio of depths
_PASSED_CELL, _PASSED_BY = 4, 0.9
_THINNED_CELL = 2
_STRIDE = np.int64(1 << 20)  # of numbered cells of the world


@dataclass(frozen=True)
class _Scan:
    """Low points of one moment in the fixed frame."""

    stamp: int
    points: FloatArray


class PointMemory:
    """Remembers the low points of one camera's frames for some seconds.

    Floor and what is low is remembered, but not the foot of something tall: people and cars move.
    """

    def __init__(self) -> None:
        self._scans: deque[_Scan] = deque()
        self._fixed_frame = ""
        self._place = np.zeros(3)

    def recall(self, frame: Frame, ground: Plane | None) -> SparsePoints | None:
        """The points of a frame with those of the frames before that still hold.

        Args:
            frame: The frame; nothing is remembered of one without pose, camera or points.
            ground: The ground plane in its optical frame; without one it is not known what is low.

        Returns:
            The frame's points, then the remembered ones that the image shows: those that no point
            of this frame hides or was measured through.
        """
        points, camera, pose = frame.points, frame.camera, frame.pose
        if points is None or camera is None or pose is None or ground is None:
            return points
        if told_by_ground(frame) and are_in_line(points.u, points.v):
            return (
                points  # a laser scan shows no floor, which a way that is a little off leaves flat
            )
        newest = self._scans[-1].stamp if self._scans else frame.stamp
        moved = float(np.linalg.norm(pose[:3, 3] - self._place))
        if frame.stamp < newest or frame.fixed_frame != self._fixed_frame or moved > _JUMP:
            self._scans.clear()
        self._fixed_frame = frame.fixed_frame
        self._place = np.array(pose[:3, 3])
        while self._scans and frame.stamp - self._scans[0].stamp > _SECONDS * 1e9:
            self._scans.popleft()
        x, y = rays_of_pixels(camera, points.u, points.v)
        seen = np.stack([points.z * x, points.z * y, points.z], axis=1)
        recalled = points
        if self._scans:
            old = np.concatenate([scan.points for scan in reversed(self._scans)])
            old = (old - pose[:3, 3]) @ pose[:3, :3]
            old = old[_low(old, ground)]
            u, v, z = project(camera, old)
            inside = (u > -0.5) & (v > -0.5) & (u < camera.width - 0.5) & (v < camera.height - 0.5)
            before = SparsePoints(u[inside], v[inside], z[inside])
            recalled = _joined(points, before, (camera.height, camera.width))
        if not self._scans or frame.stamp - self._scans[-1].stamp >= _APART * 1e9:
            low = seen[_low(seen, ground) & ~_of_something_tall(seen, ground)]
            self._scans.append(_Scan(frame.stamp, low @ pose[:3, :3].T + pose[:3, 3]))
        return recalled


def _heights(points: FloatArray, ground: Plane) -> FloatArray:
    return np.asarray(points @ np.array(ground.normal) + ground.offset)


def _low(points: FloatArray, ground: Plane) -> Mask:
    height = _heights(points, ground)
    return np.asarray(np.isfinite(height) & (height > LOWEST) & (height < HIGHEST))


def _of_something_tall(points: FloatArray, ground: Plane) -> Mask:
    """Whether a point is no floor and something tall stands there."""
    height = _heights(points, ground)
    up = np.array(ground.normal)
    ahead = np.array([0.0, 0.0, 1.0]) - up[2] * up
    ahead /= max(float(np.linalg.norm(ahead)), 1e-9)
    place = np.stack([points @ ahead, points @ np.cross(up, ahead)], axis=1)
    cell = np.floor(np.nan_to_num(place, posinf=0, neginf=0) / _TALL).astype(np.int64)
    number = cell[:, 0] * _STRIDE + cell[:, 1]
    tall = np.unique(number[height >= HIGHEST])
    around = (tall[:, None] + [i * _STRIDE + j for i in (-1, 0, 1) for j in (-1, 0, 1)]).ravel()
    return np.asarray((height > _FLOOR) & np.isin(number, around))


def _joined(points: SparsePoints, old: SparsePoints, shape: tuple[int, int]) -> SparsePoints:
    """Points of this moment and those old ones that they do not contradict, one per pixel or so."""
    height, width = shape

    def nearest(cell: int, around: int) -> FloatArray:
        """Depth of the nearest present point in the cell of each old one, infinite for none."""
        table = np.full((height // cell + 2, width // cell + 2), np.inf)
        np.minimum.at(table, _cells(points, cell, table.shape), points.z)
        if around:
            table = cv2.erode(table, np.ones((2 * around + 1,) * 2, np.uint8))
        return np.asarray(table[_cells(old, cell, table.shape)])

    in_front = nearest(_HIDDEN_CELL, 1)
    there = nearest(_PASSED_CELL, 0)
    hidden = old.z / _HIDDEN_BEHIND > in_front
    passed = np.isfinite(there) & (old.z / _PASSED_BY < there)
    kept = np.flatnonzero(~hidden & ~passed)
    rows, columns = _cells(old, _THINNED_CELL, (height + 2, width + 2))
    _, first = np.unique(rows[kept] * (width + 2) + columns[kept], return_index=True)
    kept = kept[first]
    return replace(
        points,
        u=np.concatenate([points.u, old.u[kept]]),
        v=np.concatenate([points.v, old.v[kept]]),
        z=np.concatenate([points.z, old.z[kept]]),
    )


def _cells(
    points: SparsePoints, cell: int, shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    rows = np.clip((points.v + 0.5) // cell, 0, shape[0] - 1).astype(np.intp)
    columns = np.clip((points.u + 0.5) // cell, 0, shape[1] - 1).astype(np.intp)
    return rows, columns
