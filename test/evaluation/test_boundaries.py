"""Sharpness at occluding edges, on pictures whose edges are counted by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from depth_anything_ros.evaluation.boundaries import boundary_f1


def rows(*depth: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.tile(np.array(depth, np.float32), (5, 1))


STEP = rows(1, 1, 2, 2, 2)


def test_the_same_edges_are_perfect_at_any_scale() -> None:
    assert boundary_f1(STEP, STEP) == 1
    assert boundary_f1(7 * STEP, STEP) == 1
    assert boundary_f1(STEP.T, STEP.T) == 1


def test_place_and_direction_count() -> None:
    assert boundary_f1(rows(1, 2, 2, 2, 2), STEP) == 0
    assert boundary_f1(rows(2, 2, 1, 1, 1), STEP) == 0
    assert boundary_f1(np.ones_like(STEP), STEP) == 0


def test_a_false_edge_beside_a_right_one() -> None:
    # Precision 1/2, recall 1.
    assert boundary_f1(rows(1, 1, 2, 2, 4), STEP) == pytest.approx(2 / 3)
    # Precision 1, recall 1/2.
    assert boundary_f1(STEP, rows(1, 1, 2, 2, 4)) == pytest.approx(2 / 3)


def test_thresholds_are_weighted_by_their_ratio() -> None:
    # A jump of 1.1 is seen at 1.05, 1.0722 and 1.0944 of the ten, whose sum is 11.5.
    assert boundary_f1(rows(1, 1, 1.1, 1.1, 1.1), STEP) == pytest.approx(3.216667 / 11.5, rel=1e-5)


def test_unknown_truth_is_left_out() -> None:
    unknown = STEP.copy()
    unknown[:, 4] = np.nan
    assert boundary_f1(rows(1, 1, 2, 2, 4), unknown) == 1


def test_truth_without_edges_has_no_score() -> None:
    assert np.isnan(boundary_f1(STEP, np.ones_like(STEP)))


def test_blur_costs() -> None:
    truth = np.full((80, 100), 4, np.float32)
    cv2.circle(truth, (50, 40), 20, 2.0, -1)
    scores = [
        boundary_f1(cv2.GaussianBlur(truth, (0, 0), sigma).astype(np.float32), truth)
        for sigma in (0.3, 0.6, 1.2, 3.0)
    ]
    print("boundary F1 by blur 0.3, 0.6, 1.2, 3 px:", [round(score, 3) for score in scores])
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.7
    assert scores[-1] < 0.35
