"""The camera model: intrinsics, distortion and rectification of one image.

Words and conventions are those of sensor_msgs/CameraInfo: K and D describe the picture as taken,
R and P the rectified one. The centre of the top-left pixel is (0, 0), as in OpenCV and ROS.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError

PINHOLE = ""
DISTORTION_LENGTHS = {
    "plumb_bob": (4, 5),
    "rational_polynomial": (4, 5, 8, 12, 14),
    "equidistant": (4,),
}
"""Distortion models of sensor_msgs/distortion_models.hpp and how many coefficients each may have.

4 and more coefficients are OpenCV's k1 k2 p1 p2 [k3 [k4 k5 k6 [s1 s2 s3 s4 [tx ty]]]]; equidistant
(also called fisheye) is k1 k2 k3 k4 of Kannala and Brandt, all zero for the ideal r = f * theta.
"""

_ALIASES = {"fisheye": "equidistant", "none": PINHOLE, "pinhole": PINHOLE}
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Camera:
    """A calibrated camera, as it took one image. Hashable, so tables can be cached by camera.

    Attributes:
        width: Columns of the image.
        height: Rows of the image.
        fx: Focal length along x in pixels.
        fy: Focal length along y in pixels.
        cx: Principal point, column in pixels.
        cy: Principal point, row in pixels.
        distortion_model: "" (none), "plumb_bob", "rational_polynomial" or "equidistant".
        distortion: D, as many coefficients as the model has; empty without distortion.
        rotation: R, row by row: turns rays of the picture as taken into the rectified frame.
        projection: P, 3x4 row by row, of the rectified image; empty when it is K itself.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = PINHOLE
    distortion: tuple[float, ...] = ()
    rotation: tuple[float, ...] = _IDENTITY
    projection: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse invalid parameters.

        Raises:
            InputError: A size or focal length is not positive, a number is not finite, or the
                distortion does not fit its model.
        """
        if self.width < 1 or self.height < 1:
            raise InputError(f"camera size is {self.width}x{self.height}; it must be at least 1x1")
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion, *self.rotation)
        if not all(math.isfinite(number) for number in (*numbers, *self.projection)):
            raise InputError("camera_info holds a number that is not finite; calibrate the camera")
        if self.fx <= 0 or self.fy <= 0:
            raise InputError(
                f"camera_info has focal lengths fx={self.fx:g} fy={self.fy:g} (K is zero): the "
                "camera is not calibrated; load a calibration in the camera driver"
            )
        if self.distortion_model == PINHOLE:
            if any(self.distortion):
                raise InputError("camera_info has distortion coefficients but names no model")
            return
        lengths = DISTORTION_LENGTHS.get(self.distortion_model)
        if lengths is None:
            raise InputError(
                f"distortion_model {self.distortion_model!r} is not known; use one of "
                f"{', '.join(DISTORTION_LENGTHS)}"
            )
        if len(self.distortion) not in lengths:
            raise InputError(
                f"distortion_model {self.distortion_model!r} takes "
                f"{' or '.join(map(str, lengths))} coefficients, got {len(self.distortion)}"
            )

    @classmethod
    def from_fields(
        cls,
        width: int,
        height: int,
        k: Sequence[float],
        d: Sequence[float] = (),
        r: Sequence[float] = (),
        p: Sequence[float] = (),
        distortion_model: str = PINHOLE,
        binning: tuple[int, int] = (0, 0),
        roi: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> Camera:
        """Make the camera of the image at hand from the fields of sensor_msgs/CameraInfo.

        Region of interest and binning are taken into K and P as image_geometry does (REP-104:
        they tell how the full-resolution calibration relates to the image): first the offset is
        taken away, then everything is divided by the binning.

        Args:
            width: Columns of the full-resolution calibration image.
            height: Rows of the full-resolution calibration image.
            k: 9 numbers, row by row; all zero where P is a calibration means that the image is
                rectified and P its camera.
            d: Distortion coefficients; all zero or empty means none, but for equidistant.
            r: 9 numbers, row by row; empty, all zero or not finite means identity.
            p: 12 numbers, row by row; empty or no calibration means K.
            distortion_model: Name as in CameraInfo; "fisheye" is read as "equidistant".
            binning: (binning_x, binning_y); 0 means 1.
            roi: (x_offset, y_offset, width, height) at full resolution; all zero means the whole.

        Returns:
            The camera whose size is that of the image really sent.

        Raises:
            InputError: The numbers cannot be a camera; the message says which and why.
        """
        if len(k) != 9:
            raise InputError(f"camera_info K has {len(k)} numbers; it must have 9")
        if len(p) not in (0, 12) or len(r) not in (0, 9):
            raise InputError(
                f"camera_info R and P have {len(r)} and {len(p)} numbers; they must have 9 and 12"
            )
        if len(p) and not _is_projection(p, k):
            p = ()
        if len(p) and not any(k):
            k, d, r, distortion_model = (p[0], 0, p[2], 0, p[5], p[6], 0, 0, 1), (), (), PINHOLE
        if len(r) and not (any(r) and all(map(math.isfinite, r))):
            r = ()
        name = _ALIASES.get(distortion_model, distortion_model)
        distortion = tuple(float(value) for value in d) if any(d) else ()
        if name == "equidistant" and not distortion:
            distortion = (0.0,) * 4
        if distortion and name == "plumb_bob" and len(distortion) in (8, 12, 14):
            name = "rational_polynomial"  # OpenCV-made files often keep the wrong name
        camera = cls(
            width=int(width),
            height=int(height),
            fx=float(k[0]),
            fy=float(k[4]),
            cx=float(k[2]),
            cy=float(k[5]),
            distortion_model=name if distortion else PINHOLE,
            distortion=distortion,
            rotation=tuple(float(value) for value in r) if len(r) else _IDENTITY,
            projection=tuple(float(value) for value in p),
        )
        x_offset, y_offset, roi_width, roi_height = roi
        if roi_width and roi_height:
            camera = camera.cropped(x_offset, y_offset, roi_width, roi_height)
        binning_x, binning_y = max(binning[0], 1), max(binning[1], 1)
        if (binning_x, binning_y) != (1, 1):
            camera = camera._scaled(
                camera.width // binning_x,
                camera.height // binning_y,
                1 / binning_x,
                1 / binning_y,
                0.0,
            )
        return camera

    @classmethod
    def from_hfov(cls, width: int, height: int, hfov_deg: float) -> Camera:
        """Make an ideal camera with square pixels from its horizontal field of view.

        Args:
            width: Columns of the image.
            height: Rows of the image.
            hfov_deg: Horizontal field of view in degrees, between the image's outer edges.

        Returns:
            A pinhole camera whose principal point is the image's centre.

        Raises:
            InputError: The field of view is not between 0 and 180 degrees.
        """
        if not 0 < hfov_deg < 180:
            raise InputError(f"horizontal field of view is {hfov_deg:g}; use 0 to 180 degrees")
        focal = width / (2 * math.tan(math.radians(hfov_deg) / 2))
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)

    @property
    def k(self) -> npt.NDArray[np.float64]:
        """K as 3x3 float64."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    @property
    def r(self) -> npt.NDArray[np.float64]:
        """R as 3x3 float64."""
        return np.array(self.rotation, np.float64).reshape(3, 3)

    @property
    def p(self) -> npt.NDArray[np.float64]:
        """P as 3x4 float64; [K | 0] when none was given."""
        if self.projection:
            return np.array(self.projection, np.float64).reshape(3, 4)
        return np.hstack([self.k, np.zeros((3, 1))])

    @property
    def is_distorted(self) -> bool:
        """Whether straight lines of the world are bent in the image."""
        return bool(self.distortion)

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """The camera of a rectangle cut out of the image.

        Args:
            x: Left-most column of the rectangle.
            y: Top-most row of the rectangle.
            width: Columns of the rectangle.
            height: Rows of the rectangle.

        Returns:
            The same camera with a shifted principal point.
        """
        projection = list(self.projection)
        if projection:
            # A crop moves the image by x * w in homogeneous coordinates: every column of the row.
            matrix = self.p
            matrix[0] -= x * matrix[2]
            matrix[1] -= y * matrix[2]
            projection = [float(value) for value in matrix.ravel()]
        return replace(
            self,
            width=width,
            height=height,
            cx=self.cx - x,
            cy=self.cy - y,
            projection=tuple(projection),
        )

    def resized(self, width: int, height: int) -> Camera:
        """The camera of the image resized as cv2.resize does (the image's outer edges stay).

        Args:
            width: New number of columns.
            height: New number of rows.

        Returns:
            The camera with K and P scaled; distortion and R do not change.
        """
        if (width, height) == (self.width, self.height):
            return self
        return self._scaled(width, height, width / self.width, height / self.height, 0.5)

    def fitted(self, width: int, height: int) -> Camera:
        """The camera of an image that was resized from the calibrated one as a whole.

        Args:
            width: Columns of the image.
            height: Rows of the image.

        Returns:
            The camera resized.

        Raises:
            InputError: The image has another aspect ratio, by more than rounding a side to whole
                pixels explains.
        """
        if abs(self.width / self.height * height - width) > max(1.0, width / height):
            raise InputError(
                f"the calibration is for {self.width}x{self.height}, which cannot be resized to "
                f"the image's {width}x{height}; use the calibration of this camera"
            )
        return self.resized(width, height)

    def _scaled(self, width: int, height: int, sx: float, sy: float, edge: float) -> Camera:
        """Scale K and P; `edge` is how far a pixel's outer edge lies from its zero point."""
        projection: tuple[float, ...] = ()
        if self.projection:
            p = self.p
            p[0] = sx * p[0] + (sx - 1) * edge * p[2]
            p[1] = sy * p[1] + (sy - 1) * edge * p[2]
            projection = tuple(float(value) for value in p.ravel())
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + edge) * sx - edge,
            cy=(self.cy + edge) * sy - edge,
            projection=projection,
        )

    def rectified(self) -> Camera:
        """The camera of the rectified image: the intrinsics in P, no distortion, R the identity.

        Its `rotation` is the identity because its optical frame is the rectified one.
        """
        p = self.p
        return Camera(
            self.width,
            self.height,
            float(p[0, 0]),
            float(p[1, 1]),
            float(p[0, 2]),
            float(p[1, 2]),
        )


def _is_projection(p: Sequence[float], k: Sequence[float]) -> bool:
    """Whether P is a calibration rather than zeros, NaN or placeholders (focal lengths of 1)."""
    if not all(map(math.isfinite, p)) or not (p[0] > 0 and p[5] > 0):
        return False
    return not any(k) or all(
        of_k <= 0 or 0.1 < float(of_p) / float(of_k) < 10
        for of_p, of_k in ((p[0], k[0]), (p[5], k[4]))
    )


RayTable = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def require_size(shape: tuple[int, ...], camera: Camera) -> None:
    """Refuse a depth image that is not of its camera's size.

    Args:
        shape: (height, width) of the depth image.
        camera: Its camera.

    Raises:
        InputError: The sizes differ.
    """
    if shape != (camera.height, camera.width):
        raise InputError(
            f"depth is {shape[1]}x{shape[0]} but its camera is {camera.width}x{camera.height}"
        )


@functools.lru_cache(maxsize=16)
def ray_table(camera: Camera) -> RayTable:
    """The ray of every pixel: its x/z and y/z in the optical frame, through distortion.

    Args:
        camera: The camera of the image.

    Returns:
        Two float32 arrays that broadcast to HxW (without distortion 1xW and Hx1), read-only. NaN
        where the distortion model has no ray for a pixel.
    """
    columns = np.arange(camera.width, dtype=np.float64)
    rows = np.arange(camera.height, dtype=np.float64)
    if not camera.is_distorted:
        x = ((columns - camera.cx) / camera.fx)[None, :]
        y = ((rows - camera.cy) / camera.fy)[:, None]
    else:
        u, v = np.meshgrid(columns, rows)
        x, y = (part.reshape(u.shape) for part in rays_of_pixels(camera, u.ravel(), v.ravel()))
    table = (x.astype(np.float32), y.astype(np.float32))
    for part in table:
        part.setflags(write=False)
    return table


def rays_of_pixels(
    camera: Camera, u: npt.NDArray[np.float64], v: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The rays of some pixels, sub-pixel ones too.

    Args:
        camera: The camera of the image.
        u: N columns in pixels.
        v: N rows in pixels.

    Returns:
        x/z and y/z in the optical frame, N each; NaN where the distortion model cannot be
        inverted (checked by projecting the ray back: further than 0.1 px off is no ray).
    """
    u = np.asarray(u, np.float64)
    v = np.asarray(v, np.float64)
    if not camera.is_distorted:
        return (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    pixels = np.stack([u, v], axis=-1)[:, None, :]
    d = np.array(camera.distortion, np.float64)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
    if camera.distortion_model == "equidistant":
        rays = cv2.fisheye.undistortPoints(pixels, camera.k, d, criteria=criteria)[:, 0]
        # OpenCV marks what it could not invert with -1e6.
        rays[(rays < -1e5).any(axis=1)] = np.nan
    else:
        rays = cv2.undistortPointsIter(pixels, camera.k, d, np.eye(3), np.eye(3), criteria)[:, 0]
    x, y = rays[:, 0].astype(np.float64), rays[:, 1].astype(np.float64)
    back = distort(camera, x, y)
    bad = ~(np.hypot(back[0] - u, back[1] - v) < 0.1)
    return np.where(bad, np.nan, x), np.where(bad, np.nan, y)


def distort(
    camera: Camera, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Where rays hit the image, through the distortion model (OpenCV's formulas).

    Args:
        camera: The camera of the image.
        x: N float64 x/z of the rays.
        y: N float64 y/z of the rays.

    Returns:
        Columns and rows in pixels, N each; may lie outside the image.
    """
    if camera.is_distorted:
        if camera.distortion_model == "equidistant":
            radius = np.hypot(x, y)
            angle = np.arctan(radius)
            k1, k2, k3, k4 = camera.distortion
            square = angle**2
            bent = angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
            factor = np.where(radius > 1e-12, bent / np.maximum(radius, 1e-12), 1.0)
            x, y = x * factor, y * factor
        else:
            points = np.stack([x, y, np.ones_like(x)], axis=-1)
            finite = np.isfinite(points).all(axis=1)
            bent = np.full((len(points), 2), np.nan)
            if finite.any():
                bent[finite] = cv2.projectPoints(
                    points[finite],
                    np.zeros(3),
                    np.zeros(3),
                    np.eye(3),
                    np.array(camera.distortion, np.float64),
                )[0][:, 0]
            x, y = bent[:, 0], bent[:, 1]
    return camera.fx * x + camera.cx, camera.fy * y + camera.cy


@functools.lru_cache(maxsize=16)
def _widest_ray(camera: Camera) -> float:
    """Largest x^2 + y^2 of the rays of an image: beyond it a polynomial may fold points back in."""
    x, y = ray_table(camera)
    return float(np.nanmax(x.astype(np.float64) ** 2 + y.astype(np.float64) ** 2))


def project(
    camera: Camera, points: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Project points of the optical frame into the image.

    Args:
        camera: The camera of the image.
        points: Nx3 metres in the optical frame (x right, y down, z forward).

    Returns:
        u, v (pixels) and z (metres) of the M <= N points that lie in front of the camera and
        inside the image (within the outer edges of its pixels), in order.
    """
    points = np.asarray(points, np.float64).reshape(-1, 3)
    z = points[:, 2]
    keep = np.isfinite(points).all(axis=1) & (z > 1e-6)
    points, z = points[keep], z[keep]
    x, y = points[:, 0] / z, points[:, 1] / z
    if camera.is_distorted:
        seen = x**2 + y**2 <= _widest_ray(camera) * 1.02
        x, y, z = x[seen], y[seen], z[seen]
    u, v = distort(camera, x, y)
    inside = (u >= -0.5) & (v >= -0.5) & (u < camera.width - 0.5) & (v < camera.height - 0.5)
    return u[inside], v[inside], z[inside]
