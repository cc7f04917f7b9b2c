"""How exact a network's floor is."""

from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.metric.floor_exactness import FloorExactness

SHAPE = (60, 80)
EVERYWHERE = np.ones(SHAPE, np.bool_)
NOWHERE = np.zeros(SHAPE, np.bool_)
UNSEEN = np.zeros(SHAPE, np.float32)


def level(spread: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (spread * rng.standard_normal(SHAPE)).astype(np.float32)


def need(spread: float, below: np.ndarray = NOWHERE) -> float:
    return FloorExactness().need_of_help(level(spread), EVERYWHERE, below, EVERYWHERE, UNSEEN)


@pytest.mark.parametrize(
    ("spread", "least", "most"),
    [(0.0, 0, 0.01), (0.004, 0, 0.2), (0.01, 0.4, 0.8), (0.03, 0.99, 1)],
)
def test_the_flatter_the_floor_the_less_help(spread: float, least: float, most: float) -> None:
    assert least <= need(spread) <= most


def test_a_plane_that_much_lies_below_is_not_the_ground() -> None:
    below = NOWHERE.copy()
    below[-6:] = True
    assert need(0.0, below) > 0.99


def test_a_network_that_sees_floor_everywhere_is_not_exact() -> None:
    """As soon as the motion of the camera shows what it misses."""
    raised = NOWHERE.copy()
    raised[20:40, 20:60] = True
    moves = np.where(raised, np.float32(1), np.float32(-1))
    blind, sees = FloorExactness(), FloorExactness()
    seen = np.where(raised, np.float32(0.3), level(0.001))
    for _ in range(3):
        of_blind = blind.need_of_help(level(0.001), EVERYWHERE, NOWHERE, EVERYWHERE, moves)
        of_other = sees.need_of_help(seen, ~raised, NOWHERE, EVERYWHERE, moves)
    assert of_blind > 0.7
    assert of_other < 0.05


def test_a_floor_that_motion_shows_raised_is_not_the_ground() -> None:
    exactness = FloorExactness()
    moves = np.full(SHAPE, -1, np.float32)
    moves[:30] = 1
    raised = np.where(moves > 0, np.float32(0.3), np.float32(0))
    assert exactness.need_of_help(raised, moves < 0, NOWHERE, EVERYWHERE, moves) < 0.01
    assert exactness.need_of_help(level(0.0), EVERYWHERE, NOWHERE, EVERYWHERE, moves) > 0.95


def test_no_floor_needs_all_help() -> None:
    exactness = FloorExactness()
    assert exactness.need_of_help(level(0.0), NOWHERE, NOWHERE, EVERYWHERE, UNSEEN) == 1
