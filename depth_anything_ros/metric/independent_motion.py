"""What moves by itself between two images: pixels that neither motion nor wrong depth explains.

A picture moved by optical flow fits the next one better than moved by the camera's motion where
things move, and also where depth is wrong. A still point of wrong depth keeps to its epipolar line
(Longuet-Higgins 1981), so flow along that line is no motion. What is clearly seen to move in one
image is followed into the next ones on less evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage
from depth_anything_ros.geometry.camera_motion import sample_displaced

# Own choices, compared on simulated drives with and without people that walk; pictures are 160
# pixels wide.
_REGION = 7  # pixels across over which pictures are compared
_FLOW_PX = 0.7  # flow that is off by less is explained, across the epipolar line, too
_NEARER, _FARTHER = 1.0, -0.5  # errors of inverse depth, as a share, that flow along it may show
_CLEAR, _CLEAR_GREY = 1.6, 3.0  # factor and grey levels by which flow must fit better to be seen
_LEAST, _LEAST_GREY = 1.1, 0.7  # where it moved in the last image
_SMALLEST = 3  # pixels across of what is seen to begin to move
_GROWTH = 3  # pixels across around what moved in the last image
_LASTING = 2.0  # images; what has moved for as long is no mistake; it is filled,
_FILL, _FILL_STEPS, _FILL_LEAST = 17, 3, 0.01  # within these pixels, from this share of them,
_ALIKE = 0.1  # up to this step of inverse depth, as a share,
_UPRIGHT = 0.012  # and change of it from pixel to pixel: floor has more

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MovedPicture:
    """Two small pictures and what is known of the motion between them.

    Attributes:
        grey: HxW uint8, the present picture.
        last_grey: The last one.
        by_motion: HxW float32, the last one moved by the camera's motion, NaN outside.
        flow: HxWx2 float32, columns and rows from each present pixel to the last picture.
        displacement: Columns and rows by the camera's motion and the depth, HxW each.
        parallax: How they change with inverse depth, pixels per 1/m, HxW each.
        inverse: HxW float32 1/m, the present depth.
    """

    grey: npt.NDArray[np.uint8]
    last_grey: npt.NDArray[np.uint8]
    by_motion: FloatImage
    flow: FloatImage
    displacement: tuple[FloatImage, FloatImage]
    parallax: tuple[FloatImage, FloatImage]
    inverse: FloatImage

    @cached_property
    def misfit(self) -> FloatImage:
        """How badly the camera's motion explains the picture, HxW float32 grey levels."""
        return misfit(self.by_motion, self.grey)

    @cached_property
    def unexplained(self) -> Mask:
        """Where flow is not what the camera's motion gives, with whatever depth, HxW bool."""
        off_u = self.flow[..., 0] - self.displacement[0]
        off_v = self.flow[..., 1] - self.displacement[1]
        along_u, along_v = self.parallax
        length = np.square(along_u) + np.square(along_v) + np.float32(1e-6)
        across = np.abs(off_u * along_v - off_v * along_u) / np.sqrt(length)
        with np.errstate(divide="ignore", invalid="ignore"):  # the sky has no depth to be wrong
            wrong_by = (off_u * along_u + off_v * along_v) / (length * self.inverse)
        depth_is_wrong = (wrong_by > np.float32(_FARTHER)) & (wrong_by < np.float32(_NEARER))
        depth_is_wrong &= across < np.float32(_FLOW_PX)
        off = np.square(off_u) + np.square(off_v) > np.float32(_FLOW_PX**2)
        return np.asarray(off & ~depth_is_wrong)


def independent_motion(pictures: MovedPicture, images_before: FloatImage) -> FloatImage:
    """In how many images in a row each pixel was seen to move by itself.

    Args:
        pictures: The two pictures.
        images_before: The same of the last picture, 0 where nothing moved.

    Returns:
        HxW float32, 0 where nothing moves.
    """
    flow = pictures.flow
    kernel = np.ones((_GROWTH, _GROWTH), np.uint8)
    around = np.asarray(cv2.dilate(images_before, kernel), np.float32)
    last = pictures.last_grey.astype(np.float32)
    by_flow, followed = sample_displaced((last, around), flow[..., 0], flow[..., 1])
    cv2.patchNaNs(followed, 0)
    wrong, left = pictures.misfit, misfit(by_flow, pictures.grey)
    unexplained = pictures.unexplained
    least = wrong > np.float32(_LEAST) * left + np.float32(_LEAST_GREY)
    clear = wrong > np.float32(_CLEAR) * left + np.float32(_CLEAR_GREY)
    seen = _opened(unexplained & clear, _SMALLEST)
    seen |= (followed > np.float32(0.5)) & unexplained & least
    return np.where(seen, followed + 1, np.float32(0))


def misfit(moved: FloatImage, grey: npt.NDArray[np.uint8]) -> FloatImage:
    """How far a moved picture is off another one around each pixel.

    Args:
        moved: HxW float32, NaN where unknown: no difference there.
        grey: HxW uint8, the other one.

    Returns:
        HxW float32 grey levels.
    """
    difference = np.abs(moved - grey)
    cv2.patchNaNs(difference, 0)
    return _blurred(difference, _REGION)


def filled(pictures: MovedPicture, images: FloatImage) -> Mask:
    """What moves by itself, with its inside: things have hardly any texture there.

    Args:
        pictures: The two pictures.
        images: What `independent_motion` found in them.

    Returns:
        HxW bool: what moves, and what is upright, as far away and around what has been moving for
        some images.
    """
    moving = images >= np.float32(_LASTING)
    if moving.any():
        known = np.where(np.isfinite(pictures.inverse), pictures.inverse, np.float32(0))
        fitting = pictures.unexplained & (_slope(known) < np.float32(_UPRIGHT))
        size = (_FILL, _FILL)
        for _ in range(_FILL_STEPS):
            count = np.asarray(cv2.blur(moving.astype(np.float32), size), np.float32)
            total = np.asarray(cv2.blur(np.where(moving, known, np.float32(0)), size), np.float32)
            off = np.abs(known * count - total)
            alike = (off < np.float32(_ALIKE) * total) & (count > np.float32(_FILL_LEAST))
            moving = moving | (alike & fitting)
    return np.asarray(moving | (images > 0))


def _slope(inverse: FloatImage) -> FloatImage:
    """Change of inverse depth from pixel to pixel, as a share."""
    smooth = _blurred(inverse, 5)
    across, down = (
        cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1))
    )
    size = np.asarray(cv2.magnitude(across, down), np.float32)
    # What has no depth is no thing.
    return np.divide(size, smooth, out=np.full_like(size, np.inf), where=smooth > 1e-3)


def _blurred(image: FloatImage, across: int) -> FloatImage:
    return np.asarray(cv2.blur(image, (across, across)), np.float32)


def _opened(mask: Mask, across: int) -> Mask:
    """A mask without what is smaller."""
    kernel = np.ones((across, across), np.uint8)
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0)
