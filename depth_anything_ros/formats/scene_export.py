"""Posed views on their way to a 3D format: the record of a format, and their registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from depth_anything_ros.formats.posed_views import PosedView
from depth_anything_ros.geometry.cloud import build_cloud
from depth_anything_ros.geometry.cloud_filters import flying_pixels
from depth_anything_ros.geometry.fused_cloud import FusedCloud
from depth_anything_ros.registry import Registry

_STRIDE = 2
"""Every n-th row and column of a depth image gives a point of the fused cloud."""


@dataclass(frozen=True)
class SceneOptions:
    """How a scene is made.

    Attributes:
        voxel: Edge of the voxels in metres.
        max_range: Metres along Z; farther depth is left out.
        edge_angle_deg: Pixels at edges of depth seen at a flatter angle are left out; 0 keeps them.
        least: Points that a voxel of the cloud must hold.
    """

    voxel: float = 0.02
    max_range: float = 10.0
    edge_angle_deg: float = 2.0
    least: int = 2


class SceneWriter(Protocol):
    """Takes one view after the other and then writes the scene."""

    def add(self, view: PosedView) -> None:
        """Take in a view."""
        ...

    def close(self) -> str:
        """Write the scene; what it holds, for the user."""
        ...


@dataclass(frozen=True)
class SceneFormat:
    """A format of scenes.

    Attributes:
        name: The word that selects it.
        rank: Its place in lists.
        meaning: What it is, in one line.
        make: Makes a writer into a folder that is there.
    """

    name: str
    rank: int
    meaning: str
    make: Callable[[Path, SceneOptions], SceneWriter]


SCENE_FORMATS: Registry[SceneFormat] = Registry(
    "format", "depth_anything_ros.formats.scene_formats"
)
"""Every format."""


def cleaned(view: PosedView, options: SceneOptions) -> npt.NDArray[np.float32]:
    """The depth of a view without what is too far, or floats at an edge.

    Args:
        view: The view.
        options: What is left out.

    Returns:
        HxW float32 metres, NaN where unknown or left out.
    """
    depth_m = view.depth_m
    keep = np.isfinite(depth_m) & (depth_m > 0) & (depth_m <= options.max_range)
    if options.edge_angle_deg > 0:
        keep &= ~flying_pixels(depth_m, view.camera, options.edge_angle_deg)
    return np.where(keep, depth_m, np.float32(np.nan))


class FusedScene:
    """The points of all views, one a voxel.

    Args:
        options: How the scene is made.
    """

    def __init__(self, options: SceneOptions) -> None:
        self._options = options
        self._cloud = FusedCloud(options.voxel, options.least)

    def add(self, view: PosedView) -> None:
        """Take in a view."""
        cloud = build_cloud(
            cleaned(view, self._options), view.camera, view.rgb, organized=False, stride=_STRIDE
        )
        colours = cloud.rgb
        assert colours is not None
        xyz = cloud.xyz.reshape(-1, 3).astype(np.float64)
        turned = xyz @ view.pose[:3, :3].T + view.pose[:3, 3]
        self._cloud.add(turned, colours.reshape(-1, 3))

    def points(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Nx3 float32 metres in the fixed frame and Nx3 uint8 RGB."""
        return self._cloud.points()
