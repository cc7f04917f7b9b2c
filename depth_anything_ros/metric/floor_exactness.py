"""How exact a network's own floor is, and with it the rest of its depth.

A network whose floor follows a known plane to half a percent all over the image is not off by a
tenth elsewhere. What else is known of floor and obstacles (feet, colours, the motion of the camera)
is less exact than such depth and would spoil it.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage

Mask = npt.NDArray[np.bool_]

# Own choices, made on simulated rooms and streets 100, 101 and 300.
_EXACT = 0.01  # of log inverse depth: floor that follows the plane so closely is nearly exact
_NORMAL_90 = 1.645  # standard deviations within which 90 % of a normal distribution lie
_MUCH_BELOW = 0.02  # share of what looks down: a plane that so much lies below is not the ground
_CLEAR = 0.5  # of what motion shows
_MUCH_DENIED = 0.35  # share of the floor that it shows raised
_RAISED = 0.05  # of log inverse depth above the plane: the network, too, sees that it is raised
_SEES_SOME = 0.08  # share of what motion shows raised that the network must see
_FEW = 100.0  # pixels that say little
_REMEMBERED = 0.99  # share of what earlier images showed that counts


class FloorExactness:
    """Judges images of one camera; remembers how much of what is raised its network sees.

    A network that sees floor everywhere is as flat as an exact one, but misses what the motion of
    the camera shows.
    """

    def __init__(self) -> None:
        self._seen, self._missed = _FEW, 0.0

    def need_of_help(
        self,
        log_ratio: FloatImage,
        floor: Mask,
        below: Mask,
        looks_down: Mask,
        moves: FloatImage,
    ) -> float:
        """How far what else is known of floor and obstacles is needed beside the network's depth.

        Args:
            log_ratio: Rows x columns, log inverse depth less that of the plane; NaN where unknown.
            floor: What is floor by the depth itself.
            below: What lies surely below the plane.
            looks_down: What would see the plane near by.
            moves: What the motion of the camera shows, from -1 on the plane to 1 above it; 0 where
                it shows nothing.

        Returns:
            From 0, the depth is exact, to 1, it needs all help.
        """
        raised = moves > _CLEAR
        if raised.any():
            seen = int(np.count_nonzero(log_ratio[raised] > _RAISED))
            missed = int(np.count_nonzero(np.abs(log_ratio[raised]) <= _RAISED))
            self._seen = _REMEMBERED * self._seen + seen
            self._missed = _REMEMBERED * self._missed + missed
        off = np.abs(log_ratio[floor])
        off = off[np.isfinite(off)]
        if not len(off):
            return 1.0
        spread = float(np.quantile(off, 0.9)) / _NORMAL_90
        # A seat or a pavement that is taken for the ground is as flat as one.
        share = float(below.sum()) / max(float(looks_down.sum()), 1)
        told = np.count_nonzero(np.abs(moves[floor]) > _CLEAR)
        denied = float((raised & floor).sum()) / max(float(told), _FEW)
        exact = math.exp(
            -((spread / _EXACT) ** 2) - (share / _MUCH_BELOW) ** 2 - (denied / _MUCH_DENIED) ** 4
        )
        sees = self._seen / (self._seen + self._missed)
        return 1 - exact * -math.expm1(-((sees / _SEES_SOME) ** 2))
