"""Where a relative network sees the sky.

A network of relative disparity has no word for the sky: it gives its least value there, which a
global fit makes a wall (a shift above 0) or something behind infinity (below 0). Sky is where that
least value is far away, reaches the top of the picture without a break, and the picture is even,
bright and not reddish, as sky by day is; measured points in it would say otherwise.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import Frame, Prediction, PredictionKind, ScaleState

Mask = npt.NDArray[np.bool_]

# Own choices, compared on simulated streets and rooms, KITTI, DDAD and photographs.
_WIDTH = 160  # of the picture on which regions are found
_NEAREST_M = 20.0  # depth of the network's least value from which on it may be sky
_FLAT = 0.02  # of the range of disparities: less than that above the least is the least
_UNEVEN = 14.0  # grey levels (of 255) of standard deviation within 5 pixels that sky may have
_DARKEST = 0.9  # of the picture's mean brightness
_LEAST_BLUE = 0.9  # of the brightness of red
_FRINGE = 3  # pixels across: so near to even sky, its uneven edge is sky
_SMALLEST = 0.002  # share of the picture
_POINTS = 3  # measured points in a region that make it no sky


def sky_seen(prediction: Prediction, frame: Frame, state: ScaleState) -> Mask | None:
    """Find the sky in an image.

    Args:
        prediction: The network's values, HxW; not modified.
        frame: The image and the points measured in it.
        state: Scale and shift of the image.

    Returns:
        HxW bool, or None where no sky is seen. What the network itself says of the sky stands;
        one that gives depth and says nothing of it has none.
    """
    if prediction.kind is not PredictionKind.RELATIVE_DISPARITY or prediction.sky is not None:
        return prediction.sky
    if not state.scale > 0:
        return None
    values = prediction.values
    step = max(1, values.shape[1] // _WIDTH)
    few = values[step // 2 :: step, step // 2 :: step]
    known = np.sort(few[np.isfinite(few)], axis=None)
    if not len(known):
        return None
    least = float(known[0])
    flat = least + _FLAT * float(known[-1 - len(known) // 50] - least)
    if least * state.scale + state.shift > 1 / _NEAREST_M:
        return None
    horizon = -state.shift / state.scale
    level = np.float32(max(flat, horizon))
    small = _region(few <= level, frame, step)
    if small is None:
        return None
    near = cv2.dilate(small, np.ones((_FRINGE, _FRINGE), np.uint8))
    whole = cv2.resize(near, values.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray((whole > 0) & (values <= level))


def _region(least: Mask, frame: Frame, step: int) -> npt.NDArray[np.uint8] | None:
    """Which pixels of the small picture are sky, among those of the network's least value."""
    rgb = np.ascontiguousarray(frame.rgb[step // 2 :: step, step // 2 :: step])
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (5, 5))
    spread = np.sqrt(np.maximum(cv2.blur(grey * grey, (5, 5)) - mean * mean, 0))
    even = (least & (spread < _UNEVEN)).astype(np.uint8)
    count, label, stats, _ = cv2.connectedComponentsWithStats(even, connectivity=4)
    points = _points_in(np.asarray(label, np.int32), frame, step, count)
    sky = np.zeros(count, np.uint8)
    for part in np.unique(label[0][label[0] > 0]):
        red, _, blue = rgb[label == part].mean(axis=0)
        sky[part] = (
            stats[part, cv2.CC_STAT_AREA] >= _SMALLEST * label.size
            and float(grey[label == part].mean()) >= _DARKEST * float(grey.mean())
            and blue >= _LEAST_BLUE * red
            and points[part] < _POINTS
        )
    return sky[label] if sky.any() else None


def _points_in(
    label: npt.NDArray[np.int32], frame: Frame, step: int, count: int
) -> npt.NDArray[np.intp]:
    """How many measured points lie in each region."""
    if frame.points is None:
        return np.zeros(count, np.intp)
    rows = np.clip(frame.points.v // step, 0, label.shape[0] - 1).astype(np.intp)
    columns = np.clip(frame.points.u // step, 0, label.shape[1] - 1).astype(np.intp)
    return np.bincount(label[rows, columns], minlength=count)
