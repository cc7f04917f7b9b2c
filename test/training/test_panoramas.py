"""Views of panoramas: directions, exposure, refusals."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.training.panoramas import cut_views, perspective, read_panorama


def sphere(height: int = 256) -> np.ndarray:
    """Red tells the longitude, green the latitude."""
    longitude = np.linspace(0, 255, 2 * height, dtype=np.uint8)
    latitude = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    zero = np.zeros((height, 2 * height), np.uint8)
    return np.stack([zero + longitude, zero + latitude, zero], -1)


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (90, 0), (-120, 20), (45, -40)])
def test_the_centre_of_a_view_is_where_the_camera_looks(yaw: float, pitch: float) -> None:
    view = perspective(sphere(), (101, 101), 60, yaw, pitch)
    red, green, _ = view[50, 50].astype(float)
    assert red == pytest.approx(255 * (0.5 + yaw / 360), abs=2)
    assert green == pytest.approx(255 * (0.5 - pitch / 180), abs=2)


def test_the_edges_of_a_view_are_half_its_field_away() -> None:
    view = perspective(sphere(), (101, 101), 90, 0, 0)
    assert float(view[50, 100, 0]) == pytest.approx(255 * (0.5 + 44.7 / 360), abs=2)
    assert float(view[50, 0, 0]) == pytest.approx(255 * (0.5 - 44.7 / 360), abs=2)
    assert float(view[0, 50, 1]) == pytest.approx(255 * (0.5 - 44.7 / 180), abs=2)


def test_roll_turns_the_picture() -> None:
    level, rolled = (perspective(sphere(), (101, 101), 60, 0, 0, roll) for roll in (0, 90))
    # Clockwise by a quarter: what was at the right edge is now at the top.
    assert float(rolled[0, 50, 0]) == pytest.approx(float(level[50, 100, 0]), abs=2)


def test_radiance_is_exposed_for_the_horizon(tmp_path: Path) -> None:
    light = np.full((32, 64, 3), 1000.0, np.float32)
    light[:8] = 1e6
    assert cv2.imwrite(str(tmp_path / "sky.hdr"), light)
    seen = read_panorama(tmp_path / "sky.hdr")
    assert 120 < seen[16, 0, 0] < 200
    assert seen[0, 0, 0] == 255


def test_a_folder_is_cut_the_same_way_every_time(tmp_path: Path) -> None:
    folder = tmp_path / "panoramas"
    folder.mkdir()
    assert cv2.imwrite(str(folder / "a.png"), sphere()[..., ::-1])
    assert cut_views(folder, tmp_path / "one", 4, seed=1) == 4
    cut_views(folder, tmp_path / "two", 4, seed=1)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [f"a_00{turn}.jpg" for turn in range(4)]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_is_no_panorama_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no panorama"):
        cut_views(tmp_path, tmp_path / "out")
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((10, 30, 3), np.uint8))
    with pytest.raises(InputError, match="twice as wide"):
        read_panorama(tmp_path / "wide.png")
    (tmp_path / "broken.hdr").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read"):
        read_panorama(tmp_path / "broken.hdr")
