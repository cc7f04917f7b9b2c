"""What the user measured around the images of `depth_anything run`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depth_anything_ros.cli.support.terminal import warn
from depth_anything_ros.errors import SettingError
from depth_anything_ros.formats.point_files import POINT_SUFFIXES, PointFile, read_points
from depth_anything_ros.frames import Frame, Plane, SparsePoints
from depth_anything_ros.geometry.camera import project


@dataclass(frozen=True)
class MeasuredOptions:
    """Measured points and where the camera stands.

    Attributes:
        points: The points of the one image given, or None.
        folder: Folder with a file of points for each image, or None.
        extrinsics: 4x4 float64, sensor -> optical frame, before what a file says, or None.
        ground: The ground in the optical frame, or None.
    """

    points: PointFile | None = None
    folder: Path | None = None
    extrinsics: npt.NDArray[np.float64] | None = None
    ground: Plane | None = None

    def complete(self, frame: Frame, name: str) -> Frame:
        """Add to a frame what was measured with it.

        Args:
            frame: Image and, for points in space, the camera.
            name: What the frame's outputs are called, and its points in the folder.

        Returns:
            The same with points and ground where they are known.

        Raises:
            InputError: A file of points cannot be read.
            SettingError: Points in space come without camera or extrinsics.
        """
        found = self.points
        if self.folder is not None:
            path = next(
                (
                    path
                    for suffix in POINT_SUFFIXES
                    if (path := self.folder / f"{name}{suffix}").is_file()
                ),
                None,
            )
            found = None if path is None else read_points(path)
        points = None if found is None else self._in_image(found, frame, name)
        return replace(frame, points=points, ground=self.ground)

    def _in_image(self, found: PointFile, frame: Frame, name: str) -> SparsePoints:
        if found.uvz is not None:
            points = SparsePoints(*found.uvz.T)
            _warn_of_outside(points, frame, name)
            return points
        assert found.xyz is not None
        if frame.camera is None:
            raise SettingError("points in x y z need --camera, --intrinsics or --hfov")
        to_camera = found.extrinsics if self.extrinsics is None else self.extrinsics
        if to_camera is None:
            raise SettingError(
                "points in x y z need --extrinsics; for points in the camera's optical frame (x "
                "right, y down, z forward) give --extrinsics '0 0 0 0 0 0 1'"
            )
        return SparsePoints(
            *project(frame.camera, found.xyz @ to_camera[:3, :3].T + to_camera[:3, 3])
        )


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
