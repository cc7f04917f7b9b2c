"""DA-2K's format and the accuracy on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.evaluation.pairs import (
    SCENARIOS,
    OrderedPair,
    PairScore,
    by_scenario,
    read_pairs,
    scenario_of,
    score_pairs,
    write_pairs,
)
from depth_anything_ros.frames import Prediction, PredictionKind, RgbImage


class RedNetwork:
    """Answers the red channel, as whatever kind it is."""

    device, precision, backend = "cpu", "fp32", "numpy"

    def __init__(self, kind: PredictionKind) -> None:
        self.kind = kind

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        return [
            Prediction(image[..., 0].astype(np.float32) + 1, self.kind, image.shape[:2])
            for image in images
        ]

    def warm_up(self, height: int, width: int, batch: int = 1) -> None:
        pass


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images of 20x30 whose red grows from left (0) to right (232)."""
    bgr = np.zeros((20, 30, 3), np.uint8)
    bgr[..., 2] = np.arange(30) * 8
    for scenario in ("indoor", "aerial"):
        (tmp_path / "images" / scenario).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "images" / scenario / "0.png"), bgr)
    return tmp_path


ANNOTATIONS: dict[str, list[dict[str, Any]]] = {
    "images/indoor/0.png": [
        {"point1": [3, 25], "point2": [18, 4], "closer_point": "point1"},
        {"point1": [18, 4], "point2": [3, 25], "closer_point": "point2"},
        {"point1": [1, 2], "point2": [2, 29], "closer_point": "point1"},
    ],
    "images/aerial/0.png": [
        {"point1": [19, 29], "point2": [0, 0], "closer_point": "point1"},
        {"point1": [3, 7], "point2": [9, 7], "closer_point": "point1"},
    ],
}


def test_accuracy_by_scenario(images: Path, tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(ANNOTATIONS))
    annotations = read_pairs(path)
    assert annotations["images/indoor/0.png"][1] == OrderedPair((3, 25), (18, 4))
    relative = RedNetwork(PredictionKind.RELATIVE_DISPARITY)
    scores = list(score_pairs(annotations.items(), images, relative))
    # The third indoor pair is ordered wrongly; the second aerial one is a tie, which is not right.
    assert by_scenario(scores) == {
        "indoor": PairScore("indoor", 2, 3),
        "aerial": PairScore("aerial", 1, 2),
    }
    metric = RedNetwork(PredictionKind.METRIC_DEPTH)
    scores = list(score_pairs(annotations.items(), images, metric))
    assert by_scenario(scores) == {
        "indoor": PairScore("indoor", 1, 3),
        "aerial": PairScore("aerial", 0, 2),
    }


def test_what_is_written_is_the_official_format(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    write_pairs(path, {"indoor/a.jpg": [OrderedPair((5, 6), (7, 8))]})
    assert json.loads(path.read_text()) == {
        "indoor/a.jpg": [{"point1": [5, 6], "point2": [7, 8], "closer_point": "point1"}]
    }
    assert read_pairs(path) == {"indoor/a.jpg": [OrderedPair((5, 6), (7, 8))]}


def test_scenarios_are_folders() -> None:
    for scenario in SCENARIOS:
        assert scenario_of(f"images/{scenario}/0.jpg") == scenario
    assert scenario_of("aerial/drone/0.jpg") == "aerial"
    assert scenario_of("photos/garden/0.jpg") == "garden"
    assert scenario_of("0.jpg") == "images"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as annotations"),
        ("[]", "not in DA-2K's format"),
        ('{"a.jpg": {}}', "not in DA-2K's format"),
        ('{"a.jpg": [{"point1": [1, 2], "closer_point": "point1"}]}', r"a\.jpg, pair 1 is not in"),
        (
            '{"a.jpg": [{"point1": [1], "point2": [1, 2], "closer_point": "point1"}]}',
            r"a\.jpg, pair 1 is not in",
        ),
        (
            '{"a.jpg": [{"point1": [1, 1], "point2": [1, 2], "closer_point": "left"}]}',
            "closer_point is 'left'",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_pairs(path)


def test_images_and_points_must_be_there(images: Path) -> None:
    network = RedNetwork(PredictionKind.RELATIVE_DISPARITY)
    with pytest.raises(InputError, match="--images must be the folder"):
        list(score_pairs([("gone.png", [])], images, network))
    outside = [OrderedPair((20, 0), (0, 0))]
    with pytest.raises(InputError, match="30x20 and has no point at row 20, column 0"):
        list(score_pairs([("images/indoor/0.png", outside)], images, network))
