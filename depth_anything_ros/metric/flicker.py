"""Bands in pictures of lamps that flicker: a rolling shutter takes its rows one after the other.

Lamps on alternating current change their brightness 100 or 120 times a second, and each row of the
sensor sees another moment of it (Sheinin, Schechner and Kutulakos, Rolling Shutter Imaging on the
Electric Grid, 2018). So how bright a picture is depends on the row, and differently in each.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

from depth_anything_ros.frames import FloatArray

# Own choices.
_KNOT = 0.05  # of the rows, between places whose brightness is computed; in between it is linear
_ROUNDS = 5
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
    places = [_between(row * after, knots) for row in (row_now, row_before)]
    design = scipy.sparse.hstack([places[0], -places[1]]).tocsr()
    log = np.zeros(2 * knots)
    for _ in range(_ROUNDS):
        off = ratio - design @ log
        weight = 1 / (1 + np.square(off / (float(np.median(np.abs(off))) + _USUAL)))
        weighed = design.multiply(weight[:, None]).T.tocsr()
        stiff = _STIFF * float(weight.sum()) / knots * np.eye(2 * knots)
        log = np.linalg.solve((weighed @ design).toarray() + stiff, weighed @ ratio)
    at = np.arange(rows) * after
    now, before = (np.interp(at, np.arange(knots), part) for part in (log[:knots], log[knots:]))
    return before, now


def _between(at: FloatArray, knots: int) -> scipy.sparse.csr_array:
    """N x knots shares of the two knots around each place."""
    at = np.clip(at, 0, knots - 1)
    first = np.minimum(at.astype(np.intp), knots - 2)
    share = at - first
    number = np.arange(len(at))
    return scipy.sparse.csr_array(
        (
            np.concatenate([1 - share, share]),
            (np.concatenate([number, number]), np.concatenate([first, first + 1])),
        ),
        shape=(len(at), knots),
    )
