"""Depth steadied over time: the last image's depth, moved by the camera's motion, and the new one.

The last depth is brought into the present image through the present depth and the camera's motion,
which is known (odometry, tf2) or found from optical flow, and the two are averaged in inverse depth
by their standard deviations. They are not where the picture moved by the flow fits much better than
moved by the camera's motion (what moves by itself), where points measured now contradict the last
depth, and where the two differ so much that they are not one surface (what comes into sight).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, Frame, ScaledDepth
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.camera_motion import (
    displacement,
    motion_of_flow,
    parallax,
    sample_displaced,
    small_grey,
)
from depth_anything_ros.metric.independent_motion import MovedPicture, independent_motion
from depth_anything_ros.metric.scene_cut import CUT_CORRELATION

# Own choices, compared on simulated drives with people that walk.
_WIDTH = 160  # of the picture on which motion and weights are computed
_FINE_WIDTH = 320  # of the one on which depths are averaged
_ASSUMED_HFOV_DEG = 60.0  # of a camera without calibration
_LONGEST_GAP = 1.0  # seconds between two images that still follow each other
_MOST = 30.0  # images whose depth counts, at most
# The same where the picture moves as if depth were wrong: averaging a thing that comes nearer
# would hold it back.
_MOST_DOUBTED, _OF_DOUBTED = 3.0, 5
_GATE = 1.5  # of log depth: what differs by more is not one surface
_GATE_NEAR = 0.8  # the same near what moves by itself
_OF_MOVING, _NEAR = 11, 25  # pixels across of what belongs to it, and of what is near it
_OF_SUSPECT = 5  # and of what is near flow that nothing explains
_JUMP = 0.25  # of log depth: if half the image has changed so much, its scale has changed
_AROUND = 7  # pixels across over which measured points are compared with the last depth
_CONTRADICTED = 0.02  # of log depth: points that say so much else make the last depth wrong
_DOUBT = 1.0  # or by so many standard deviations of it
_LARGEST = 0.3  # of log depth, of one point
_LOST_PX = 1.5  # median of unexplained flow from which on the motion is not known
_SURER = 4.0  # most that the variances of two depths differ in their weights

Mask = npt.NDArray[np.bool_]


class TemporalFilter:
    """Follows the depth of one camera; one thread calls it."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._last: _Seen | None = None

    def steady(self, scaled: ScaledDepth, frame: Frame) -> ScaledDepth:
        """Average the depth of an image with that of the images before.

        Args:
            scaled: Depth of the image; not modified.
            frame: The image; with a pose, motion is taken from it, else from optical flow.

        Returns:
            The steadied depth and its standard deviation; the same where nothing is known of
            before: after a cut, a gap of a second or another camera, and where motion is unknown.
        """
        last, self._last = self._last, None
        if scaled.depth_m is None:
            return scaled
        now = _seen(scaled.depth_m, scaled.sigma_m, frame)
        self._last = now
        if last is None or not now.follows(last):
            return scaled
        known = _known_motion(now, last)
        # Flow that must tell the motion is refined up to the whole small picture.
        self._flow.setFinestScale(0 if known is None else 1)
        flow = np.asarray(self._flow.calc(now.grey, last.grey, np.empty(0)), np.float32)
        motion = _motion_of_flow(now, flow) if known is None else known
        if motion is None:
            return scaled
        moved = displacement(now.small_camera, now.inverse, motion)
        share = _compare(now, last, flow, motion, moved)
        if not share.any():
            return scaled
        added = _blended(now.fine, last.fine, moved, share)
        now.fine = now.fine + added
        # 1 / (1 / Z + added)
        factor = _enlarged(added, scaled.depth_m.shape)
        beyond = np.isinf(scaled.depth_m)  # the sky stays where it is
        factor *= np.where(beyond, np.float32(0), scaled.depth_m)
        factor += 1
        np.reciprocal(factor, out=factor)
        depth_m = factor * scaled.depth_m
        if scaled.sigma_m is None:
            return replace(scaled, depth_m=depth_m)
        # Errors of one image and the next are much alike: averaging makes depth steady, not sure.
        factor *= scaled.sigma_m
        return replace(scaled, depth_m=depth_m, sigma_m=factor)


@dataclass
class _Seen:
    """One image and its depth.

    Attributes:
        frame: The image.
        camera: Its camera, assumed where it has none.
        small_camera: The camera of the small picture.
        grey: The small picture.
        inverse: Inverse depth of the small picture, 1/m.
        relative: Its standard deviation relative to depth.
        images: How many images its depth is the mean of.
        fine: Inverse depth of a larger picture, 1/m.
        moving: In how many images in a row each pixel of the small picture was seen to move.
    """

    frame: Frame
    camera: Camera
    small_camera: Camera
    grey: npt.NDArray[np.uint8]
    inverse: FloatImage
    relative: FloatImage
    images: FloatImage
    fine: FloatImage
    moving: FloatImage

    def follows(self, last: _Seen) -> bool:
        """Whether this image comes from the same camera shortly after another one."""
        gap = self.frame.stamp - last.frame.stamp
        return self.camera == last.camera and 0 < gap < _LONGEST_GAP * 1e9


def _seen(depth_m: FloatImage, sigma_m: FloatImage | None, frame: Frame) -> _Seen:
    height, width = depth_m.shape
    camera = frame.camera or Camera.from_hfov(width, height, _ASSUMED_HFOV_DEG)
    factor = max(1.0, width / _WIDTH)
    size = (max(8, round(width / factor)), max(8, round(height / factor)))
    finer = max(1.0, width / _FINE_WIDTH)
    fine = np.float32(1) / _shrunk(
        depth_m, (max(8, round(width / finer)), max(8, round(height / finer)))
    )
    depth = _shrunk(depth_m, size)
    relative = np.ones_like(depth) if sigma_m is None else _shrunk(sigma_m, size) / depth
    return _Seen(
        frame,
        camera,
        camera.resized(*size),
        small_grey(frame.rgb, size),
        np.float32(1) / depth,
        relative,
        np.ones_like(depth),
        fine,
        np.zeros_like(depth),
    )


def _known_motion(now: _Seen, last: _Seen) -> FloatArray | None:
    """Present optical frame -> last one by their poses, 4x4; None where they are not known."""
    here, there = now.frame.pose, last.frame.pose
    if here is None or there is None or now.frame.fixed_frame != last.frame.fixed_frame:
        return None
    return np.asarray(np.linalg.inv(there) @ here)


def _motion_of_flow(now: _Seen, flow: FloatImage) -> FloatArray | None:
    """The same from optical flow and depth; None where much of the flow is left unexplained."""
    found = motion_of_flow(now.small_camera, now.inverse, flow)
    return None if found is None or found[1] > _LOST_PX else found[0]


def _compare(
    now: _Seen,
    last: _Seen,
    flow: FloatImage,
    motion: FloatArray,
    moved: tuple[FloatImage, FloatImage, FloatImage],
) -> FloatImage:
    """Share of the last depth at every pixel of the small picture.

    It makes the small picture of the present image that of the steadied depth.
    """
    du, dv, ratio = moved
    before, sigma_before, images, grey_before = sample_displaced(
        (last.inverse, last.relative, last.images, last.grey.astype(np.float32)), du, dv
    )
    before *= ratio
    with np.errstate(invalid="ignore", divide="ignore"):
        change = np.log(now.inverse / before)
    known = np.isfinite(change)
    still = np.zeros_like(change)
    as_known = known.any() and abs(float(np.median(change[known]))) < _JUMP
    if as_known and _resemble(now.grey, grey_before):
        found = independent_motion(
            MovedPicture(
                now.grey,
                last.grey,
                grey_before,
                flow,
                (du, dv),
                parallax(now.small_camera, moved, motion),
                now.inverse,
            ),
            last.moving,
        )
        now.moving = found.images
        images[_grown(found.along, _OF_DOUBTED)] = _MOST_DOUBTED
        near = _grown(found.moving, _NEAR) | _grown(found.suspect, _OF_SUSPECT)
        gate = np.where(near, np.float32(_GATE_NEAR), np.float32(_GATE))
        still = np.maximum(1 - np.square(change / gate), 0)
        allowed = np.fmax(sigma_before * np.float32(_DOUBT), np.float32(_CONTRADICTED))
        still *= np.maximum(1 - np.square(_contradiction(now, before, near) / allowed), 0)
        still[~known | _grown(found.moving, _OF_MOVING)] = 0
        still = np.asarray(cv2.erode(still, np.ones((3, 3), np.uint8)), np.float32)
    weight = still * _known(images)
    now.images = np.minimum(weight + 1, np.float32(_MOST))
    with np.errstate(invalid="ignore", divide="ignore"):
        variances = np.clip(np.square(now.relative / sigma_before), 1 / _SURER, _SURER)
    weight *= _known(variances, 1.0)
    share: FloatImage = weight / (1 + weight)
    now.inverse = np.where(known, now.inverse + share * (before - now.inverse), now.inverse)
    now.relative = now.relative + share * _known(sigma_before - now.relative)
    return share


def _contradiction(now: _Seen, before: FloatImage, near: Mask) -> FloatImage:
    """How much measured points around each pixel contradict the last depth more than the new one.

    Near what moves by itself, or may, it is how much they contradict the last depth at all.

    Args:
        now: The present image.
        before: Inverse depth of the last one, moved into it.
        near: Where something moves, or may move, nearby.

    Returns:
        HxW float32 of log depth; 0 without points.
    """
    points = now.frame.points
    none = np.zeros_like(before)
    if points is None or not len(points):
        return none
    height, width = before.shape
    rows = np.clip((points.v + 0.5) * (height / now.camera.height), 0, height - 1).astype(np.intp)
    columns = np.clip((points.u + 0.5) * (width / now.camera.width), 0, width - 1).astype(np.intp)
    cell = rows * width + columns
    with np.errstate(invalid="ignore", divide="ignore"):
        last, new = (np.log(points.z * each.ravel()[cell]) for each in (before, now.inverse))
    known = np.isfinite(last) & np.isfinite(new)
    cell, last, new = cell[known], last[known], new[known]
    total_last, total_new, count = (
        cv2.boxFilter(
            np.bincount(cell, each, before.size).reshape(before.shape).astype(np.float32),
            -1,
            (_AROUND, _AROUND),
            normalize=False,
        )
        for each in (
            np.clip(last, -_LARGEST, _LARGEST),
            np.clip(new, -_LARGEST, _LARGEST),
            np.ones_like(last),
        )
    )
    excess = np.abs(total_last) - np.where(near, np.float32(0), np.abs(total_new))
    return np.divide(np.maximum(excess, 0), count, out=none, where=np.asarray(count) > 0.5)


def _resemble(grey: npt.NDArray[np.uint8], before: FloatImage) -> bool:
    """Whether the picture is much like the last one moved by the camera's motion."""
    seen = np.isfinite(before)
    now, last = grey[seen].astype(np.float32), before[seen]
    if not len(now):
        return False
    now, last = now - now.mean(), last - last.mean()
    contrast = float(np.sqrt((now @ now) * (last @ last)))
    return contrast == 0 or float(now @ last) >= CUT_CORRELATION * contrast


def _grown(mask: Mask, across: int) -> Mask:
    """A mask with what is around it."""
    if not mask.any():
        return mask
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((across, across), np.uint8))
    return np.asarray(grown > 0)


def _known(image: FloatImage, unknown: float = 0.0) -> FloatImage:
    """The same array with a number in place of NaN."""
    cv2.patchNaNs(image, unknown)
    return image


def _shrunk(image: FloatImage, size: tuple[int, int]) -> FloatImage:
    step = image.shape[1] // size[0]
    if image.shape == (step * size[1], step * size[0]):
        return image[step // 2 :: step, step // 2 :: step]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)


def _enlarged(image: FloatImage, shape: tuple[int, ...]) -> FloatImage:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _blended(
    fine: FloatImage,
    last: FloatImage,
    moved: tuple[FloatImage, FloatImage, FloatImage],
    share: FloatImage,
) -> FloatImage:
    """What a share of the last inverse depth adds to the present one."""
    du = _known(moved[0] * np.float32(fine.shape[1] / share.shape[1]))
    dv = _known(moved[1] * np.float32(fine.shape[0] / share.shape[0]))
    ratio = _known(moved[2])
    (added,) = sample_displaced((last,), _enlarged(du, fine.shape), _enlarged(dv, fine.shape))
    added *= _enlarged(ratio, fine.shape)
    added -= fine
    added *= _enlarged(share, fine.shape)
    return _known(added)
