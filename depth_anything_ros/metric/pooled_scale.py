"""One scale for a whole recording.

What one frame measures is noisy; the median over many frames is not, and a few wrong frames do not
move it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.scale_file import SavedScale
from depth_anything_ros.metric.source import Measurement


def pooled_scale(
    measured: Sequence[Measurement], values: tuple[float, float], kind: PredictionKind
) -> SavedScale:
    """The scale and shift that lie in the middle of those of many frames.

    Scale and shift trade off, so their medians need not fit together; the medians of what the
    frames make of two network values do.

    Args:
        measured: One measurement per frame.
        values: A low and a high value of the network, typical of the recording.
        kind: Kind of the network.

    Returns:
        The scale.

    Raises:
        UnmeasurableError: There is no measurement, or the frames contradict each other.
    """
    if not measured:
        raise UnmeasurableError("no frame of the recording gave a scale")
    low, high = values
    scales = np.array([each.scale for each in measured])
    shifts = np.array([each.shift for each in measured])
    if not shifts.any():
        return SavedScale(kind, float(np.median(scales)), 0.0, measured[0].method)
    at_low, at_high = np.median(scales * low + shifts), np.median(scales * high + shifts)
    scale = float((at_high - at_low) / (high - low)) if high > low else 0.0
    if not scale > 0:
        raise UnmeasurableError("the frames of the recording contradict each other")
    return SavedScale(kind, scale, float(at_low - scale * low), measured[0].method)
