"""Ground and what is raised, told apart in images that are faint or full of noise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from depth_anything_ros.frames import FloatImage
from depth_anything_ros.metric.ground_evidence import ground_evidence
from depth_anything_ros.metric.plane_sweep import NOISE

SHAPE = (60, 160)
HEIGHTS = 8
RAISED = np.arange(SHAPE[1]) >= 80  # columns of a pavement that fits the third height
EVERYWHERE = np.ones(SHAPE, np.bool_)


def costs(noise: float, shows: float, seed: int = 0) -> tuple[FloatImage, FloatImage]:
    """Mean differences over windows of a road, and a pavement, that change by `shows`.

    Both differ at a wrong height by `shows`, and everywhere by noise of a mean of its own.
    """
    rng = np.random.default_rng(seed)
    off = np.full((HEIGHTS + 1, *SHAPE), shows)
    off[0, :, ~RAISED] = 0
    off[2, :, RAISED] = 0
    differs = np.hypot(off, np.abs(rng.normal(0, 1.25 * noise, off.shape)))
    smooth = np.stack([cv2.blur(each, (9, 7)) for each in differs]).astype(np.float32)
    return smooth[:-1], smooth[-1]


def gray(edge: float = 20.0) -> FloatImage:
    """An image whose pavement is brighter than its road."""
    return np.tile(np.where(RAISED, 100 + edge, 100), (SHAPE[0], 1)).astype(np.float32)


def test_noise_alone_raises_nothing() -> None:
    for seed in range(5):
        floor = ground_evidence(*costs(1.0, 0.0, seed), gray(), EVERYWHERE).floor
        print(
            f"below -0.15: {np.mean(floor < -0.15):.4f}, below -0.04: {np.mean(floor < -0.04):.4f}"
        )
        assert np.mean(floor < -0.15) < 0.01
        assert np.mean(floor < -0.04) < 0.15


@pytest.mark.parametrize(("noise", "shows"), [(0.0, 0.2), (0.3, 0.3), (1.0, 0.8)])
def test_faint_ground_and_a_faint_pavement_are_told_apart(noise: float, shows: float) -> None:
    floor = ground_evidence(*costs(noise, shows), gray(), EVERYWHERE).floor
    road, pavement = floor[:, :76], floor[:, 84:]
    print(f"road {np.mean(road > 0):.2f}, pavement {np.mean(pavement < -0.04):.2f}")
    assert np.mean(road > 0) > 0.9
    assert np.mean(pavement < -0.04) > 0.9


def test_the_average_stops_at_an_edge_of_the_image() -> None:
    floor = ground_evidence(*costs(0.3, 0.25), gray(60.0), EVERYWHERE).floor
    near = floor[:, 70:78]
    print(f"road beside the kerb that is taken for raised: {np.mean(near < -0.04):.3f}")
    assert np.mean(near < -0.04) < 0.02


def test_a_plane_below_that_fits_better_makes_it_unknown() -> None:
    raised = costs(0.0, 1.0)[0] + np.float32(0.5)
    below = np.zeros(SHAPE, np.float32)
    floor = ground_evidence(raised, below, gray(), EVERYWHERE).floor
    assert (floor[:, RAISED] == 0).all()


def test_what_only_one_image_shows_is_unknown() -> None:
    inside = EVERYWHERE.copy()
    inside[:, :30] = False
    floor = ground_evidence(*costs(0.1, 1.0), gray(), inside).floor
    assert (floor[:, :30] == 0).all()
    assert np.isfinite(floor).all()
    nothing = ground_evidence(*costs(0.1, 1.0), gray(), ~EVERYWHERE)
    assert (nothing.floor == 0).all()
    assert nothing.quiet == NOISE
