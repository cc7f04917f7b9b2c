"""The vote with experts of known error, and where pairs are drawn."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.evaluation.pair_sampling import key_points, normalised, sample_pairs
from depth_anything_ros.evaluation.pairs import nearness, read_pairs
from depth_anything_ros.evaluation.vote import (
    POINT1,
    POINT2,
    UNCLEAR,
    Ballot,
    Question,
    cast_vote,
    decide,
    only_writer,
    vote_on_image,
)
from depth_anything_ros.frames import FloatArray, Prediction, PredictionKind, RgbImage

DISPARITY = PredictionKind.RELATIVE_DISPARITY
METRES = PredictionKind.METRIC_DEPTH
DISC = ((60, 80), 35)
"""Centre (row, column) and radius in pixels of the near disc."""


class Expert:
    """Knows the disparity of the one scene there is, in units of its own, and flips some pixels.

    Args:
        disparity: HxW truth between 0 and 1.
        kind: What it answers.
        scale: Of its disparity; below zero it takes near for far.
        flips: Share of pixels whose disparity it mirrors, each independently.
        seed: Of the flips.
    """

    device, precision, backend = "cpu", "fp32", "numpy"

    def __init__(
        self,
        disparity: FloatArray,
        kind: PredictionKind = DISPARITY,
        scale: float = 1.0,
        flips: float = 0.0,
        seed: int = 0,
    ) -> None:
        flipped = np.random.default_rng(seed).random(disparity.shape) < flips
        seen = scale * np.where(flipped, 1 - disparity, disparity)
        values = seen if kind is DISPARITY else 1 / (seen + 2 * abs(scale))
        self.kind = kind
        self._values = values.astype(np.float32)

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        return [Prediction(self._values, self.kind, image.shape[:2]) for image in images]

    def warm_up(self, height: int, width: int, batch: int = 1) -> None:
        pass


@pytest.fixture(scope="module")
def scene() -> tuple[RgbImage, FloatArray]:
    """A bright near disc before a slanted background that is nearest at the bottom."""
    disparity = np.tile(np.linspace(0.0, 0.3, 120)[:, None], (1, 160))
    rgb = np.random.default_rng(0).integers(60, 100, (120, 160, 3), np.uint8)
    (row, column), radius = DISC
    disc = np.hypot(*np.ogrid[-row : 120 - row, -column : 160 - column]) <= radius
    disparity[disc] = 1.0
    rgb[disc] += 120
    return rgb, disparity


@pytest.mark.parametrize("flips", [(0.02, 0.05, 0.1, 0.15), (0.3, 0.3, 0.35, 0.4)])
def test_agreement_and_its_error_are_as_the_experts_errors_say(flips: tuple[float, ...]) -> None:
    # Two levels, and each pixel serves in one pair only: all pairs are independent. An expert
    # orders one rightly if neither pixel flips, wrongly if both do, else it sees a tie.
    side = 200
    truth = np.zeros((side, side))
    truth[:, : side // 2] = 1
    rng = np.random.default_rng(0)
    near, far = (rng.permutation(np.argwhere(truth == level)) for level in (1, 0))
    pairs = [((a, b), (c, d)) for (a, b), (c, d) in zip(near.tolist(), far.tolist(), strict=True)]
    rgb = np.zeros((side, side, 3), np.uint8)
    disparities = [
        normalised(nearness(Expert(truth, kind, 3.0, share, seed).estimate([rgb])[0]))
        for seed, (share, kind) in enumerate(
            zip(flips, (DISPARITY, METRES, DISPARITY, METRES), strict=True)
        )
    ]
    verdicts = Counter(decide([cast_vote(each, pair) for each in disparities]) for pair in pairs)

    expected = {
        POINT1: math.prod((1 - share) ** 2 for share in flips),
        POINT2: math.prod(share**2 for share in flips),
        UNCLEAR: math.prod(2 * share * (1 - share) for share in flips),
    }
    expected[None] = 1 - sum(expected.values())  # type: ignore[index]
    print(f"experts flip {flips} of the pixels, {len(pairs)} pairs:")
    for verdict, probability in expected.items():
        count, mean = verdicts[verdict], len(pairs) * probability
        print(f"  {verdict or 'disputed'}: {count}, expected {mean:.2f}")
        assert abs(count - mean) <= 4 * math.sqrt(mean * (1 - probability)) + 1


def test_right_experts_agree_on_the_truth(scene: tuple[RgbImage, FloatArray]) -> None:
    rgb, disparity = scene
    experts = [
        Expert(disparity),
        Expert(disparity, scale=40.0),
        Expert(disparity, METRES),
        Expert(disparity, METRES, scale=0.1),
    ]
    questions = vote_on_image(rgb, experts, 100, np.random.default_rng(1))
    assert len(questions) >= 90
    decided = [question.ordered() for question in questions]
    assert sum(pair is not None for pair in decided) >= 85
    for question, pair in zip(questions, decided, strict=True):
        if pair is not None:
            assert disparity[pair.closer] > disparity[pair.farther]
        elif question.verdict == UNCLEAR:
            assert abs(disparity[question.point1] - disparity[question.point2]) <= 0.02
    # Neither point is closer by rule: a person must not learn to press one key.
    assert 0.3 <= np.mean([question.verdict == POINT1 for question in questions]) <= 0.7


def test_one_wrong_expert_leaves_all_to_a_person(scene: tuple[RgbImage, FloatArray]) -> None:
    rgb, disparity = scene
    experts = [
        *(Expert(disparity, scale=scale) for scale in (1, 2, 3)),
        Expert(disparity, scale=-1),
    ]
    questions = vote_on_image(rgb, experts, 40, np.random.default_rng(2))
    disputed = [question for question in questions if question.verdict is None]
    assert all(question.verdict in (None, UNCLEAR) for question in questions)
    assert len(disputed) >= 30
    for question in disputed:
        right, wrong = set(question.votes[:3]), question.votes[3]
        assert len(right) == 1
        assert wrong not in right


def test_half_of_the_pairs_straddle_depth_edges(scene: tuple[RgbImage, FloatArray]) -> None:
    rgb, disparity = scene
    (row, column), radius = DISC
    pairs = sample_pairs(rgb, [normalised(disparity)], 60, np.random.default_rng(3))
    short = [pair for pair in pairs if math.dist(*pair) < 12]
    across = [
        pair
        for pair in short
        if (math.dist(pair[0], (row, column)) <= radius)
        != (math.dist(pair[1], (row, column)) <= radius)
    ]
    assert len(across) >= 25
    assert len(pairs) - len(short) >= 20
    assert pairs == sample_pairs(rgb, [normalised(disparity)], 60, np.random.default_rng(3))
    assert pairs != sample_pairs(rgb, [normalised(disparity)], 60, np.random.default_rng(4))


def test_key_points_lie_on_things_and_not_on_outlines(scene: tuple[RgbImage, FloatArray]) -> None:
    rgb, _ = scene
    big = cv2.resize(rgb, (1280, 960), interpolation=cv2.INTER_NEAREST)
    for image, scale in ((rgb, 1), (big.astype(np.uint8), 8)):
        points = key_points(image)
        assert 60 <= len(points) <= 250
        assert all(
            0 <= row < image.shape[0] and 0 <= column < image.shape[1] for row, column in points
        )
        (row, column), radius = DISC
        distances = [
            abs(math.dist(point, (row * scale, column * scale)) - radius * scale)
            for point in points
        ]
        # A point drawn anywhere comes as near to the outline in 2.3 % of all cases.
        assert np.mean(np.array(distances) < scale) < 0.023


def test_picture_without_depth_gives_no_pair_across_edges() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    flat = Expert(np.full((64, 96), 0.5))
    questions = vote_on_image(rgb, [flat] * 4, 20, np.random.default_rng(0))
    assert len(questions) == 20
    assert {question.verdict for question in questions} == {UNCLEAR}


def test_tiny_pictures_do_no_harm() -> None:
    rgb = np.zeros((1, 1, 3), np.uint8)
    assert vote_on_image(rgb, [Expert(np.ones((1, 1)))], 5, np.random.default_rng(0)) == []


def test_unknown_depth_is_no_opinion() -> None:
    near = np.array([[np.nan, 0.0, 1.0]])
    assert cast_vote(near, ((0, 0), (0, 1))) == UNCLEAR
    assert cast_vote(near, ((0, 1), (0, 2))) == POINT2
    prediction = Prediction(np.array([[0.0, 2.0]], np.float32), METRES, (1, 2))
    np.testing.assert_array_equal(nearness(prediction), [[np.nan, 0.5]])


def test_ballot_survives_and_only_decided_pairs_are_annotations(tmp_path: Path) -> None:
    votes = [POINT1, POINT1, POINT1, POINT2]
    questions = [
        Question((1, 2), (3, 4), votes, None),
        Question((5, 6), (7, 8), votes, POINT2),
        Question((9, 9), (8, 8), [UNCLEAR] * 4, UNCLEAR),
    ]
    ballot = Ballot(
        tmp_path / "new", ["a", "b", "c", "d"], tmp_path, {"x/1.png": questions, "2.png": []}
    )
    ballot.save()
    assert Ballot.load(tmp_path / "new") == ballot
    pairs = read_pairs(tmp_path / "new" / "annotations.json")
    assert list(pairs) == ["x/1.png"]
    assert [(pair.closer, pair.farther) for pair in pairs["x/1.png"]] == [((7, 8), (5, 6))]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "ballot.json",
        "annotations.json",
    }


@pytest.mark.parametrize("text", [None, "{", "[]", '{"images": {"a": [{}]}}'])
def test_broken_ballots_are_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "ballot.json").write_text(text)
    with pytest.raises(InputError, match=r"ballot\.json cannot be read as a ballot"):
        Ballot.load(tmp_path)


def test_a_ballot_has_one_writer(tmp_path: Path) -> None:
    def second() -> None:
        with only_writer(tmp_path):
            pytest.fail("two writers")

    with only_writer(tmp_path), pytest.raises(InputError, match="in use by another process"):
        second()
    with only_writer(tmp_path):
        pass
    with pytest.raises(InputError, match=r"none holds no ballot"), only_writer(tmp_path / "none"):
        pass
