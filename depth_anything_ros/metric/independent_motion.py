"""What moves by itself between two images: pixels that neither motion nor wrong depth explains.

A picture moved by optical flow fits the next one better than moved by the camera's motion where
things move, and also where depth is wrong. A still point of wrong depth keeps to its epipolar line
(Longuet-Higgins 1981), so flow along that line is no motion. What is clearly seen to move in one
image is followed into the next ones on less evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage
from depth_anything_ros.geometry.camera_motion import sample_displaced

# Own choices, compared on simulated drives with and without people that walk; pictures are 160
# pixels wide.
_REGION = 9  # pixels across over which pictures are compared
_FLOW_PX = 0.5  # flow that is off by less is explained, across the epipolar line, too
_NEARER, _FARTHER = 1.0, -0.5  # errors of inverse depth, as a share, that flow along it may show
_CLEAR, _CLEAR_GREY = 1.6, 3.0  # factor and grey levels by which flow must fit better to be seen
_LEAST, _LEAST_GREY = 1.2, 1.0  # where it moved in the last image
_SMALLEST = 5  # pixels across of what is seen to begin to move
_GROWTH = 5  # pixels across around what moved in the last image
_SPECK = 3  # pixels across; flow that is wrong in less is nothing
_LASTING = 5.0  # images; what has moved for as long is no mistake; it is filled,
_FILL, _FILL_STEPS, _FILL_LEAST = 17, 3, 0.02  # within these pixels, from this share of them,
_ALIKE = 0.1  # up to this step of inverse depth, as a share,
_UPRIGHT = 0.008  # and change of it from pixel to pixel: floor has more
_FLAT, _OF_FLAT = 0.013, 0.15  # change within one thing; it moves if this share is seen to
_EDGE = 7  # pixels across around what moves that belong to it,
_BEHIND = 0.85  # but not what has less than this share of the inverse depth of what moves within
_OF_BEHIND = 11  # these pixels, now and before,
_DETAIL = 3  # if the pictures, compared over so many pixels, do not say that it moves

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
        last_inverse: HxW float32 1/m, the last one moved by the camera's motion, NaN outside.
    """

    grey: npt.NDArray[np.uint8]
    last_grey: npt.NDArray[np.uint8]
    by_motion: FloatImage
    flow: FloatImage
    displacement: tuple[FloatImage, FloatImage]
    parallax: tuple[FloatImage, FloatImage]
    inverse: FloatImage
    last_inverse: FloatImage


@dataclass(frozen=True)
class IndependentMotion:
    """What moves by itself in a picture.

    Attributes:
        moving: HxW bool, what moves by itself.
        with_edges: HxW bool, the same and its edges, without what is behind them.
        images: HxW float32, in how many images in a row a pixel was seen to move; 0 elsewhere.
        suspect: HxW bool, where flow is not what camera motion gives with any depth, while
            something in the picture has been moving for some time: more than what moves, and flow
            that is wrong.
        along: HxW bool, what moves along its epipolar line or has a wrong depth.
    """

    moving: Mask
    with_edges: Mask
    images: FloatImage
    suspect: Mask
    along: Mask


def independent_motion(pictures: MovedPicture, images_before: FloatImage) -> IndependentMotion:
    """Find what moves by itself.

    Args:
        pictures: The two pictures.
        images_before: `IndependentMotion.images` of the last picture, 0 where nothing moved.

    Returns:
        What moves.
    """
    flow = pictures.flow
    kernel = np.ones((_GROWTH, _GROWTH), np.uint8)
    around = np.asarray(cv2.dilate(images_before, kernel), np.float32)
    last = pictures.last_grey.astype(np.float32)
    by_flow, followed = sample_displaced((last, around), flow[..., 0], flow[..., 1])
    cv2.patchNaNs(followed, 0)
    differences = [_difference(each, pictures.grey) for each in (pictures.by_motion, by_flow)]
    wrong, left = (_blurred(each, _REGION) for each in differences)
    unexplained, along = _unexplained(pictures)
    least = wrong > np.float32(_LEAST) * left + np.float32(_LEAST_GREY)
    clear = unexplained & (wrong > np.float32(_CLEAR) * left + np.float32(_CLEAR_GREY))
    seen = _opened(clear, _SMALLEST)
    seen |= (followed > np.float32(0.5)) & unexplained & least
    images = np.where(seen, followed + 1, np.float32(0))
    lasting = images >= np.float32(_LASTING)
    moving = seen | _filled(lasting, unexplained, pictures.inverse)
    wrong, left = (_blurred(each, _DETAIL) for each in differences)
    in_detail = wrong > np.float32(_LEAST) * left + np.float32(_LEAST_GREY)
    suspect = _opened(unexplained & bool(lasting.any()), _SPECK)
    with_edges = _with_edges(moving, pictures, in_detail)
    return IndependentMotion(moving, with_edges, images, suspect, along & least)


def _filled(moving: Mask, unexplained: Mask, inverse: FloatImage) -> Mask:
    """What moves, with what is as far away and around it: things have hardly any texture inside."""
    if not moving.any():
        return moving
    known = np.where(np.isfinite(inverse), inverse, np.float32(0))
    slope = _slope(known)
    things = _things(slope < np.float32(_FLAT), moving)
    unexplained = unexplained & (slope < np.float32(_UPRIGHT))
    size = (_FILL, _FILL)
    for _ in range(_FILL_STEPS):
        count = np.asarray(cv2.blur(moving.astype(np.float32), size), np.float32)
        total = np.asarray(cv2.blur(np.where(moving, known, np.float32(0)), size), np.float32)
        off = np.abs(known * count - total)
        alike = (off < np.float32(_ALIKE) * total) & (count > np.float32(_FILL_LEAST))
        moving = moving | (alike & unexplained)
    return moving | things


def _slope(inverse: FloatImage) -> FloatImage:
    """Change of inverse depth from pixel to pixel, as a share."""
    smooth = _blurred(inverse, 5)
    across, down = (
        cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1))
    )
    size = np.asarray(cv2.magnitude(across, down), np.float32)
    # What has no depth is no thing.
    return np.divide(size, smooth, out=np.full_like(size, np.inf), where=smooth > 1e-3)


def _things(flat: Mask, moving: Mask) -> Mask:
    """Surfaces of even depth, bounded by steps, of which a part moves."""
    number, labels = cv2.connectedComponents(flat.astype(np.uint8), connectivity=4)
    size = np.bincount(labels.ravel(), minlength=number)
    moves = np.bincount(labels[moving], minlength=number) > _OF_FLAT * size
    moves[0] = False
    return np.asarray(moves[labels])


def _with_edges(moving: Mask, pictures: MovedPicture, in_detail: Mask) -> Mask:
    """What moves and what is around it, but for still things that are clearly behind it."""
    if not moving.any():
        return moving
    inverse = np.where(moving & np.isfinite(pictures.inverse), pictures.inverse, np.float32(0))
    around = np.ones((_EDGE, _EDGE), np.uint8)
    grown = np.asarray(cv2.dilate(moving.astype(np.uint8), around) > 0)
    behind = np.float32(_BEHIND) * np.asarray(
        cv2.dilate(inverse, np.ones((_OF_BEHIND, _OF_BEHIND), np.uint8)), np.float32
    )
    farther = (pictures.inverse < behind) & (pictures.last_inverse < behind)
    return np.asarray(grown & ~(farther & ~in_detail))


def _blurred(image: FloatImage, across: int) -> FloatImage:
    return np.asarray(cv2.blur(image, (across, across)), np.float32)


def _opened(mask: Mask, across: int) -> Mask:
    """A mask without what is smaller."""
    kernel = np.ones((across, across), np.uint8)
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0)


def _unexplained(pictures: MovedPicture) -> tuple[Mask, Mask]:
    """Where flow is not what camera motion gives: with no depth, and with another depth."""
    off_u = pictures.flow[..., 0] - pictures.displacement[0]
    off_v = pictures.flow[..., 1] - pictures.displacement[1]
    along_u, along_v = pictures.parallax
    length = np.square(along_u) + np.square(along_v) + np.float32(1e-6)
    across = np.abs(off_u * along_v - off_v * along_u) / np.sqrt(length)
    with np.errstate(divide="ignore", invalid="ignore"):  # the sky has no depth to be wrong
        wrong_by = (off_u * along_u + off_v * along_v) / (length * pictures.inverse)
    depth_is_wrong = (wrong_by > np.float32(_FARTHER)) & (wrong_by < np.float32(_NEARER))
    depth_is_wrong &= across < np.float32(_FLOW_PX)
    off = np.hypot(off_u, off_v) > np.float32(_FLOW_PX)
    return np.asarray(off & ~depth_is_wrong), np.asarray(off & depth_is_wrong)


def _difference(moved: FloatImage, grey: npt.NDArray[np.uint8]) -> FloatImage:
    difference = np.abs(moved - grey)
    cv2.patchNaNs(difference, 0)
    return difference
