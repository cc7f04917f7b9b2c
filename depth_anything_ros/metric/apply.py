"""Scale and shift put to use: network values in, metres out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage, Prediction

FARTHEST_M = 1000.0
"""Depth beyond which a value counts as unknown: own choice, far beyond what one camera can tell.

It bounds the disparity from below: what lies there is unknown, or the sky (`metric.sky`).
"""


def to_metres(prediction: Prediction, scale: float, shift: float) -> FloatImage:
    """Turn the values of a network into metres.

    `Z = 1 / (scale * disparity + shift)` for a network that gives disparity (MiDaS, Ranftl et al.
    2020, eq. 1), `Z = scale * Z_network + shift` for one that gives depth.

    Args:
        prediction: The network's values, HxW; not modified.
        scale: Factor on the values.
        shift: Added after the factor, 1/m for disparity and m for depth.

    Returns:
        HxW float32 metres in (0, FARTHEST_M]; NaN where the formula gives no such depth.
    """
    metres = np.multiply(prediction.values, np.float32(scale), dtype=np.float32)
    if shift:
        metres += np.float32(shift)
    if prediction.kind.inverse:
        known = (metres >= np.float32(1 / FARTHEST_M)) & np.isfinite(metres)
        with np.errstate(divide="ignore"):
            np.reciprocal(metres, out=metres)
    else:
        known = (metres > 0) & (metres <= np.float32(FARTHEST_M))
    np.copyto(metres, np.float32(np.nan), where=~known)
    return metres


def with_sky(depth_m: FloatImage, sky: npt.NDArray[np.bool_] | None) -> FloatImage:
    """Depth in which the sky is infinitely far (REP-117), never a wall.

    Args:
        depth_m: HxW float32 metres; not modified.
        sky: HxW bool, True where the sky is seen; None where it is not.

    Returns:
        HxW float32; the same array where no sky is seen.
    """
    if sky is None or not sky.any():
        return depth_m
    return np.where(sky, np.float32(np.inf), depth_m)


def to_inverse(prediction: Prediction, scale: float, shift: float) -> FloatImage:
    """Turn the values of a network into inverse metres; see `to_metres`.

    Args:
        prediction: The network's values, HxW; not modified.
        scale: Factor on the values.
        shift: Added after the factor, 1/m for disparity and m for depth.

    Returns:
        HxW float32 1/m: of a relative network unbounded (0 and less is the horizon and beyond);
        NaN where the network says nothing or depth is not above 0.
    """
    values = np.multiply(prediction.values, np.float32(scale), dtype=np.float32)
    if shift:
        values += np.float32(shift)
    if not prediction.kind.inverse:
        np.copyto(values, np.float32(np.nan), where=~(values > 0))
        np.reciprocal(values, out=values)
    np.copyto(values, np.float32(np.nan), where=~np.isfinite(values))
    return values


def metres_of_inverse(inverse_m: FloatImage) -> FloatImage:
    """Turn inverse metres into metres, in place.

    Args:
        inverse_m: HxW float32 1/m; overwritten.

    Returns:
        HxW float32 metres in (0, FARTHEST_M]; NaN where there is no such depth.
    """
    known = inverse_m >= np.float32(1 / FARTHEST_M)
    with np.errstate(divide="ignore"):
        np.reciprocal(inverse_m, out=inverse_m)
    np.copyto(inverse_m, np.float32(np.nan), where=~known)
    return inverse_m
