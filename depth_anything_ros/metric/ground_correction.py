"""How far off the ground is that is known: its height and attitude, as the camera's motion shows.

A camera is rarely as high and as level as its mount says. Images of the ground from two poses are a
homography apart that depends on the ground's plane (Hartley and Zisserman, Multiple View Geometry,
2004, section 13.1). The plane that fits them best is looked for directly in the grey values (Lucas
and Kanade 1981), and what each pair of images says is gathered in a Kalman filter.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, Plane
from depth_anything_ros.metric.direct_alignment import ALIKE
from depth_anything_ros.metric.plane_sweep import LEAST_PIXELS, NOISE, THIN, PlaneSweep

# Own choices, made on simulated rooms and streets 0 to 4. All triples are of the logarithm of the
# height, and of degrees about the optical frame's x and z axes.
_PRIOR = np.array([0.05, 1.0, 1.0])  # standard deviations of what is said of a mount
_WANDER = np.array([0.0005, 0.02, 0.02])  # by how much it may change from one pair to the next
_STEPS = np.array([0.02, 0.3, 0.3])  # over which images are taken to change linearly
_MOST = np.array([0.15, 3.0, 3.0])  # by which a ground is corrected: more is another one
_SHIFT = 0.5  # pixels, standard deviation of how far poses are off
_ROUNDS = 4
_MOVED = 0.12  # heights of the camera from one pair to the next


class GroundCorrection:
    """Learns from pairs of images of one camera by how much its ground is off."""

    def __init__(self) -> None:
        self._off = np.zeros(3)
        self._covariance = np.diag(np.square(_PRIOR))
        self._last: FloatArray | None = None

    def corrected(self, ground: Plane) -> Plane:
        """The ground as the motion of the camera shows it.

        Args:
            ground: The ground that is known, in the optical frame.

        Returns:
            The corrected plane; the same while it is not known better, or where it is so far off
            that the poses may be to blame.
        """
        if self._last is None or (np.abs(self._off) > _MOST).any():
            return ground
        return _changed(ground, self._off)

    def learn(
        self,
        sweep: PlaneSweep,
        known: Plane,
        position: FloatArray,
        on_ground: npt.NDArray[np.bool_],
        shift: FloatArray,
    ) -> None:
        """Learn from a pair of images.

        Args:
            sweep: The pair.
            known: The ground that is known, as given to `corrected`.
            position: Where the newer image was taken, 3 metres in a fixed frame.
            on_ground: What shows the ground, at every second pixel.
            shift: Columns and rows by which poses are off.
        """
        least = _MOVED * known.offset
        if self._last is not None and np.linalg.norm(position - self._last) < least:
            return
        used = sweep.inside[::THIN, ::THIN] & on_ground
        if np.count_nonzero(used) < LEAST_PIXELS:
            return
        before = np.concatenate([np.zeros(2), self._off])
        sure = np.zeros((5, 5))
        sure[:2, :2] = np.eye(2) / _SHIFT**2
        sure[2:, 2:] = np.linalg.inv(self._covariance + np.diag(np.square(_WANDER)))
        start = sweep.ground_map(_changed(known, self._off))
        ways = []
        for step in np.diag(_STEPS):
            other = sweep.ground_map(_changed(known, self._off + step))
            ways.append((other - start)[:, used].astype(np.float64) / step.max())
        now = np.concatenate([shift, self._off])
        for _ in range(_ROUNDS):
            maps = start + now[:2, None, None].astype(np.float32)
            for way, turned in zip(ways, now[2:] - self._off, strict=True):
                maps[:, used] += np.float32(turned) * way.astype(np.float32)
            off, slopes = sweep.differences(maps, used)
            along = np.stack([*slopes, *((slopes * way).sum(axis=0) for way in ways)])
            usual = 2 * float(np.median(np.abs(off))) + NOISE
            weight = 1 / (1 + np.square(off / usual))
            variance = ALIKE * float(weight @ np.square(off)) / float(weight.sum()) + NOISE**2
            weighed = along * (weight / variance)
            normal = weighed @ along.T + sure
            now = now + np.linalg.solve(normal, weighed @ off - sure @ (now - before))
        self._off = now[2:]
        self._covariance = np.linalg.inv(normal)[2:, 2:]
        self._last = np.array(position)


def _changed(ground: Plane, off: FloatArray) -> Plane:
    """A plane with another height and attitude."""
    turn, _ = cv2.Rodrigues(np.radians([off[1], 0.0, off[2]]))
    x, y, z = (float(part) for part in turn @ np.array(ground.normal))
    return Plane((x, y, z), ground.offset * math.exp(off[0]))
