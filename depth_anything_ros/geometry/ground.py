"""Attitude of a camera over the ground."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def up_of_attitude(pitch_deg: float, roll_deg: float) -> npt.NDArray[np.float64]:
    """Up vector in the optical frame of a tilted camera.

    A level camera has up = (0, -1, 0) (REP-103: y points down). Pitch turns it about its x axis so
    that it looks down, then roll turns it about its viewing axis so that it leans to the right.

    Args:
        pitch_deg: Degrees the camera looks down.
        roll_deg: Degrees the camera leans to the right.

    Returns:
        Unit vector of 3.
    """
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    up = np.array([0.0, -math.cos(pitch), -math.sin(pitch)])
    turn = np.array(
        [
            [math.cos(roll), math.sin(roll), 0.0],
            [-math.sin(roll), math.cos(roll), 0.0],
            [0.0, 0.0, 1.0],
        ]
    )
    return turn @ up
