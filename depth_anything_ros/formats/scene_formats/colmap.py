"""Format colmap: images and a text model with points, as 3D Gaussian splatting starts from."""

from __future__ import annotations

from pathlib import Path

from depth_anything_ros.formats.colmap import ColmapImage, write_colmap
from depth_anything_ros.formats.depth_files import write_metric_png
from depth_anything_ros.formats.media import write_image
from depth_anything_ros.formats.posed_views import PosedView
from depth_anything_ros.formats.scene_export import (
    SCENE_FORMATS,
    FusedScene,
    SceneFormat,
    SceneOptions,
    cleaned,
)
from depth_anything_ros.geometry.camera import Camera


class ColmapWriter:
    """Writes images/, depth/ (16-bit PNG, millimetres) and sparse/0/."""

    def __init__(self, folder: Path, options: SceneOptions) -> None:
        self._folder = folder
        self._options = options
        self._scene = FusedScene(options)
        self._cameras: list[Camera] = []
        self._images: list[ColmapImage] = []
        for name in ("images", "depth"):
            (folder / name).mkdir(exist_ok=True)

    def add(self, view: PosedView) -> None:
        """Take in a view."""
        if view.camera not in self._cameras:
            self._cameras.append(view.camera)
        name = f"{view.name}.png"
        write_image(self._folder / "images" / name, view.rgb)
        write_metric_png(self._folder / "depth" / name, cleaned(view, self._options))
        camera = self._cameras.index(view.camera) + 1
        self._images.append(ColmapImage(name, camera, view.pose))
        self._scene.add(view)

    def close(self) -> str:
        """Write the model."""
        xyz, rgb = self._scene.points()
        model = self._folder / "sparse" / "0"
        write_colmap(model, self._cameras, self._images, xyz, rgb)
        return f"{model}: {len(self._images)} images, {len(xyz)} points"


SCENE_FORMATS.register(
    SceneFormat("colmap", 20, "images and a COLMAP text model with points3D", ColmapWriter)
)
