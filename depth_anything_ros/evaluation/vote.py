"""Expert networks vote which of two points is closer; a person settles disputed pairs.

DA-2K was made in this way (Yang et al., Depth Anything V2, 2024, section 6): four expert networks
order each pair; unanimous answers are taken, people settle the rest.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from depth_anything_ros.errors import InputError, reading
from depth_anything_ros.evaluation.pair_sampling import Pair, normalised, sample_pairs
from depth_anything_ros.evaluation.pairs import (
    OrderedPair,
    Point,
    nearness,
    write_pairs,
)
from depth_anything_ros.formats.results import write_json
from depth_anything_ros.frames import FloatArray, RgbImage
from depth_anything_ros.inference.estimator import DepthEstimator

POINT1, POINT2, UNCLEAR = "point1", "point2", "unclear"
ANSWERS = (POINT1, POINT2, UNCLEAR)
"""Answers of experts and people: which point is closer, or that it is unclear."""

TIE_MARGIN = 0.01
"""Share of an expert's range of disparity below which two points are at one depth for it."""


@dataclass
class Question:
    """A pair of points with the experts' votes and the verdict.

    Attributes:
        point1: One point, (row, column) in pixels.
        point2: The other.
        votes: The experts' answers, each one of `ANSWERS`, in the experts' order.
        verdict: One of `ANSWERS`, or None while the pair is disputed and not settled.
    """

    point1: Point
    point2: Point
    votes: list[str]
    verdict: str | None = None

    def ordered(self) -> OrderedPair | None:
        """The pair with its order, None where that is not known."""
        if self.verdict == POINT1:
            return OrderedPair(self.point1, self.point2)
        if self.verdict == POINT2:
            return OrderedPair(self.point2, self.point1)
        return None


@dataclass
class Ballot:
    """All questions of a vote, stored in a folder.

    Attributes:
        folder: Where `ballot.json` and `annotations.json` are.
        experts: Names of the experts.
        root: The folder that the image paths start from.
        images: Questions by image path.
    """

    folder: Path
    experts: list[str]
    root: Path
    images: dict[str, list[Question]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Ballot:
        """Read the ballot of a folder.

        Args:
            folder: The folder given to the vote.

        Returns:
            The ballot.

        Raises:
            InputError: There is none, or it cannot be read.
        """
        path = folder / "ballot.json"
        with reading(path, "a ballot"):
            content = json.loads(path.read_text(encoding="utf-8"))
            images = {
                image: [
                    Question(
                        (int(each["point1"][0]), int(each["point1"][1])),
                        (int(each["point2"][0]), int(each["point2"][1])),
                        list(each["votes"]),
                        each["verdict"],
                    )
                    for each in questions
                ]
                for image, questions in content["images"].items()
            }
            return cls(folder, list(content["experts"]), Path(content["root"]), images)

    def save(self) -> None:
        """Write `ballot.json`, and what is decided as `annotations.json` in DA-2K's format."""
        self.folder.mkdir(parents=True, exist_ok=True)
        questions = {
            image: [vars(question) for question in each] for image, each in self.images.items()
        }
        content = {"experts": self.experts, "root": str(self.root), "images": questions}
        write_json(self.folder / "ballot.json", content, durable=True)
        decided = {
            image: [pair for question in each if (pair := question.ordered()) is not None]
            for image, each in self.images.items()
        }
        write_pairs(
            self.folder / "annotations.json",
            {image: pairs for image, pairs in decided.items() if pairs},
        )

    def questions(self) -> Iterator[tuple[str, Question]]:
        """All questions in order, each with its image path."""
        for image, questions in self.images.items():
            for question in questions:
                yield image, question


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Keep other processes from changing the ballot of a folder.

    Args:
        folder: The folder given to the vote.

    Raises:
        InputError: There is no such folder, or another process has it.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InputError(f"{folder} holds no ballot: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise InputError(
            f"the ballot in {folder} is in use by another process; end that one, or choose another "
            "--output"
        ) from error
    finally:
        os.close(handle)


def decide(votes: Sequence[str]) -> str | None:
    """The verdict of the experts' votes.

    Args:
        votes: At least one of `ANSWERS`.

    Returns:
        The unanimous answer, None where they differ.
    """
    return votes[0] if len(set(votes)) == 1 else None


def cast_vote(near: FloatArray, pair: Pair) -> str:
    """The answer of one expert to a pair.

    Args:
        near: HxW, its normalised nearness.
        pair: The points.

    Returns:
        The closer point; `UNCLEAR` where they differ by less than `TIE_MARGIN`, or one is unknown.
    """
    difference = near[pair[0]] - near[pair[1]]
    if difference > TIE_MARGIN:
        return POINT1
    return POINT2 if difference < -TIE_MARGIN else UNCLEAR


def vote_on_image(
    rgb: RgbImage, experts: Sequence[DepthEstimator], count: int, rng: np.random.Generator
) -> list[Question]:
    """Draw pairs of one image and let every expert order them.

    Args:
        rgb: HxWx3 uint8 RGB.
        experts: At least one network.
        count: Number of pairs.
        rng: Random generator.

    Returns:
        The questions; those on which all experts agree have a verdict.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    disparities = [normalised(nearness(expert.estimate([rgb])[0])) for expert in experts]
    questions = []
    for pair in sample_pairs(rgb, disparities, count, rng):
        votes = [cast_vote(near, pair) for near in disparities]
        questions.append(Question(*pair, votes, decide(votes)))
    return questions
