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
_FINE_STRIDE = 7  # pixels between patches of flow
_ASSUMED_HFOV_DEG = 60.0  # of a camera without calibration
_LONGEST_GAP = 1.0  # seconds between two images that still follow each other
_MOST = 30.0  # images whose depth counts, at most,
# and where no points were measured: what the network has wrong then grows as a robot approaches,
# for the motion is in true metres.
_MOST_UNMEASURED = 6.0
_MOST_BY_FLOW = 4.0  # where the motion is found from flow: its errors add up
_MOST_NEAR = 2.0  # in either case near what moves by itself
# And where the picture moves as if depth were wrong: averaging a thing that comes nearer would
# hold it back.
_MOST_DOUBTED, _OF_DOUBTED = 3.0, 5
_GATE = 1.5  # of log depth: what differs by more is not one surface
_GATE_NEAR = 0.8  # the same near what moves by itself
_NEAR = 25  # pixels across of what is near what moves by itself,
_OF_SUSPECT = 5  # and of what is near flow that nothing explains
_JUMP = 0.25  # of log depth: if half the image has changed so much, its scale has changed
_AROUND = 7  # pixels across over which measured points are compared with the last depth
_CONTRADICTED = 0.02  # of log depth: points that say so much else make the last depth wrong
_DOUBT = 0.5  # or by so many standard deviations of it
_LARGEST = 0.3  # of log depth, of one point
_LOST_PX = 0.7  # median of unexplained flow from which on the motion is not known
_SURER = 4.0  # most that the variances of two depths differ in their weights

Mask = npt.NDArray[np.bool_]


class TemporalFilter:
    """Follows the depth of one camera; one thread calls it."""

    def __init__(self) -> None:
        self._coarse_flow, self._fine_flow = (
            cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST) for _ in range(2)
        )
        self._coarse_flow.setFinestScale(1)
        # Flow that must tell the motion is refined up to the whole small picture, where patches
        # are further apart: as good a motion at half the cost.
        self._fine_flow.setFinestScale(0)
        self._fine_flow.setPatchStride(_FINE_STRIDE)
        self._last: _Seen | None = None
        self._motion: FloatArray | None = None

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
        flow_of = self._coarse_flow if known is not None else self._fine_flow
        flow = np.asarray(flow_of.calc(now.grey, last.grey, np.empty(0)), np.float32)
        motion = self._motion_of_flow(now, flow) if known is None else known
        if motion is None:
            return scaled
        moved = displacement(now.small_camera, now.inverse, motion)
        most = _most_images(frame, known is not None)
        share = _compare(now, last, flow, motion, moved, most)
        if not share.any():
            return scaled
        blended = now.fine + _blended(now.fine, last.fine, moved, share)
        with np.errstate(invalid="ignore", divide="ignore"):
            factor = now.fine / blended
        factor[now.fine == 0] = 1  # the sky stays where it is
        now.fine = blended
        factor = _enlarged(_known(factor, 1.0), scaled.depth_m.shape)
        depth_m = factor * scaled.depth_m
        if scaled.sigma_m is None:
            return replace(scaled, depth_m=depth_m)
        # Errors of one image and the next are much alike: averaging makes depth steady, not sure.
        factor *= scaled.sigma_m
        return replace(scaled, depth_m=depth_m, sigma_m=factor)

    def _motion_of_flow(self, now: _Seen, flow: FloatImage) -> FloatArray | None:
        """Motion from flow and depth; None where much of the flow is left unexplained."""
        found = motion_of_flow(now.small_camera, now.inverse, flow, self._motion)
        self._motion = None if found is None or found[1] > _LOST_PX else found[0]
        return self._motion


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


def _most_images(frame: Frame, motion_is_known: bool) -> float:
    """How many images may count in a mean."""
    if not motion_is_known:
        return _MOST_BY_FLOW
    return _MOST if frame.points is not None and len(frame.points) else _MOST_UNMEASURED


def _compare(
    now: _Seen,
    last: _Seen,
    flow: FloatImage,
    motion: FloatArray,
    moved: tuple[FloatImage, FloatImage, FloatImage],
    most: float,
) -> FloatImage:
    """Share of the last depth at every pixel of the small picture; `most` images count.

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
                before,
            ),
            last.moving,
        )
        now.moving = found.images
        images[_grown(found.along, _OF_DOUBTED)] = _MOST_DOUBTED
        near = _grown(found.moving, _NEAR) | _grown(found.suspect, _OF_SUSPECT)
        if most < _MOST:
            images[near] = np.minimum(images[near], np.float32(_MOST_NEAR))
        gate = np.where(near, np.float32(_GATE_NEAR), np.float32(_GATE))
        still = np.maximum(1 - np.square(change / gate), 0)
        allowed = np.fmax(sigma_before * np.float32(_DOUBT), np.float32(_CONTRADICTED))
        still *= np.maximum(1 - np.square(_contradiction(now, before, near) / allowed), 0)
        still[~known | found.with_edges] = 0
        if near.any():  # edges of what moves are blurred
            eroded = np.asarray(cv2.erode(still, np.ones((3, 3), np.uint8)), np.float32)
            still = np.where(near, eroded, still)
    weight = still * _known(images)
    now.images = np.minimum(weight + 1, np.float32(most))
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
