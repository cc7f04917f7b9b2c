"""Pairs of points of which one is closer: DA-2K's format, and how many a network orders rightly.

Format and scenarios are those of the DA-2K benchmark (Yang et al., Depth Anything V2, 2024,
section 6; DA-2K.md of the official repository): a JSON object from image path to a list of
`{"point1": [row, column], "point2": [row, column], "closer_point": "point1"}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from depth_anything_ros.errors import InputError, reading
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.formats.results import write_json
from depth_anything_ros.frames import FloatArray, Prediction
from depth_anything_ros.inference.estimator import DepthEstimator

SCENARIOS = (
    "indoor",
    "outdoor",
    "non_real",
    "transparent_reflective",
    "adverse_style",
    "aerial",
    "underwater",
    "object",
)
"""The eight scenarios of DA-2K; each is a folder of its images."""

Point = tuple[int, int]
"""(row, column) in pixels."""


@dataclass(frozen=True)
class OrderedPair:
    """Two points of an image of which one is known to be closer to the camera."""

    closer: Point
    farther: Point


@dataclass(frozen=True)
class PairScore:
    """How many pairs of one image a network orders rightly.

    Attributes:
        image: Path of the image as the annotations name it.
        correct: Pairs that the network orders correctly; a tie is not correct.
        pairs: All pairs of the image.
    """

    image: str
    correct: int
    pairs: int


def read_pairs(path: Path) -> dict[str, list[OrderedPair]]:
    """Read annotations in DA-2K's format.

    Args:
        path: The JSON file.

    Returns:
        Pairs by image path, in the file's order.

    Raises:
        InputError: The file cannot be read or is not of this format; the message says where.
    """
    with reading(path, "annotations"):
        content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not all(
        isinstance(each, list) for each in content.values()
    ):
        raise InputError(
            f"{path} is not in DA-2K's format: an object of image path to list of pairs"
        )
    return {
        image: [_pair(entry, f"{path}, {image}, pair {i}") for i, entry in enumerate(entries, 1)]
        for image, entries in content.items()
    }


def write_pairs(path: Path, pairs: Mapping[str, Sequence[OrderedPair]]) -> None:
    """Write annotations in DA-2K's format, point1 always the closer one as there.

    Args:
        path: The JSON file; replaced in one step, so that it is never half written.
        pairs: Pairs by image path.
    """
    content = {
        image: [
            {"point1": list(pair.closer), "point2": list(pair.farther), "closer_point": "point1"}
            for pair in each
        ]
        for image, each in pairs.items()
    }
    write_json(path, content, durable=True)


def nearness(prediction: Prediction) -> FloatArray:
    """Values that grow towards the camera, whatever kind the network is.

    Args:
        prediction: Disparity or metres.

    Returns:
        HxW float64: disparity, or 1/Z; NaN where depth is unknown.
    """
    values = prediction.values.astype(np.float64)
    if prediction.kind.inverse:
        return values
    return 1 / np.where(values > 0, values, np.nan)


def score_pairs(
    annotations: Iterable[tuple[str, Sequence[OrderedPair]]],
    images: Path,
    estimator: DepthEstimator,
) -> Iterator[PairScore]:
    """Run a network over annotated images.

    Args:
        annotations: Image paths, each with its pairs.
        images: The folder those paths start from.
        estimator: The network.

    Yields:
        One score per image, in order.

    Raises:
        InputError: An image is missing, cannot be read, or is too small for its points.
    """
    for image, pairs in annotations:
        path = images / image
        if not path.is_file():
            raise InputError(
                f"{path} does not exist; --images must be the folder that the paths in the "
                f"annotations ({image}) start from"
            )
        rgb = read_image(path)
        height, width = rgb.shape[:2]
        for row, column in (point for pair in pairs for point in (pair.closer, pair.farther)):
            if not (0 <= row < height and 0 <= column < width):
                raise InputError(
                    f"{image} is {width}x{height} and has no point at row {row}, column {column}; "
                    "the annotations are for a picture of another size"
                )
        (prediction,) = estimator.estimate([rgb])
        near = nearness(prediction)
        correct = sum(bool(near[pair.closer] > near[pair.farther]) for pair in pairs)
        yield PairScore(image, correct, len(pairs))


def scenario_of(image: str) -> str:
    """The scenario an image belongs to.

    Args:
        image: Its path in the annotations.

    Returns:
        The DA-2K scenario among its folders, else the folder it lies in, else "images".
    """
    folders = PurePosixPath(image).parent.parts
    known = [folder for folder in folders if folder in SCENARIOS]
    return (known or list(folders[-1:]) or ["images"])[0]


def by_scenario(scores: Iterable[PairScore]) -> dict[str, PairScore]:
    """Add scores up by scenario.

    Args:
        scores: Scores of images.

    Returns:
        The sums; `image` is the scenario.
    """
    sums: dict[str, PairScore] = {}
    for score in scores:
        name = scenario_of(score.image)
        before = sums.get(name, PairScore(name, 0, 0))
        sums[name] = PairScore(name, before.correct + score.correct, before.pairs + score.pairs)
    return sums


def _pair(entry: Any, where: str) -> OrderedPair:
    try:
        first, second = _point(entry["point1"]), _point(entry["point2"])
        closer = entry["closer_point"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{where} is not in DA-2K's format: it needs point1, point2 as [row, column] and "
            "closer_point"
        ) from error
    if closer not in ("point1", "point2"):
        raise InputError(f"{where}: closer_point is '{closer}'; it must be point1 or point2")
    return OrderedPair(first, second) if closer == "point1" else OrderedPair(second, first)


def _point(value: Any) -> Point:
    row, column = value
    return int(row), int(column)
