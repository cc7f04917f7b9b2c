"""Synthetic pictures: reproducible, complete, varied."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.synthetic.generator import FARTHEST, Generator
from depth_anything_ros.synthetic.rendering import textures
from depth_anything_ros.synthetic.views import NARROWEST, WIDEST
from depth_anything_ros.synthetic.worlds import kinds as worlds


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator(96, 64, seed=3)


def test_same_numbers_give_the_same_pictures(generator: Generator) -> None:
    again = Generator(96, 64, seed=3)
    other = Generator(96, 64, seed=4)
    for first, second in zip(generator.images([5, 6]), again.images([5, 6]), strict=True):
        assert np.array_equal(first.rgb, second.rgb)
        assert np.array_equal(first.depth, second.depth)
        assert first.camera == second.camera
    assert not np.array_equal(other.images([5])[0].rgb, generator.images([5])[0].rgb)


def test_a_picture_does_not_depend_on_its_neighbours(generator: Generator) -> None:
    alone = generator.images([12])[0]
    together = generator.images([3, 12, 30])[1]
    both = np.isfinite(alone.depth) & np.isfinite(together.depth)
    assert np.isclose(alone.depth[both], together.depth[both], rtol=1e-4).mean() > 0.999
    assert (np.isfinite(alone.depth) == np.isfinite(together.depth)).mean() > 0.999
    assert alone.camera == together.camera


def test_pictures_are_complete(generator: Generator) -> None:
    images = generator.images(range(0, 24, 2))
    for image in images:
        assert image.rgb.shape == (64, 96, 3)
        assert image.rgb.dtype == np.uint8
        assert image.depth.dtype == np.float32
        assert not np.isnan(image.depth).any()
        assert (image.depth > 0).all()
        hit = np.isfinite(image.depth)
        assert np.array_equal(image.valid, ~hit | (image.depth < FARTHEST))
        angle = np.degrees(2 * np.arctan(96 / 2 / image.camera.fx))
        assert NARROWEST - 0.1 <= angle <= WIDEST + 0.1
    assert len({image.kind for image in images}) >= 3
    assert np.mean([image.rgb.std() for image in images]) > 20
    nearest = [float(np.quantile(image.depth, 0.5)) for image in images]
    assert min(nearest) < 3 < max(nearest)


def test_the_sky_is_infinite_and_only_outdoors() -> None:
    outdoors = Generator(64, 48, seed=1, kinds=["street", "road", "nature"]).images(range(0, 12, 2))
    indoors = Generator(64, 48, seed=1, kinds=["room", "corridor", "hall"]).images(range(0, 12, 2))
    assert np.mean([np.isinf(image.depth).mean() for image in outdoors]) > 0.1
    assert max(np.isinf(image.depth).mean() for image in indoors) == 0


def test_cameras_on_a_road_look_all_around() -> None:
    generator = Generator(64, 48, seed=1, kinds=["road"])
    ahead = np.array([image.pose[:3, 2] for image in generator.images(range(0, 96, 2))])
    along = np.abs(ahead[:, 0]) > np.cos(np.radians(40))
    assert 0.4 < along.mean() < 0.9
    assert 0.2 < (ahead[:, 0] < 0).mean() < 0.7


def test_photographs_become_textures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        picture = rng.integers(0, 255, (80, 100, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    atlas = textures.build(0, tmp_path, 5)
    assert len(atlas.numbers("photo")) == 5
    Generator(64, 48, photos=tmp_path).images([0])
    with pytest.raises(InputError, match="no photograph"):
        textures.build(0, tmp_path / "missing")


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(SettingError, match="8x64"):
        Generator(8, 64)
    with pytest.raises(SettingError, match=r"cave.*room"):
        Generator(64, 48, kinds=["cave"])
    with pytest.raises(SettingError, match="views_per_world is 0"):
        Generator(64, 48, views_per_world=0)


def test_every_kind_of_world_can_be_built() -> None:
    atlas = textures.build(0)
    for kind in worlds.KINDS:
        for seed in range(12):
            world = worlds.build(np.random.default_rng(seed), atlas, kind)
            assert world.kind == kind
            assert len(world.scene) > 5
