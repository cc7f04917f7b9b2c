"""Format ply: one coloured cloud in the fixed frame."""

from __future__ import annotations

from pathlib import Path

from depth_anything_ros.formats.ply import write_ply
from depth_anything_ros.formats.posed_views import PosedView
from depth_anything_ros.formats.scene_export import (
    SCENE_FORMATS,
    FusedScene,
    SceneFormat,
    SceneOptions,
)
from depth_anything_ros.formats.whole_file import whole_file


class PlyWriter:
    """Writes cloud.ply."""

    def __init__(self, folder: Path, options: SceneOptions) -> None:
        self._path = folder / "cloud.ply"
        self._scene = FusedScene(options)

    def add(self, view: PosedView) -> None:
        """Take in a view."""
        self._scene.add(view)

    def close(self) -> str:
        """Write the cloud."""
        xyz, rgb = self._scene.points()
        with whole_file(self._path) as part:
            write_ply(part, xyz, rgb)
        return f"{self._path}: {len(xyz)} points"


SCENE_FORMATS.register(SceneFormat("ply", 10, "one coloured point cloud", PlyWriter))
