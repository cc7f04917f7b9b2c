"""How the network that finds wrong points learns."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import SparsePoints
from depth_anything_ros.metric import wrong_points_network
from depth_anything_ros.metric.wrong_points_network import NEIGHBOURS, OF_PAIR, OF_POINT, evidence
from depth_anything_ros.training.recipe_file import read_recipe
from depth_anything_ros.training.sparse.draw_files import Picture, folder_of, make_files
from depth_anything_ros.training.sparse.gross_errors import with_gross_errors
from depth_anything_ros.training.sparse.networks import coarse, nearly_right
from depth_anything_ros.training.wrong_points import draws
from depth_anything_ros.training.wrong_points.draws import Draw, draws_of, file_of
from depth_anything_ros.training.wrong_points.network import WrongPointsNetwork, write_weights
from depth_anything_ros.training.wrong_points.recipe import WrongPointsRecipe
from depth_anything_ros.training.wrong_points.training import RESULT, train_wrong_points

REPOSITORY = Path(__file__).resolve().parents[2]


def picture() -> Picture:
    """A box before a wall on a floor, under a sky."""
    v, u = np.mgrid[0:60, 0:80]
    depth = np.where(v > 30, 60 / np.maximum(v - 28, 1), 12.0)
    depth[20:50, 30:50] = 4.0
    depth[:8] = np.inf
    rgb = np.dstack([u * 3, v * 4, np.where(depth == 4.0, 200, 20)]).astype(np.uint8)
    depth = depth.astype(np.float32)
    return Picture(rgb, depth, [nearly_right(np.random.default_rng(0), depth)])


def test_what_is_said_to_be_wrong_is_wrong_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    points = SparsePoints(
        rng.uniform(0, 300, 400), rng.uniform(0, 300, 400), rng.uniform(2, 20, 400)
    )
    shares = []
    for _ in range(200):
        spoilt, wrong = with_gross_errors(rng, points)
        off = np.abs(np.log(spoilt.z / points.z))
        assert (off[wrong] > 0.25).all() and (off[~wrong] <= 0.25).all()
        assert np.array_equal(spoilt.u, points.u)
        shares.append(wrong.mean())
    print(f"wrong: {np.mean(shares):.0%} on average, none in {np.mean(np.equal(shares, 0)):.0%}")
    assert 0.25 < np.mean(np.equal(shares, 0)) < 0.4
    assert 0.05 < np.mean(shares) < 0.15
    assert 0.3 < max(shares) < 0.7


def test_a_coarse_network_misses_objects() -> None:
    disparity = np.zeros((60, 80), np.float32)
    disparity[:, ::8] = 1.0
    for seed in range(6):
        surface = coarse(np.random.default_rng(seed), disparity)
        assert surface.shape == disparity.shape
        assert np.abs(np.diff(surface, axis=1)).mean() < 0.9 * np.abs(np.diff(disparity)).mean()


def test_a_file_of_draws_holds_what_is_seen_of_every_point() -> None:
    rng = np.random.default_rng(1)
    made = list(draws_of(rng, picture()))
    assert len(made) > 8
    assert any(draw.wrong.any() for draw in made)
    arrays = file_of(np.random.default_rng(1), [picture()])
    count = arrays["count"]
    assert count.tolist() == [len(draw.wrong) for draw in made]
    total = count.sum()
    assert arrays["points"].shape == (total, len(OF_POINT))
    assert arrays["pairs"].shape == (total, len(NEIGHBOURS), len(OF_PAIR))
    assert (arrays["near"].max(axis=1) < np.repeat(count, count)).all()
    start = count[:-1].sum()
    np.testing.assert_array_equal(arrays["wrong"][start:], made[-1].wrong)
    np.testing.assert_allclose(
        arrays["pairs"][start:, 0], made[-1].seen.pairs[0], rtol=1e-3, atol=1e-3
    )
    empty = file_of(rng, [])
    assert {name: each.shape[1:] for name, each in empty.items()} == {
        name: each.shape[1:] for name, each in arrays.items()
    }


@pytest.mark.parametrize("count", [8, 40, 400])
def test_numpy_says_what_the_network_says(tmp_path: Path, count: int) -> None:
    """Of few points with fewer neighbours, too, of which the last then counts more often."""
    torch.manual_seed(0)
    network = WrongPointsNetwork(12, 2).eval()
    path = tmp_path / RESULT
    write_weights(network, path)
    rng = np.random.default_rng(count)
    points = SparsePoints(
        rng.uniform(0, 59, count), rng.uniform(0, 59, count), rng.uniform(2, 20, count)
    )
    shown = picture()
    seen = evidence(points, rng.uniform(0.05, 0.5, count), shown.disparities[0], shown.rgb)
    assert len(seen.near) == min(len(NEIGHBOURS), np.searchsorted(NEIGHBOURS, count))
    fill = np.minimum(np.arange(len(NEIGHBOURS)), len(seen.near) - 1)
    with torch.inference_mode():
        expected = network(
            torch.from_numpy(seen.points),
            torch.from_numpy(seen.near[fill].T.copy()),
            torch.from_numpy(seen.pairs[fill].swapaxes(0, 1).copy()),
            torch.zeros(count, dtype=torch.long),
        ).numpy()
    with mock.patch.object(wrong_points_network, "_WEIGHTS", path):
        wrong_points_network._weights.cache_clear()
        answer = wrong_points_network.logits(seen)
    wrong_points_network._weights.cache_clear()
    np.testing.assert_allclose(answer, expected, atol=2e-2 * np.abs(expected).max())


def test_it_learns_to_tell_what_is_off(tmp_path: Path) -> None:
    """Points of which some are off the fit by a factor of two or more."""
    recipe = WrongPointsRecipe(
        str(tmp_path), features=8, rounds=1, points=600, steps=150, rate=1e-2, ema=0.9, seed=3
    )
    folder_of(recipe).mkdir()
    with pytest.raises(InputError, match="too few draws"):
        train_wrong_points(recipe, lambda *_: None)
    rng = np.random.default_rng(0)
    shown = picture()
    for number in range(3):
        parts = []
        for _ in range(10):
            points = SparsePoints(rng.uniform(0, 59, 60), rng.uniform(0, 59, 60), np.full(60, 5.0))
            wrong = rng.random(60) < 0.2
            points.z[wrong] *= rng.choice([0.3, 0.5, 2.0, 3.0], wrong.sum())
            seen = evidence(points, np.full(60, 0.2), shown.disparities[0], shown.rgb)
            parts.append(Draw(seen, wrong))
        with mock.patch.object(draws, "draws_of", return_value=parts):
            arrays = file_of(rng, [shown])
        np.savez(folder_of(recipe) / f"{number:05d}.npz", **arrays)  # type: ignore[arg-type]
    told: list[dict[str, float]] = []
    path = train_wrong_points(recipe, lambda step, values: told.append(values))
    assert path == tmp_path / RESULT
    print(told[-1])
    assert told[-1]["precision"] > 0.95
    assert told[-1]["recall"] > 0.95


def test_files_are_made_once(tmp_path: Path) -> None:
    recipe = WrongPointsRecipe(str(tmp_path), pictures=5, width=96, height=72, workers=1)
    assert list(make_files(recipe, file_of)) == [1, 2]
    files = sorted(folder_of(recipe).glob("*.npz"))
    assert [file.name for file in files] == ["00000.npz", "00001.npz"]
    files[0].write_bytes(b"kept")
    files[1].unlink()
    assert list(make_files(recipe, file_of)) == [2]
    assert files[0].read_bytes() == b"kept"


def test_shipped_recipe_is_valid_and_bad_ones_are_refused() -> None:
    path = REPOSITORY / "config" / "training" / "wrong_points.yaml"
    recipe = read_recipe(path, WrongPointsRecipe)
    assert (recipe.features, recipe.rounds) == (48, 4)
    for name in ("features", "rounds", "points", "steps"):
        with pytest.raises(SettingError, match=f"{name} is 0"):
            dataclasses.replace(recipe, **{name: 0})  # type: ignore[arg-type]
