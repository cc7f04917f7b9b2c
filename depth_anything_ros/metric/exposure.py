"""By how much one picture is brighter than another: cameras change their exposure all the time."""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage
from depth_anything_ros.geometry.camera_motion import sample_displaced

Gray = npt.NDArray[np.uint8]
_Picture = TypeVar("_Picture", Gray, FloatImage)

# Own choices.
DARKEST, BRIGHTEST = 3, 252
"""Grey values between which pixels tell how they are exposed: beyond, sensors saturate."""
_ROUNDS = 8
_STIFF = 4.0  # squared grey values that a pixel speaks for the same contrast
_USUAL = 0.7  # difference of grey values that says nothing
_LEAST_PIXELS, _LEAST_CORNERS = 200, 20
_ABOUT = (15, 15)  # pixels around a corner that is about there
_THIN = 2  # every second row and column tells
_MOST_GAIN = 2.5
_LEFT = 0.8  # of the median difference of grey values that is left where exposure has changed
_SEEN = 2.0  # mean change of grey values from which on exposure has changed


def exposure_between(before: FloatArray, now: FloatArray) -> tuple[float, float]:
    """Gain and offset that make grey values of one picture those of another, robustly.

    Args:
        before: N grey values.
        now: N grey values, mostly of the same places.

    Returns:
        Gain, and grey values to be added after it.
    """
    gain, more = 1.0, float(np.median(now - before))
    for _ in range(_ROUNDS):
        off = now - gain * before - more
        weight = 1 / (1 + np.square(off / (float(np.median(np.abs(off))) + _USUAL)))
        weight /= weight.sum()
        mean, mean_now = float(weight @ before), float(weight @ now)
        common = float(weight @ ((before - mean) * (now - mean_now)))
        spread = float(weight @ np.square(before - mean))
        gain = (common + _STIFF) / (spread + _STIFF)
        more = mean_now - gain * mean
    return gain, more


def exposure_by_flow(now: Gray, last: Gray, flow: FloatImage) -> tuple[float, float]:
    """Gain and offset that make an earlier picture as bright as the present one.

    Args:
        now: HxW uint8.
        last: HxW uint8.
        flow: HxWx2 float32, columns and rows from each present pixel to the last picture.

    Returns:
        Gain and offset in grey values; 1 and 0 where they hardly change anything.
    """
    (seen,) = sample_displaced((last.astype(np.float32),), flow[..., 0], flow[..., 1])
    return _if_changed(seen[::_THIN, ::_THIN], now[::_THIN, ::_THIN], _LEAST_PIXELS)


def exposure_at(
    first: Gray, second: Gray, start: npt.NDArray[np.float32], guess: npt.NDArray[np.float32]
) -> tuple[float, float]:
    """Gain and offset that make a picture as bright as another one.

    Args:
        first: HxW uint8.
        second: HxW uint8.
        start: Nx2 float32 pixels of the first one.
        guess: Nx2 float32, about where the second one shows the same.

    Returns:
        Gain and offset in grey values; 1 and 0 where they hardly change anything.
    """
    before, now = (
        cv2.remap(cv2.blur(picture, _ABOUT), pixels[:, 0], pixels[:, 1], cv2.INTER_LINEAR)
        for picture, pixels in ((first, start), (second, guess))
    )
    return _if_changed(before, now, _LEAST_CORNERS)


def _if_changed(before: npt.NDArray[Any], now: npt.NDArray[Any], least: int) -> tuple[float, float]:
    """`exposure_between` those that tell it; 1 and 0 where few do or it hardly changes anything."""
    with np.errstate(invalid="ignore"):
        used = (np.minimum(now, before) > DARKEST) & (np.maximum(now, before) < BRIGHTEST)
    if np.count_nonzero(used) < least:
        return 1.0, 0.0
    here, there = now[used].astype(np.float64), before[used].astype(np.float64)
    gain, more = exposure_between(there, here)
    alike = gain * there + more
    changed = float(np.mean(np.abs(alike - there))) > _SEEN
    # Where places do not belong together any gain fits as badly.
    left, without = (float(np.median(np.abs(here - each))) for each in (alike, there))
    likely = 1 / _MOST_GAIN < gain < _MOST_GAIN and left < _LEFT * without
    return (gain, more) if changed and likely else (1.0, 0.0)


def exposed(picture: _Picture, gain: float, more: float) -> _Picture:
    """A picture with another gain and offset.

    Args:
        picture: uint8, or float32 grey values.
        gain: Factor on its values.
        more: Added after it.

    Returns:
        The same shape and type, from 0 to 255.
    """
    if gain == 1 and more == 0:
        return picture
    changed = np.asarray(cv2.addWeighted(picture, gain, picture, 0, more), picture.dtype)
    return np.clip(changed, 0, 255)
