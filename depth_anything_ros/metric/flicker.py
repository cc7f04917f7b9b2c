"""Bands in pictures of lamps that flicker: a rolling shutter takes its rows one after the other.

Lamps on alternating current change their brightness 100 or 120 times a second, and each row of the
sensor sees another moment of it (Sheinin, Schechner and Kutulakos, Rolling Shutter Imaging on the
Electric Grid, 2018). So how bright a picture is depends on the row, and differently in each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray

# Own choices.
_KNOT = 0.05  # of the rows, between places whose brightness is computed; in between it is linear
_ROUNDS = 4
_USUAL = 0.005  # log ratio that says nothing
_STIFF = 0.01  # of the weight of a knot: brightness that is not seen stays


def brightness_of_rows(
    ratio: FloatArray, row_before: FloatArray, row_now: FloatArray, rows: int
) -> tuple[FloatArray, FloatArray]:
    """How bright the rows of two pictures are, from places that both show.

    Args:
        ratio: N, log of how much brighter the picture of now shows each place.
        row_before: N, the row where the earlier picture shows it.
        row_now: N, the row where the picture of now shows it.
        rows: Rows of each picture.

    Returns:
        Log brightness of each row of the earlier picture, and of the picture of now.
    """
    knots = round(1 / _KNOT) + 1
    after = (knots - 1) / max(rows - 1, 1)  # knots per row
    at_now, share_now = _between(row_now * after, knots)
    at_before, share_before = _between(row_before * after, knots)
    at = np.concatenate([at_now, knots + at_before])
    share = np.concatenate([share_now, -share_before])
    count = 2 * knots
    pair = count * at[:, None] + at[None]
    product = share[:, None] * share[None]
    log = np.zeros(count)
    for _ in range(_ROUNDS):
        off = ratio - (share * log[at]).sum(axis=0)
        weight = 1 / (1 + np.square(off / (float(np.median(np.abs(off))) + _USUAL)))
        normal = np.bincount(pair.ravel(), (product * weight).ravel(), count * count)
        right = np.bincount(at.ravel(), (share * (weight * ratio)).ravel(), count)
        stiff = _STIFF * float(weight.sum()) / knots * np.eye(count)
        solved = np.linalg.solve(normal.reshape(count, count) + stiff, right)
        log = np.asarray(solved, np.float64)
    places = np.arange(rows) * after
    now, before = (np.interp(places, np.arange(knots), part) for part in (log[:knots], log[knots:]))
    return before, now


def _between(places: FloatArray, knots: int) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Numbers of the two knots around each of N places, and their shares: 2xN each."""
    places = np.clip(places, 0, knots - 1)
    first = np.minimum(places.astype(np.intp), knots - 2)
    share = places - first
    return np.stack([first, first + 1]), np.stack([1 - share, share])
