"""What the user measured around the images of `depth_anything run`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depth_anything_ros.api import points_of_file
from depth_anything_ros.cli.support.terminal import warn
from depth_anything_ros.formats.point_files import POINT_SUFFIXES
from depth_anything_ros.frames import Frame, Plane, SparsePoints


@dataclass(frozen=True)
class MeasuredOptions:
    """Measured points and where the camera stands.

    Attributes:
        points: The file of the points of the one image, a folder with one for each image, or None.
        extrinsics: 4x4 float64, sensor -> optical frame, in place of a file's, or None.
        ground: The ground in the optical frame, or None.
    """

    points: Path | None = None
    extrinsics: npt.NDArray[np.float64] | None = None
    ground: Plane | None = None

    def complete(self, frame: Frame, name: str) -> Frame:
        """Add to a frame what was measured with it.

        Args:
            frame: Image and, for points in space, the camera.
            name: What the frame's outputs are called, and its points in the folder.

        Returns:
            The same with points and ground where they are known; no points at all where the
            folder has no file for it.

        Raises:
            InputError: A file of points cannot be read.
            SettingError: Points in space come without camera or extrinsics.
        """
        points = frame.points
        if self.points is not None:
            file = self._file_of(name)
            none = np.zeros(0)
            points = SparsePoints(none, none, none)
            if file is not None:
                points = points_of_file(file, frame.camera, self.extrinsics)
                _warn_of_outside(points, frame, name)
        return replace(frame, points=points, ground=self.ground or frame.ground)

    def _file_of(self, name: str) -> Path | None:
        assert self.points is not None
        if not self.points.is_dir():
            return self.points
        paths = (self.points / f"{name}{suffix}" for suffix in POINT_SUFFIXES)
        return next((path for path in paths if path.is_file()), None)


def _warn_of_outside(points: SparsePoints, frame: Frame, name: str) -> None:
    height, width = frame.rgb.shape[:2]
    inside = (points.u >= -0.5) & (points.u < width - 0.5)
    inside &= (points.v >= -0.5) & (points.v < height - 0.5)
    outside = len(points) - int(inside.sum())
    if outside:
        warn(
            f"{name}: {outside} of {len(points)} points lie outside the image of {width}x{height}; "
            "u is the column and v the row in pixels of this image"
        )
