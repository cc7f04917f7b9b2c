"""Scale and shift put to use: network values in, metres out."""

from __future__ import annotations

import numpy as np

from depth_anything_ros.frames import FloatImage, Prediction, PredictionKind

FARTHEST_M = 1000.0
"""Depth beyond which a value counts as unknown: own choice, far beyond what one camera can tell.

It bounds the disparity from below, so the sky (disparity 0) is unknown and never infinitely far.
"""


def to_metres(prediction: Prediction, scale: float, shift: float) -> FloatImage:
    """Turn the values of a network into metres.

    `Z = 1 / (scale * disparity + shift)` for a relative network (MiDaS, Ranftl et al. 2020,
    eq. 1), `Z = scale * Z_network + shift` for a metric one.

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
    if prediction.kind is PredictionKind.RELATIVE_DISPARITY:
        known = (metres >= np.float32(1 / FARTHEST_M)) & np.isfinite(metres)
        with np.errstate(divide="ignore"):
            np.reciprocal(metres, out=metres)
    else:
        known = (metres > 0) & (metres <= np.float32(FARTHEST_M))
    np.copyto(metres, np.float32(np.nan), where=~known)
    return metres
