"""Draws to learn from: what is seen of points of which some are wrong, and which ones are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage, Prediction, PredictionKind
from depth_anything_ros.metric.fit import FitSettings, UnmeasurableError, fit_points, values_at
from depth_anything_ros.metric.sources.sparse import subset
from depth_anything_ros.metric.visibility import visible
from depth_anything_ros.metric.wrong_points_network import (
    FEWEST,
    MOST,
    NEIGHBOURS,
    OF_PAIR,
    OF_POINT,
    Evidence,
    evidence,
)
from depth_anything_ros.training.sparse.draw_files import Picture
from depth_anything_ros.training.sparse.gross_errors import with_gross_errors
from depth_anything_ros.training.sparse.networks import coarse, nearly_right, spoilt
from depth_anything_ros.training.sparse.sensors import measured_points

DRAWS = 14
"""Draws of one picture."""

# Own choices.
_NUMBERS = ((8, 60), (60, 300), (300, 1_200))  # of points, uniform in their logarithm
_SHARE_OF_NUMBERS = (0.2, 0.45, 0.35)
_NEARLY_RIGHT = 0.25  # share of draws with a network that is nearly right
_COARSE, _SPOILT = 0.35, 0.6  # shares of the others whose network is made worse
_NO_NETWORK = 0.06  # share of draws with the median depth in place of a fit


@dataclass(frozen=True)
class Draw:
    """One set of points.

    Attributes:
        seen: As `metric.wrong_points_network` sees it.
        wrong: N bool.
    """

    seen: Evidence
    wrong: npt.NDArray[np.bool_]


def draws_of(rng: np.random.Generator, picture: Picture) -> Iterator[Draw]:
    """Draws of one picture.

    Args:
        rng: Decides everything.
        picture: It.
    """
    for _ in range(DRAWS):
        disparity = _disparity(rng, picture)
        few, many = _NUMBERS[int(rng.choice(len(_NUMBERS), p=_SHARE_OF_NUMBERS))]
        count = int(np.exp(rng.uniform(np.log(few), np.log(many))))
        right = measured_points(rng, picture.depth_m, picture.rgb, count, gross_errors=False)
        if right is None or len(right) < FEWEST:
            continue
        right = subset(right, np.sort(rng.permutation(len(right))[:MOST]))
        points, wrong = with_gross_errors(rng, right)
        if rng.random() < _NO_NETWORK:
            fitted = np.full(len(points), 1 / np.median(points.z))
            disparity = np.full(disparity.shape, fitted[0], np.float32)
        else:
            relative = PredictionKind.RELATIVE_DISPARITY
            prediction = Prediction(disparity, relative, disparity.shape)
            seen = visible(prediction, points)
            points, wrong = subset(points, seen), wrong[seen]
            try:
                fit = fit_points(prediction, points, FitSettings())
            except UnmeasurableError:
                continue
            if len(points) < FEWEST:
                continue
            fitted = fit.scale * values_at(disparity, points) + fit.shift
        yield Draw(evidence(points, fitted, disparity, picture.rgb), wrong)


def _disparity(rng: np.random.Generator, picture: Picture) -> FloatImage:
    if rng.random() < _NEARLY_RIGHT:
        return nearly_right(rng, picture.depth_m)
    disparity = picture.disparities[int(rng.integers(len(picture.disparities)))]
    if rng.random() < _COARSE:
        disparity = coarse(rng, disparity)
    return spoilt(rng, disparity) if rng.random() < _SPOILT else disparity


def file_of(rng: np.random.Generator, pictures: list[Picture]) -> dict[str, npt.NDArray[Any]]:
    """Arrays of one file of draws, one after the other.

    `count` points of each draw; of each point `points`, indices `near` within its draw and `pairs`
    of its neighbours, the last one as often as neighbours are missing; and `wrong`.
    """
    kinds = ("count", "points", "near", "pairs", "wrong")
    arrays: dict[str, list[npt.NDArray[Any]]] = {kind: [] for kind in kinds}
    for picture in pictures:
        for draw in draws_of(rng, picture):
            seen = draw.seen
            fill = np.minimum(np.arange(len(NEIGHBOURS)), len(seen.near) - 1)
            arrays["count"].append(np.array([len(draw.wrong)]))
            arrays["points"].append(seen.points.astype(np.float16))
            arrays["near"].append(seen.near[fill].T.astype(np.int16))
            arrays["pairs"].append(seen.pairs[fill].swapaxes(0, 1).astype(np.float16))
            arrays["wrong"].append(draw.wrong)
    if not arrays["count"]:
        neighbours = len(NEIGHBOURS)
        return {
            "count": np.empty(0, np.int64),
            "points": np.empty((0, len(OF_POINT)), np.float16),
            "near": np.empty((0, neighbours), np.int16),
            "pairs": np.empty((0, neighbours, len(OF_PAIR)), np.float16),
            "wrong": np.empty(0, bool),
        }
    return {kind: np.concatenate(parts) for kind, parts in arrays.items()}
