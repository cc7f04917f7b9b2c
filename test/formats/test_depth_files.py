from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.depth_files import (
    read_depth,
    write_metric_png,
    write_npy,
    write_relative_png,
)


def read_raw(path: Path) -> npt.NDArray[np.generic]:
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert raw is not None
    return raw


def test_npy_keeps_every_bit(tmp_path: Path) -> None:
    depth = np.array([[1.2345678, np.nan], [80.5, 0.001]], np.float32)
    write_npy(tmp_path / "d.npy", depth)
    np.testing.assert_array_equal(np.load(tmp_path / "d.npy"), depth)
    np.testing.assert_array_equal(read_depth(tmp_path / "d.npy"), depth)


def test_metric_png_is_millimetres_and_never_saturates(tmp_path: Path) -> None:
    depth = np.array([[1.2344, np.nan, 65.535], [65.6, 300.0, -1.0]], np.float32)
    assert write_metric_png(tmp_path / "d.png", depth) == 2
    raw = read_raw(tmp_path / "d.png")
    assert raw.dtype == np.uint16
    np.testing.assert_array_equal(raw, [[1234, 0, 65535], [0, 0, 0]])
    expected = np.array([[1.234, np.nan, 65.535], [np.nan] * 3], np.float32)
    np.testing.assert_array_equal(read_depth(tmp_path / "d.png"), expected)


def test_relative_png_is_stretched_with_near_bright(tmp_path: Path) -> None:
    disparity = np.array([[0.5, 2.5], [np.nan, 1.5]], np.float32)
    write_relative_png(tmp_path / "d.png", disparity)
    raw = read_raw(tmp_path / "d.png")
    np.testing.assert_array_equal(raw, [[0, 65535], [0, 32768]])


def test_flat_and_unknown_disparity_are_written(tmp_path: Path) -> None:
    for value in (3.0, np.nan):
        write_relative_png(tmp_path / "d.png", np.full((2, 2), value, np.float32))
        assert not read_raw(tmp_path / "d.png").any()


def test_what_is_no_depth_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(InputError, match=r"photo\.png is not a 16-bit PNG"):
        read_depth(tmp_path / "photo.png")
    np.save(tmp_path / "flat.npy", np.zeros(4, np.float32))
    with pytest.raises(InputError, match=r"shape \(4,\)"):
        read_depth(tmp_path / "flat.npy")
    with pytest.raises(InputError, match=r"gone\.npy cannot be read"):
        read_depth(tmp_path / "gone.npy")


def test_kinect_and_lidar_files(data_dir: Path) -> None:
    kinect = read_depth(data_dir / "nyu" / "sync_depth_00000.png")
    lidar = read_depth(data_dir / "kitti_depth" / "depth_0000000005.png", png_scale=256)
    print(f"median depth: NYU {np.nanmedian(kinect):.2f} m, KITTI {np.nanmedian(lidar):.2f} m")
    assert 0.5 < np.nanmin(kinect) < np.nanmax(kinect) <= 10.0
    assert 1.0 < np.nanmin(lidar) < np.nanmax(lidar) < 90.0
