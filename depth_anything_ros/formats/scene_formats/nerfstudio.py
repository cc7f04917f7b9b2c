"""Format nerfstudio: transforms.json with depth maps and a starting cloud (docs.nerf.studio)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from depth_anything_ros.formats.depth_files import write_metric_png
from depth_anything_ros.formats.media import write_image
from depth_anything_ros.formats.ply import write_ply
from depth_anything_ros.formats.posed_views import PosedView
from depth_anything_ros.formats.results import write_json
from depth_anything_ros.formats.scene_export import (
    SCENE_FORMATS,
    FusedScene,
    SceneFormat,
    SceneOptions,
    cleaned,
)

_TO_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""Camera axes of nerfstudio: x right, y up, z backward."""

_HALF = 0.5  # the centre of its top-left pixel is at (0.5, 0.5)


class NerfstudioWriter:
    """Writes images/, depths/ (16-bit PNG, millimetres), points.ply and transforms.json."""

    def __init__(self, folder: Path, options: SceneOptions) -> None:
        self._folder = folder
        self._options = options
        self._scene = FusedScene(options)
        self._frames: list[dict[str, Any]] = []
        for name in ("images", "depths"):
            (folder / name).mkdir(exist_ok=True)

    def add(self, view: PosedView) -> None:
        """Take in a view."""
        name = f"{view.name}.png"
        write_image(self._folder / "images" / name, view.rgb)
        write_metric_png(self._folder / "depths" / name, cleaned(view, self._options))
        camera = view.camera
        self._frames.append(
            {
                "file_path": f"images/{name}",
                "depth_file_path": f"depths/{name}",
                "transform_matrix": (view.pose @ _TO_OPENGL).tolist(),
                "fl_x": camera.fx,
                "fl_y": camera.fy,
                "cx": camera.cx + _HALF,
                "cy": camera.cy + _HALF,
                "w": camera.width,
                "h": camera.height,
            }
        )
        self._scene.add(view)

    def close(self) -> str:
        """Write cloud and transforms."""
        xyz, rgb = self._scene.points()
        write_ply(self._folder / "points.ply", xyz, rgb)
        path = self._folder / "transforms.json"
        content = {
            "camera_model": "OPENCV",
            "depth_unit_scale_factor": 0.001,
            "ply_file_path": "points.ply",
            "frames": self._frames,
        }
        write_json(path, content)
        return f"{path}: {len(self._frames)} images, {len(xyz)} points"


SCENE_FORMATS.register(
    SceneFormat("nerfstudio", 30, "transforms.json with depth maps and points", NerfstudioWriter)
)
