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
from depth_anything_ros.geometry.camera_motion import displacement, motion_of_flow, small_grey
from depth_anything_ros.metric.scene_cut import CUT_CORRELATION

# Own choices, compared on simulated drives with people that walk.
_WIDTH = 160  # of the picture on which motion and weights are computed
_FINE_WIDTH = 320  # of the one on which depths are averaged
_ASSUMED_HFOV_DEG = 60.0  # of a camera without calibration
_LONGEST_GAP = 1.0  # seconds between two images that still follow each other
_FINEST = 1  # level of the pyramid up to which flow is refined: half the small picture
_MOST = 15.0  # images whose depth counts, at most
_GATE = 0.8  # of log depth: what differs by more is not one surface
_JUMP = 0.1  # of log depth: if half the image has changed so much, its scale has changed
_AROUND = 9  # pixels across over which measured points are compared with the last depth
_CONTRADICTED = 0.03  # of log depth: points that say so much else make the last depth wrong
_DOUBT = 1.5  # or by so many standard deviations of it
_LARGEST = 0.3  # of log depth, of one point
_REGION = 9  # pixels across over which pictures are compared
_GREY = 2.0  # grey levels by which the flow must explain the picture better than the motion
_BETTER = 1.3  # and the factor
_FLOW_PX = 0.5  # pixels of the small picture; flow that is off by less is explained
_LOST_PX = 1.5  # median of unexplained flow from which on the motion is not known
_SURER = 4.0  # most that the variances of two depths differ in their weights


class TemporalFilter:
    """Follows the depth of one camera; one thread calls it."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(_FINEST)
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
        flow = np.asarray(self._flow.calc(now.grey, last.grey, np.empty(0)), np.float32)
        motion = _motion(now, last, flow)
        if motion is None:
            return scaled
        moved = displacement(now.small_camera, now.inverse, motion)
        share = _compare(now, last, flow, moved)
        if not share.any():
            return scaled
        added = _blended(now.fine, last.fine, moved, share)
        now.fine = now.fine + added
        # 1 / (1 / Z + added)
        factor = _enlarged(added, scaled.depth_m.shape)
        factor *= scaled.depth_m
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
    """

    frame: Frame
    camera: Camera
    small_camera: Camera
    grey: npt.NDArray[np.uint8]
    inverse: FloatImage
    relative: FloatImage
    images: FloatImage
    fine: FloatImage

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
    )


def _motion(now: _Seen, last: _Seen, flow: FloatImage) -> FloatArray | None:
    """Present optical frame -> last one, 4x4; None where it is not known."""
    here, there = now.frame.pose, last.frame.pose
    if here is not None and there is not None and now.frame.fixed_frame == last.frame.fixed_frame:
        return np.asarray(np.linalg.inv(there) @ here)
    found = motion_of_flow(now.small_camera, now.inverse, flow)
    if found is None or found[1] > _LOST_PX:
        return None
    return found[0]


def _compare(
    now: _Seen, last: _Seen, flow: FloatImage, moved: tuple[FloatImage, FloatImage, FloatImage]
) -> FloatImage:
    """Share of the last depth at every pixel of the small picture.

    It makes the small picture of the present image that of the steadied depth.
    """
    du, dv, ratio = moved
    before, sigma_before, images = _looked_up((last.inverse, last.relative, last.images), du, dv)
    before *= ratio
    with np.errstate(invalid="ignore", divide="ignore"):
        change = np.log(now.inverse / before)
    known = np.isfinite(change)
    still = np.zeros_like(change)
    as_known = known.any() and abs(float(np.median(change[known]))) < _JUMP
    (grey_before,) = _looked_up((last.grey.astype(np.float32),), du, dv)
    if as_known and _resemble(now.grey, grey_before):
        contradiction = _contradiction(now, before)
        still = np.maximum(1 - np.square(change / np.float32(_GATE)), 0)
        allowed = np.fmax(sigma_before * np.float32(_DOUBT), np.float32(_CONTRADICTED))
        still *= np.maximum(1 - np.square(contradiction / allowed), 0)
        still[~known | _moves(now, last, flow, moved, grey_before)] = 0
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


def _contradiction(now: _Seen, before: FloatImage) -> FloatImage:
    """Mean log of measured over last inverse depth around each pixel; 0 without points."""
    points = now.frame.points
    none = np.zeros_like(before)
    if points is None or not len(points):
        return none
    height, width = before.shape
    rows = np.clip((points.v + 0.5) * (height / now.camera.height), 0, height - 1).astype(np.intp)
    columns = np.clip((points.u + 0.5) * (width / now.camera.width), 0, width - 1).astype(np.intp)
    cell = rows * width + columns
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.log(1 / (points.z * before.ravel()[cell]))
    known = np.isfinite(off)
    cell, off = cell[known], np.clip(off[known], -_LARGEST, _LARGEST)
    total, count = (
        cv2.boxFilter(
            np.bincount(cell, each, before.size).reshape(before.shape).astype(np.float32),
            -1,
            (_AROUND, _AROUND),
            normalize=False,
        )
        for each in (off, np.ones_like(off))
    )
    return np.divide(total, count, out=none, where=np.asarray(count) > 0.5)


def _resemble(grey: npt.NDArray[np.uint8], before: FloatImage) -> bool:
    """Whether the picture is much like the last one moved by the camera's motion."""
    seen = np.isfinite(before)
    now, last = grey[seen].astype(np.float32), before[seen]
    if not len(now):
        return False
    now, last = now - now.mean(), last - last.mean()
    contrast = float(np.sqrt((now @ now) * (last @ last)))
    return contrast == 0 or float(now @ last) >= CUT_CORRELATION * contrast


def _moves(
    now: _Seen,
    last: _Seen,
    flow: FloatImage,
    moved: tuple[FloatImage, FloatImage, FloatImage],
    grey_before: FloatImage,
) -> npt.NDArray[np.bool_]:
    """Where the last picture, moved by the flow, fits much better than moved by the motion."""
    off = np.hypot(flow[..., 0] - moved[0], flow[..., 1] - moved[1]) > np.float32(_FLOW_PX)
    (by_flow,) = _looked_up((last.grey.astype(np.float32),), flow[..., 0], flow[..., 1])
    wrong, left = (
        np.asarray(cv2.blur(_known(np.abs(each - now.grey)), (_REGION, _REGION)), np.float32)
        for each in (grey_before, by_flow)
    )
    better = wrong > np.float32(_BETTER) * left + np.float32(_GREY)
    moving = cv2.dilate((better & off).astype(np.uint8), np.ones((_REGION, _REGION), np.uint8))
    return np.asarray(moving > 0)


def _looked_up(
    images: tuple[FloatImage, ...], du: FloatImage, dv: FloatImage
) -> tuple[FloatImage, ...]:
    """Each image at a displacement from every pixel; NaN outside."""
    height, width = du.shape
    u = du + np.arange(width, dtype=np.float32)
    v = dv + np.arange(height, dtype=np.float32)[:, None]
    return tuple(
        np.asarray(
            cv2.remap(image, u, v, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, float("nan")),
            np.float32,
        )
        for image in images
    )


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
    (added,) = _looked_up((last,), _enlarged(du, fine.shape), _enlarged(dv, fine.shape))
    added *= _enlarged(ratio, fine.shape)
    added -= fine
    added *= _enlarged(share, fine.shape)
    return _known(added)
