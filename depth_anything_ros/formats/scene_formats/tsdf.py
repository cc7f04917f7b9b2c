"""Format tsdf: a mesh of all views by Open3D's truncated signed distance volume (extra fusion)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from depth_anything_ros.errors import InputError, MissingExtraError, SettingError, require
from depth_anything_ros.formats.posed_views import PosedView
from depth_anything_ros.formats.scene_export import (
    SCENE_FORMATS,
    SceneFormat,
    SceneOptions,
    cleaned,
)
from depth_anything_ros.formats.whole_file import whole_file

_TRUNCATION = 4.0
"""Voxels at which the signed distance is cut off, as in Open3D's examples."""

_BLOCK = 8
"""Voxels along the edge of a block of the sparse grid."""

_BLOCKS = 10_000
"""Blocks to begin with; the grid grows."""

_LEAST_VIEWS = 2
"""Views that must see a surface."""


class MeshWriter:
    """Integrates every view into a sparse voxel grid and writes mesh.ply."""

    def __init__(self, folder: Path, options: SceneOptions) -> None:
        self._open3d = _open3d()
        self._path = folder / "mesh.ply"
        self._options = options
        self._views = 0
        core = self._open3d.core
        self._grid = self._open3d.t.geometry.VoxelBlockGrid(
            attr_names=("tsdf", "weight", "color"),
            attr_dtypes=(core.float32, core.float32, core.float32),
            attr_channels=((1), (1), (3)),
            voxel_size=options.voxel,
            block_resolution=_BLOCK,
            block_count=_BLOCKS,
            device=core.Device("CPU:0"),
        )

    def add(self, view: PosedView) -> None:
        """Take in a view."""
        core, image = self._open3d.core, self._open3d.t.geometry.Image
        depth_m = np.nan_to_num(cleaned(view, self._options), nan=0.0).astype(np.float32)
        if not (depth_m > 0).any():
            return
        depth = image(np.ascontiguousarray(depth_m))
        colour = image(np.ascontiguousarray(view.rgb.astype(np.float32) / 255))
        intrinsic = core.Tensor(view.camera.k)
        extrinsic = core.Tensor(np.linalg.inv(view.pose))
        metres = (1.0, self._options.max_range, _TRUNCATION)
        blocks = self._grid.compute_unique_block_coordinates(depth, intrinsic, extrinsic, *metres)
        self._grid.integrate(blocks, depth, colour, intrinsic, extrinsic, *metres)
        self._views += 1

    def close(self) -> str:
        """Write the mesh."""
        least = min(_LEAST_VIEWS, self._views) - 0.5
        mesh = None if not self._views else self._grid.extract_triangle_mesh(least).to_legacy()
        if mesh is None or not len(mesh.triangles):
            raise InputError("no surface was found; is the depth within --max-range?")
        mesh.compute_vertex_normals()
        with whole_file(self._path) as part:
            if not self._open3d.io.write_triangle_mesh(str(part), mesh):
                raise InputError(f"{self._path} cannot be written")
        return f"{self._path}: {len(mesh.vertices)} vertices, {len(mesh.triangles)} triangles"


def _open3d() -> Any:
    """The library.

    Raises:
        MissingExtraError: It is not installed.
        SettingError: A library of the system that it needs is missing.
    """
    try:
        return require("open3d", "fusion")
    except MissingExtraError:
        raise
    except ImportError as error:  # its wheel expects libraries that a server may not have
        raise SettingError(
            f"Open3D cannot be loaded: {error}; on Debian and Ubuntu "
            "`apt install libusb-1.0-0 libgomp1 libgl1 libx11-6` brings what it needs"
        ) from error


SCENE_FORMATS.register(SceneFormat("tsdf", 40, "a mesh (Open3D, extra `fusion`)", MeshWriter))
