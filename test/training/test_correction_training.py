"""How the correction of kriged depth learns."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.metric.correction import EVIDENCE
from depth_anything_ros.training.correction.draws import Draw, draws_of, read_draws
from depth_anything_ros.training.correction.network import CorrectionNetwork, write_onnx
from depth_anything_ros.training.correction.recipe import CorrectionRecipe
from depth_anything_ros.training.correction.training import RESULT, train_correction
from depth_anything_ros.training.recipe_file import read_recipe
from depth_anything_ros.training.sparse.draw_files import Picture, folder_of
from depth_anything_ros.training.sparse.networks import nearly_right, spoilt
from depth_anything_ros.training.sparse.sensors import measured_points

REPOSITORY = Path(__file__).resolve().parents[2]


def picture() -> tuple[RgbImage, FloatImage]:
    """A box before a wall on a floor, under a sky."""
    v, u = np.mgrid[0:60, 0:80]
    depth = np.where(v > 30, 60 / np.maximum(v - 28, 1), 12.0)
    depth[20:50, 30:50] = 4.0
    depth[:8] = np.inf
    rgb = np.dstack([u * 3, v * 4, np.where(depth == 4.0, 200, 20)]).astype(np.uint8)
    return rgb, depth.astype(np.float32)


@pytest.mark.parametrize("seed", range(12))
def test_points_of_sensors_lie_on_what_is_there(seed: int) -> None:
    rgb, depth = picture()
    points = measured_points(np.random.default_rng(seed), depth, rgb, 100)
    if points is None:
        return
    true = depth[points.v.astype(int), points.u.astype(int)]
    assert np.isfinite(true).all()
    assert np.median(np.abs(points.z / true - 1)) < 0.05


def test_networks_are_worse_or_nearly_right() -> None:
    _, depth = picture()
    inverse = (1 / depth).astype(np.float32)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        for answer, least in ((spoilt(rng, inverse), 0.6), (nearly_right(rng, depth), 0.9)):
            assert answer.shape == depth.shape
            assert np.isfinite(answer).all()
            assert np.corrcoef(answer.ravel(), inverse.ravel())[0, 1] > least


def test_wanted_factor_makes_the_kriged_value_right() -> None:
    rgb, depth = picture()
    rng = np.random.default_rng(3)
    draws = list(draws_of(rng, Picture(rgb, depth, [nearly_right(rng, depth)])))
    assert draws
    for draw in draws:
        assert draw.seen.shape == (len(EVIDENCE), *draw.wanted.shape)
        assert draw.seen.dtype == draw.wanted.dtype == np.float16
        assert np.isnan(draw.wanted[0]).all()  # the sky
        assert np.isfinite(draw.wanted[-1]).all()
    assert min(np.nanmedian(np.abs(draw.wanted.astype(np.float32))) for draw in draws) < 0.05


def test_file_for_opencv_says_what_the_network_says(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = CorrectionNetwork((8, 12, 16)).eval()
    torch.nn.init.normal_(network.answer.weight)
    write_onnx(network, tmp_path / "correction.onnx")
    reader = cv2.dnn.readNetFromONNX(str(tmp_path / "correction.onnx"))
    for rows, columns in ((8, 16), (24, 40)):
        squares = torch.randn(1, 4 * len(EVIDENCE), rows // 2, columns // 2)
        reader.setInput(squares.numpy())
        with torch.inference_mode():
            expected = network(squares).numpy()
        np.testing.assert_allclose(reader.forward(), expected, atol=2e-2 * np.abs(expected).max())
    with torch.inference_mode():
        seen = functional.pixel_shuffle(squares, 2)
        assert network.logarithm(seen).shape == (1, rows, columns)


def test_it_learns_what_is_always_wrong(tmp_path: Path) -> None:
    """Values that are always 20 % too small."""
    recipe = CorrectionRecipe(str(tmp_path), channels=(8, 8, 8), steps=120, rate=1e-2, ema=0.9)
    rng = np.random.default_rng(0)
    folder = folder_of(recipe)
    folder.mkdir()
    with pytest.raises(InputError, match="too few draws"):
        train_correction(recipe, lambda *_: None)
    for number in range(3):
        parts: dict[str, np.ndarray] = {}
        for place in range(3):
            seen = rng.standard_normal((len(EVIDENCE), 12, 20)).astype(np.float16)
            parts[f"seen_{place}"] = seen
            parts[f"wanted_{place}"] = np.full((12, 20), np.log(1.25), np.float16)
        np.savez(folder / f"{number:05d}.npz", **parts)  # type: ignore[arg-type]
    assert all(isinstance(draw, Draw) for draw in read_draws(folder / "00000.npz"))
    told: list[dict[str, float]] = []
    path = train_correction(recipe, lambda step, values: told.append(values))
    assert path == tmp_path / RESULT
    assert told[-1]["ratio"] < 0.3


def test_shipped_recipe_is_valid_and_bad_ones_are_refused() -> None:
    recipe = read_recipe(REPOSITORY / "config" / "training" / "correction.yaml", CorrectionRecipe)
    assert recipe.channels == (24, 32, 48)
    with pytest.raises(SettingError, match="precision is 'int8'"):
        CorrectionRecipe("x", precision="int8")
    with pytest.raises(SettingError, match="networks is empty"):
        CorrectionRecipe("x", networks=())
    with pytest.raises(SettingError, match="workers is 0"):
        CorrectionRecipe("x", workers=0)
