"""Small maps of depth, enlarged to an image's size with its edges where the image has them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage, RgbImage

# All chosen on 24 synthetic worlds of 640x480 through the embedded network at 160 pixels.
_REACH = 4
"""Pixels of the map over which a network smears an edge of depth, to either side."""

_STEP = 0.05
"""Relative step within reach above which two surfaces are told apart, fully at twice that."""

_CONCENTRATION = (0.6, 0.8)
"""Share of the change within twice the reach that is within the reach: half on a slope, all of it
at an edge. Below the first nothing is sharpened, above the second everything."""

_SURE = (0.3, 0.4, 0.6)
"""A pixel lies between far (0) and near (1): it is surely far below the second number, surely near
above the third, fully so the first number beyond."""

_GREY = 0.06
"""Difference of colour, of 1, below which the colours of near and far say little."""

_GAIN = 6.0
"""How steep a sharpened edge is: pixels are mixtures within 1 / _GAIN of the middle."""


def enlarge_along_edges(values: FloatImage, rgb: RgbImage) -> FloatImage:
    """Enlarge a map, with a sharp edge where a smeared one separates two colours of the image.

    Near an edge each pixel belongs to the nearest or the farthest surface within reach. Its colour,
    compared with the mean colours of both (joint upsampling, Kopf et al. 2007), and its own value
    (shock filter, Osher and Rudin 1990) tell to which. Slopes and surfaces without an edge are
    enlarged bilinearly with aligned pixel centres.

    Args:
        values: hxw, finite; disparity or positive depth, up to scale.
        rgb: HxWx3 uint8, the image it belongs to.

    Returns:
        HxW float32, fresh; no value is outside the range of its surroundings.
    """
    low, high = _extremes(values, _REACH)
    span = high - low
    wide_low, wide_high = _extremes(values, 2 * _REACH)
    begin, full = _CONCENTRATION
    edge = np.clip((span / np.maximum(wide_high - wide_low, 1e-12) - begin) / (full - begin), 0, 1)
    relative = span / np.maximum(np.maximum(np.abs(high), np.abs(low)), 1e-12)
    edge *= np.clip(relative / _STEP - 1, 0, 1)
    height, width = rgb.shape[:2]
    size = (width, height)
    if not edge.any():
        return _resized(values, size)
    place = (values - low) / np.maximum(span, 1e-12)
    axis, offset = _axis_of_colours(place, rgb)
    # side > 0 is near: color @ axis + offset. Linear in all that is enlarged, so the mixture is
    # made of few maps: plain + spread * clip(side, 0, 1).
    offset = _GAIN * (offset + place - 0.5) + 0.5
    maps = np.dstack([(_GAIN / 255) * axis, offset]).astype(np.float32)
    smooth = np.dstack([values + edge * (low - values), edge * span]).astype(np.float32)
    maps, smooth = _resized(maps, size), _resized(smooth, size)
    side = maps[..., 3]
    for channel in range(3):
        side += maps[..., channel] * rgb[..., channel]
    out = np.clip(side, 0, 1, out=side)
    out = out * smooth[..., 1]
    out += smooth[..., 0]
    return out


def _extremes(values: FloatImage, reach: int) -> tuple[FloatImage, FloatImage]:
    """Smallest and largest value within a distance of each pixel."""
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    low: FloatImage = np.asarray(cv2.erode(values, around), np.float32)
    high: FloatImage = np.asarray(cv2.dilate(values, around), np.float32)
    return low, high


def _resized(maps: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.resize(maps, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _axis_of_colours(
    place: FloatImage, rgb: RgbImage
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """How a colour lies between those of the far and the near surface around each pixel.

    Args:
        place: hxw from 0 (far) to 1 (near).
        rgb: HxWx3 uint8.

    Returns:
        hxwx3 and hxw: `color @ axis + offset`, color from 0 to 1, is about -0.5 for the far
        colour and 0.5 for the near one; both are about 0 where the colours are the same.
    """
    height, width = place.shape
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    color = np.multiply(small, 1 / 255, dtype=np.float32)
    ramp, far_below, near_above = _SURE
    side = 4 * _REACH + 1

    def mean_color(share: FloatImage) -> FloatImage:
        weighed = np.dstack([color * share[..., None], share])
        sums = cv2.blur(weighed, (side, side))
        mean: FloatImage = sums[..., :3] / (sums[..., 3:] + 1e-3)
        return mean

    near = mean_color(np.clip((place - near_above) / ramp, 0, 1))
    far = mean_color(np.clip((far_below - place) / ramp, 0, 1))
    difference = near - far
    axis = difference / (np.sum(difference**2, axis=-1, keepdims=True) + _GREY**2)
    return axis, -np.sum(axis * (near + far), axis=-1) / 2
