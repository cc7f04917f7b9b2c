"""Samples shared out among tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.metric.tiling import tiling

Array = npt.NDArray[Any]


def scattered(count: int) -> Array:
    """Places (u, v, s, colour) at random."""
    return np.random.default_rng(0).uniform(0, 1, (count, 4))


def test_a_hundred_samples_are_one_equation_and_more_are_shared_out() -> None:
    places = scattered(101)
    one = tiling(places[:100])
    assert one.members.tolist() == [list(range(100))] and one.own.all()
    np.testing.assert_allclose(one.centre, [places[:100, :2].mean(axis=0)])
    many = tiling(places)
    assert len(many.members) > 10 and many.members.shape[1] < 40
    assert np.array_equal(np.unique(many.owner), np.arange(len(many.members)))
    own = many.members[many.own]
    assert len(own) == len(set(own)) > 90
    for tile, (centre, members) in enumerate(zip(many.centre, many.members, strict=True)):
        np.testing.assert_allclose(centre, places[many.owner == tile, :2].mean(axis=0))
        assert set(many.members[tile, many.own[tile]]) <= set(np.flatnonzero(many.owner == tile))
        square = np.square(places[:, :2] - centre).sum(axis=1)
        assert set(members) == set(np.argsort(square)[: len(members)])


def grid(rows: int, columns: int) -> Array:
    """Places a tenth of an image width apart."""
    v, u = np.divmod(np.arange(rows * columns), columns)
    return np.asarray(np.stack([u, v, 0 * u, 0 * u], axis=1) / 10)


def test_reach_is_the_distance_to_the_ninth_neighbour() -> None:
    """Inside a grid it is (2, 0), at the edge of one (2, 1): more than a quarter lies there."""
    few = grid(9, 10)
    assert tiling(few).reach(few) == pytest.approx(0.1 * 5**0.5)
    many = grid(20, 20)  # from the centres of tiles, which lie between samples
    assert 0.1 < tiling(many).reach(many) < 0.2
    five = grid(1, 5)  # to the farthest one
    assert tiling(five).reach(five) == pytest.approx(0.4)


def test_nearest_other_sample() -> None:
    places = scattered(150)
    judged, nearest, apart = tiling(places).nearest(places)
    assert len(judged) > 130
    off = np.sqrt(np.square(places[:, None, :2] - places[None, :, :2]).sum(axis=2))
    np.fill_diagonal(off, np.inf)
    np.testing.assert_allclose(apart, off[judged, nearest])
    assert np.mean(nearest == off[judged].argmin(axis=1)) > 0.9  # else it is in another tile


def test_some_tiles_are_chosen_evenly_and_judged_by_their_inner_members() -> None:
    places = scattered(600)
    tiles = tiling(places)
    assert tiles.chosen(1_000) is tiles
    some = tiles.chosen(20)
    assert len(some.centre) == len(some.members) == len(some.own) == 20
    np.testing.assert_allclose(some.centre[[0, -1]], tiles.centre[[0, -1]])
    judged = tiles.judging(20)
    assert np.array_equal(judged.members[:, ::-1], some.members)
    assert judged.own[:, 12:].all() and not judged.own[:, :12].any()
    one = tiling(places[:50])
    assert one.judging(20) is one
