"""What one image and its points say of how they are aligned: jumps of depth, and edges.

Where the depth of points jumps from one to the next, the nearer surface ends, and the image mostly
has an edge there (Levinson and Thrun, "Automatic Online Calibration of Cameras and Lasers", RSS
2013). Jumps across the rows (posts, sides of cars) tell of yaw, those across the columns (tops of
cars and walls), which only dense points show, of pitch.

The edges are those of the picture. Edges of the networks' depth were tried in their place and with
them: they are blurred and lie beside the true ones, and the errors were 2 to 6 times as large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, RgbImage, SparsePoints
from depth_anything_ros.geometry.camera import Camera, project, rays_of_pixels

# Own choices, made on simulated drives with 16 beams and on single scans of KITTI, nuScenes, View
# of Delft and DDAD. Pixels are those of the reduced image.
_WIDTH = 640
_JUMP = 1.1  # ratio of inverse depths that is one
_JUMP_M = 0.06
_SMOOTH = 0.35  # change of inverse depth, as a share, from the last cell to that of the edge
_CLOSEST_PX = 1.0  # mean distance of points, at least
_POINTS_PER_SIDE = 0.9  # of a cell
_TALLER = (1.0, 2.0, 3.0, 4.5, 6.5)  # cells than wide: beams lie farther apart than their points
_SHIFTS = (0.0, 0.5)  # of the cells, in cells: an edge in the middle of one is found in another
_TALLEST_CELL = (
    4 / 320
)  # of the width of the image, from which on it is not known where a surface ends
_MOST_JUMPS = 1000  # in a moment
_MOST_POINTS = 30_000
_NEIGHBOURHOOD_PX = 21  # in which the strength of an edge is relative to the mean
_STRONGEST = 6.0
_LEVEL = 0.4  # what edges across the columns count: more of them are no ends of a surface

SLOPE = 64  # what a slope of 1 is stored as
_STEEPEST = 2 * SLOPE - 1
_FLATTEST = 0.25  # slope below which an edge is taken to be upright, or level
_SLOPE_SHARE = 1 / 160  # of the width: half of the square in which a slope is measured

Grey = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class CameraMotion:
    """How fast a camera moves, in its own optical frame.

    Attributes:
        velocity: 3 float64, m/s.
        rotation: 3 float64, rad/s.
    """

    velocity: FloatArray
    rotation: FloatArray


@dataclass(frozen=True)
class Moment:
    """What one image and its points say; 100 to 600 KiB.

    Attributes:
        stamp: Time in nanoseconds.
        edges: 2xHxW uint8, strength of the edges across the rows and of those across the columns,
            of the reduced image.
        slopes: 2xHxW int8, columns per row along the edges across the rows, and rows per column
            along those across the columns, in 1/`SLOPE` of a pixel.
        level: N bool, whether depth jumps across the columns.
        u: N float32, columns of the jumps of depth.
        v: N float32, their rows.
        xyz: Nx3 float32, where they are in the optical frame, in metres.
        motion: How the camera moves.
        focal: Focal lengths of the reduced image in pixels, horizontal and vertical.
    """

    stamp: int
    edges: Grey
    slopes: npt.NDArray[np.int8]
    level: npt.NDArray[np.bool_]
    u: FloatImage
    v: FloatImage
    xyz: FloatImage
    motion: CameraMotion
    focal: tuple[float, float]

    def rates(self) -> FloatImage:
        """By how many radians each jump looks turned to the right per second of age, N."""
        count = len(self.xyz)
        still = np.broadcast_to([self.motion.velocity, self.motion.rotation], (count, 2, 3))
        flow = image_flow(
            self.xyz.astype(np.float64), still[:, 0], still[:, 1], np.array(self.focal)
        )
        return np.asarray(flow[:, 3, 0] / flow[:, 1, 0], np.float32)


def moment_of(
    rgb: RgbImage, camera: Camera, points: SparsePoints, motion: CameraMotion, stamp: int
) -> Moment | None:
    """Find jumps of depth between neighbouring points, and the edges of the image.

    Args:
        rgb: HxWx3 image.
        camera: Its camera.
        points: Points of it.
        motion: How the camera moves.
        stamp: Time in nanoseconds.

    Returns:
        What is to be compared, or None where the points have no jumps.
    """
    width = min(_WIDTH, rgb.shape[1])
    height = max(8, round(rgb.shape[0] * width / rgb.shape[1]))
    reduced = camera.resized(width, height)
    jumps = _jumps(*_reduced(camera, points, motion, reduced), width)
    if len(jumps) > _MOST_JUMPS:
        jumps = jumps[np.random.default_rng(stamp % 2**32).permutation(len(jumps))[:_MOST_JUMPS]]
    x, y = rays_of_pixels(reduced, jumps[:, 0], jumps[:, 1])
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return None
    u, v, z, level = jumps[known].T
    x, y = x[known], y[known]
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    return Moment(
        stamp,
        *_edges(np.asarray(small, np.uint8)),
        level > 0,
        u.astype(np.float32),
        v.astype(np.float32),
        np.stack([x * z, y * z, z], axis=1).astype(np.float32),
        motion,
        (reduced.fx, reduced.fy),
    )


def image_flow(
    xyz: FloatArray, velocity: FloatArray, rotation: FloatArray, focal: FloatArray
) -> FloatArray:
    """How points move in the image when they are turned up, right, clockwise and made younger.

    Args:
        xyz: Nx3 metres in the optical frame.
        velocity: Nx3, of the camera at each of them, m/s.
        rotation: Nx3, rad/s.
        focal: Horizontal and vertical focal length in pixels, 2 or Nx2.

    Returns:
        Nx4x2, pixels per rad and per second.
    """
    x, y, z = xyz[:, 0] / xyz[:, 2], xyz[:, 1] / xyz[:, 2], xyz[:, 2]
    away = np.cross(rotation, xyz) + velocity
    age = (-(away[:, 0] - x * away[:, 2]) / z, -(away[:, 1] - y * away[:, 2]) / z)
    moves = [(-x * y, -(1 + y * y)), (1 + x * x, x * y), (-y, x), age]
    flow = np.stack([np.stack(each, axis=1) for each in moves], axis=1)
    return np.asarray(flow * focal[..., None, :], np.float64)


def _reduced(
    camera: Camera, points: SparsePoints, motion: CameraMotion, reduced: Camera
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The points in the reduced image, moved to its time where they are known to be of another."""
    u, v, z = points.u, points.v, points.z
    if len(z) > _MOST_POINTS:  # a depth camera: every n-th still has neighbours in the row
        every = math.ceil(len(z) / _MOST_POINTS)
        u, v, z = u[::every], v[::every], z[::every]
    if points.apart:
        x, y = rays_of_pixels(camera, u, v)
        xyz = np.stack([x * z, y * z, z], axis=1)
        xyz = xyz + points.apart * (motion.velocity + np.cross(motion.rotation, xyz))
        return project(reduced, xyz[np.isfinite(xyz).all(axis=1)])
    wide, high = reduced.width / camera.width, reduced.height / camera.height
    return (u + 0.5) * wide - 0.5, (v + 0.5) * high - 0.5, z


def _jumps(u: FloatArray, v: FloatArray, z: FloatArray, width: int) -> FloatArray:
    """Where surfaces end: column, row, depth of the nearer side and 1 if across columns, Nx4.

    Points are compared in cells of about one point: all of a cell must be nearer than all of the
    next one. Beams need not be known.
    """
    known = np.isfinite(u) & np.isfinite(v) & (z > 0)
    u, v, q = u[known], v[known], 1 / z[known]
    if len(q) < 3:
        return np.zeros((0, 4))
    size = _cell_size(u, v)
    by_distance, to_the_right, downwards = (np.argsort(key) for key in (-q, u, v))
    tallest = _TALLEST_CELL * width
    found = [np.zeros((0, 4))]
    for shift in _SHIFTS:
        cells = _Cells(u, v, size, shift)
        nearest, farthest = cells.first_of(by_distance), cells.first_of(by_distance[::-1])
        for axis, order in ((1, to_the_right), (0, downwards)):
            if size[axis] > tallest:
                continue
            ends = {1: cells.first_of(order[::-1]), -1: cells.first_of(order)}
            for side in (1, -1):
                here, last, far, end, beyond = _where_all(
                    farthest,
                    np.roll(farthest, side, axis),
                    np.roll(nearest, -side, axis),
                    ends[side],
                    np.roll(ends[-side], -side, axis),
                )
                # A plane is straight in inverse depth: floor that recedes does not jump.
                goes_on = np.minimum(2 * q[here] - q[last], q[here])
                jump = (q[far] * _JUMP < goes_on) & (1 / q[far] - 1 / q[here] > _JUMP_M)
                jump &= np.abs(q[here] - q[last]) < _SMOOTH * q[here]
                end, beyond = end[jump], beyond[jump]
                # The surface ends somewhere between two beams; the sensor stands elsewhere than
                # the camera, which may see what is beyond them far from the edge.
                place = [u[end], v[end]]
                along = (v, u)[axis]
                gap = np.minimum(np.abs(along[beyond] - along[end]), size[axis])
                place[1 - axis] = along[end] + side * gap / 2
                level = np.full(len(end), 1.0 - axis)
                found.append(np.stack([*place, 1 / q[here[jump]], level], axis=1))
    # Those found in both sets of cells are one.
    return np.unique(np.concatenate(found), axis=0)


def _cell_size(u: FloatArray, v: FloatArray) -> tuple[float, float]:
    """Height and width in pixels with which most cells have neighbours in their row and column."""
    wide, high = float(np.ptp(u)), float(np.ptp(v))
    mean = _POINTS_PER_SIDE * max(math.sqrt(wide * high / len(u)), wide / len(u), _CLOSEST_PX)
    sizes = [(mean * math.sqrt(ratio), mean / math.sqrt(ratio)) for ratio in _TALLER]
    return max(sizes, key=lambda size: _Cells(u, v, size, 0.0).neighbours())


class _Cells:
    """Points of an image sorted into cells, with an empty one at each side."""

    def __init__(self, u: FloatArray, v: FloatArray, size: tuple[float, float], shift: float):
        row, column = (
            np.floor((each - each.min()) / side + shift).astype(np.intp) + 1
            for each, side in zip((v, u), size, strict=True)
        )
        self._shape = (int(row.max()) + 2, int(column.max()) + 2)
        self._place = row * self._shape[1] + column

    def first_of(self, order: Indices) -> Indices:
        """Which point of each cell comes first in an order of all, -1 in empty ones."""
        found = np.full(self._shape, -1, np.intp)
        found.ravel()[self._place[order[::-1]]] = order[::-1]  # the last one written stays
        return found

    def neighbours(self) -> float:
        """How often a cell has both neighbours in its row, or in its column; 2 at most."""
        full = np.zeros(self._shape, bool)
        full.ravel()[self._place] = True
        beside = full[:, 1:-1] & full[:, 2:] & full[:, :-2]
        above = full[1:-1] & full[2:] & full[:-2]
        return float((beside.sum() + above.sum()) / full.sum())


def _where_all(*indices: Indices) -> list[Indices]:
    """Indices of all where none is missing."""
    known = np.logical_and.reduce([each >= 0 for each in indices])
    return [each[known] for each in indices]


def _edges(rgb: RgbImage) -> tuple[Grey, npt.NDArray[np.int8]]:
    """Strength of edges across the rows and the columns, relative to those around, and slopes."""
    smooth = cv2.GaussianBlur(rgb, (0, 0), 0.7)
    edges = []
    for across, weight in (((1, 0), 1.0), ((0, 1), _LEVEL)):
        steps = cv2.convertScaleAbs(cv2.Sobel(smooth, cv2.CV_16S, *across, ksize=3), alpha=0.25)
        red, green, blue = cv2.split(steps)
        strength = cv2.max(cv2.max(red, green), blue).astype(np.float32)
        around = cv2.blur(strength, (_NEIGHBOURHOOD_PX, _NEIGHBOURHOOD_PX))
        relative = strength / (around + 0.3 * strength.mean() + 0.01)
        edges.append(np.minimum(relative, _STRONGEST) * (weight * 255 / _STRONGEST))
    grey = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY)
    right, down = (cv2.Sobel(grey, cv2.CV_32F, *way, ksize=3) for way in ((1, 0), (0, 1)))
    size = 2 * round(_SLOPE_SHARE * rgb.shape[1]) + 1
    level, upright, both = (
        cv2.blur(each, (size, size)) for each in (down * down, right * right, right * down)
    )
    # Along an edge the brightness stays the same: least squares around each pixel. Where there are
    # several of them in the square (coherence of the structure tensor) it is none of theirs.
    coherence = np.hypot(upright - level, 2 * both) / (upright + level + 1.0)
    slopes = np.stack([-both / (each + 1.0) * coherence**2 for each in (upright, level)])
    slopes[np.abs(slopes) < _FLATTEST] = 0.0
    whole = np.clip(np.rint(slopes * SLOPE), -_STEEPEST, _STEEPEST).astype(np.int8)
    return np.stack(edges).astype(np.uint8), whole
