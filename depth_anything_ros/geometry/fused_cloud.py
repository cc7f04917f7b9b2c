"""Points of many views as one cloud: the mean of what falls into each voxel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import SettingError

_MERGED_AT = 4_000_000
"""Points that are collected before they are merged."""


class FusedCloud:
    """Collects points and keeps one a voxel, their mean, with the number of its points.

    Args:
        voxel: Edge of the voxels in metres.
        least: Points that a voxel must hold, of any view; fewer are noise.

    Raises:
        SettingError: The edge is not above 0.
    """

    def __init__(self, voxel: float, least: int = 1) -> None:
        if not voxel > 0:
            raise SettingError(f"the voxel's edge is {voxel:g} m; it must be above 0")
        self._voxel = voxel
        self._least = least
        self._rows: list[npt.NDArray[np.float64]] = []
        self._count = 0

    def add(self, xyz: npt.NDArray[np.floating], rgb: npt.NDArray[np.uint8]) -> None:
        """Take in points.

        Args:
            xyz: Nx3 metres in the fixed frame.
            rgb: Nx3 uint8.
        """
        rows = np.concatenate([xyz, rgb, np.ones((len(xyz), 1))], axis=1).astype(np.float64)
        self._rows.append(_merged(rows, self._voxel))
        self._count += len(self._rows[-1])
        if self._count > _MERGED_AT:
            self._merge()

    def points(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """The cloud.

        Returns:
            Nx3 float32 metres and Nx3 uint8 RGB.
        """
        rows = self._merge()
        rows = rows[rows[:, 6] >= self._least]
        return rows[:, :3].astype(np.float32), np.rint(rows[:, 3:6]).astype(np.uint8)

    def _merge(self) -> npt.NDArray[np.float64]:
        rows = np.concatenate(self._rows) if self._rows else np.zeros((0, 7))
        rows = _merged(rows, self._voxel)
        self._rows, self._count = [rows], len(rows)
        return rows


def _merged(rows: npt.NDArray[np.float64], voxel: float) -> npt.NDArray[np.float64]:
    """Rows of x y z r g b weight with one row a voxel: weighted means, and the sum of weights."""
    if not len(rows):
        return rows
    cells = np.floor(rows[:, :3] / voxel).astype(np.int64)
    cells -= cells.min(axis=0)
    spans = cells.max(axis=0) + 1
    keys = (cells[:, 0] * spans[1] + cells[:, 1]) * spans[2] + cells[:, 2]
    _, inverse = np.unique(keys, return_inverse=True)
    weights = np.bincount(inverse, rows[:, 6])
    sums = [np.bincount(inverse, rows[:, i] * rows[:, 6]) / weights for i in range(6)]
    return np.stack([*sums, weights], axis=1)
