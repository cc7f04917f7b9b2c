"""A rectified stereo pair: from disparity to depth and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.geometry.arrays import FloatImage
from depth_anything_ros.geometry.camera import Camera

_ROW_TOLERANCE = 0.5
"""Pixels by which the rows of the two cameras may differ and still count as rectified."""


@dataclass(frozen=True)
class StereoRig:
    """Two rectified cameras side by side: Z = fx * baseline / (disparity + offset).

    Disparity is the column in the left image less that in the right one. The definition of
    baseline and P[0, 3] is that of sensor_msgs/CameraInfo.

    Attributes:
        camera: The left camera.
        baseline: Metres from the left to the right camera, above 0.
        offset: Column of the right principal point less that of the left one, in pixels.
    """

    camera: Camera
    baseline: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a pair that is none.

        Raises:
            InputError: The baseline is not above 0.
        """
        if not self.baseline > 0:
            raise InputError(
                f"the stereo baseline is {self.baseline:g} m; it must be above 0 (is the left "
                "camera named first?)"
            )

    @classmethod
    def from_cameras(cls, left: Camera, right: Camera) -> StereoRig:
        """The pair of two calibrations of a stereo calibration.

        Args:
            left: The left camera; its P is the rectified one.
            right: The right camera; its P holds the baseline (P[0, 3] = -fx * baseline).

        Raises:
            InputError: The cameras are not rectified to each other.
        """
        one, other = left.p, right.p
        if (left.width, left.height) != (right.width, right.height):
            raise InputError(
                f"the left camera is {left.width}x{left.height}, the right one "
                f"{right.width}x{right.height}; a rectified pair has one size"
            )
        same_focal = np.allclose(one[[0, 1], [0, 1]], other[[0, 1], [0, 1]], rtol=1e-3)
        if not same_focal or abs(one[1, 2] - other[1, 2]) > _ROW_TOLERANCE:
            raise InputError(
                "the projection matrices (P) of the two cameras differ in focal length or row; "
                "calibrate them together as a stereo pair"
            )
        baseline = float(one[0, 3] - other[0, 3]) / float(one[0, 0])
        return cls(left.rectified(), baseline, float(other[0, 2] - one[0, 2]))

    @property
    def product(self) -> float:
        """Fx * baseline, in pixels * metres."""
        return self.camera.fx * self.baseline

    def depth(self, disparity: FloatImage) -> FloatImage:
        """Depth of disparities.

        Args:
            disparity: HxW float32 pixels, NaN where unknown.

        Returns:
            HxW float32 metres; NaN where unknown, or at infinity and beyond.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = self.product / (disparity.astype(np.float64) + self.offset)
        return np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(np.float32)

    def disparity(self, depth_m: float) -> float:
        """Disparity in pixels of a depth in metres."""
        return self.product / depth_m - self.offset

    def sigma(self, depth_m: FloatImage, disparity_sigma: FloatImage) -> FloatImage:
        """Standard deviation of depth: sigma_Z = Z^2 / (fx * baseline) * sigma_d.

        Args:
            depth_m: HxW float32 metres.
            disparity_sigma: HxW float32, standard deviation of disparity in pixels.

        Returns:
            HxW float32 metres.
        """
        sigma: npt.NDArray[np.float64] = depth_m.astype(np.float64) ** 2 / self.product
        return np.asarray(sigma * disparity_sigma, np.float32)
