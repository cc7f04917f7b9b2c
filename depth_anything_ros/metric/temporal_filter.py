"""Depth steadied over time: the last image's depth, moved by the camera's motion, and the new one.

The last depth is brought into the present image by the camera's motion, which is known (odometry,
tf2) or found from optical flow, and the two are averaged in inverse depth by their standard
deviations. Where they differ, the pictures tell which is right: moved by it, the last picture fits
the present one. They are not averaged where the picture has changed near what moves by itself or
near points that contradict the last depth, and where measured points contradict it more than the
new one. Where no points are measured, what moves by itself is not averaged either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, Frame, Quality, RgbImage, ScaledDepth
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.camera_motion import (
    displacement,
    motion_of_flow,
    parallax,
    picture_changed,
    sample_displaced,
    small_picture,
)
from depth_anything_ros.metric.apply import FARTHEST_M
from depth_anything_ros.metric.exposure import exposed, exposure_by_flow
from depth_anything_ros.metric.independent_motion import (
    MovedPicture,
    filled,
    independent_motion,
    misfit,
)
from depth_anything_ros.metric.memory import keep_freed_blocks
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
_MOST_UNMEASURED = 8.0
_MOST_BY_FLOW = 4.0  # where the motion is found from flow: its errors add up
_MOST_NEAR = 1.0  # without points near what moves by itself
# Of log depth: what differs by more is not one surface; with points only where the picture has
# changed, and near what moves by itself.
_GATE = 2.0
# Grey levels by which a picture fits one of two depths better; from these on it is not the other.
_FIT = 1.0
_FITTING = 40.0  # times the weight that the last depth has then,
_FITS = 0.2  # and from these grey levels on it is averaged whatever it differs by,
_STILL_FIT = 0.3  # and from these on, although it seems to move,
_STILL_MISFIT = 3.0  # if the picture is not off it by so many: what moves fits neither.
# If the median pixel is off by more, neither depth nor light explains the picture: it tells less.
_MISFIT = 2.0
_CHANGED = 6  # grey levels by which a picture changes,
_BESIDE = 3  # and pixels across that change with it, unless the last depth fits them
_NEAR = 25  # pixels across of what is near what moves by itself,
_UNCOVERED = 9  # of what it may have uncovered
_OF_CONTRADICTED = 9  # and of what points that contradict the last depth speak for
_BEHIND = 0.85  # what has less than this share of the inverse depth of what moves
_OF_BEHIND = 7  # within these pixels does not belong to it
_JUMP = 0.25  # of log depth: if half the image has changed so much, its scale has changed
_AROUND = 5  # pixels across over which measured points are compared with the last depth,
_COMPARED = 6_000  # at most about so many of them, for cost
_CONTRADICTED = 0.02  # of log depth: points that say so much else make the last depth wrong
_DOUBT = 0.4  # or by so many standard deviations of it,
_DOUBT_NEAR = 0.15  # near what moves
_SOME_DOUBT = 0.25  # of this from which on the picture is asked, too
_LARGEST = 0.3  # of log depth, of one point
_LOST_PX = 0.7  # median of unexplained flow from which on the motion is not known
_SURER = 4.0  # most that the variances of two depths differ in their weights
_SAMPLED = 4  # every fourth row and column tells what holds for the whole picture

Mask = npt.NDArray[np.bool_]


class TemporalFilter:
    """Follows the depth of one camera; one thread calls it."""

    def __init__(self) -> None:
        keep_freed_blocks()
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
        of = _Known(
            motion=known is not None,
            points=frame.points is not None and len(frame.points) > 0,
            scale=scaled.state.quality is not Quality.HELD,
        )
        flow = self._flow(now, last, of.motion)
        last.expose_as(now, flow)
        motion = self._motion_of_flow(now, flow) if known is None else known
        if motion is None:
            return scaled
        by_new = displacement(now.small_camera, now.inverse, motion)
        moved = _better_moved(now, last, motion, by_new)
        share = _compare(now, last, flow, motion, moved, by_new[:2], of)
        if not share.any():
            return scaled
        blended = now.fine + _blended(now.fine, last.fine, moved, share)
        with np.errstate(invalid="ignore", divide="ignore"):
            factor = now.fine / blended
        factor[now.fine == 0] = 1  # the sky stays where it is
        now.fine = blended
        factor = _enlarged(_known(factor, 1.0), scaled.depth_m.shape)
        depth_m = factor * scaled.depth_m
        if ((blended > 0) & (blended < np.float32(2 / FARTHEST_M))).any():
            beyond = (depth_m > np.float32(FARTHEST_M)) & (depth_m < np.inf)
            depth_m[beyond] = factor[beyond] = np.nan
        if scaled.sigma_m is None:
            return replace(scaled, depth_m=depth_m)
        # Errors of one image and the next are much alike: averaging makes depth steady, not sure.
        factor *= scaled.sigma_m
        return replace(scaled, depth_m=depth_m, sigma_m=factor)

    def _flow(self, now: _Seen, last: _Seen, motion_known: bool) -> FloatImage:
        """Optical flow; that which must tell the motion is sought near the motion before."""
        start: FloatImage = np.empty(0, np.float32)
        if not motion_known and self._motion is not None:
            du, dv, _ = displacement(now.small_camera, now.inverse, self._motion)
            start = np.asarray(cv2.merge([_known(du), _known(dv)]), np.float32)
        flow_of = self._coarse_flow if motion_known else self._fine_flow
        return np.asarray(flow_of.calc(now.grey, last.grey, start), np.float32)

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
        picture: The small picture, RGB.
        grey: Its green.
        inverse: Inverse depth of the small picture, 1/m.
        relative: Its standard deviation relative to depth.
        images: How many images its depth is the mean of.
        fine: Inverse depth of a larger picture, 1/m.
        moving: In how many images in a row each pixel of the small picture was seen to move.
    """

    frame: Frame
    camera: Camera
    small_camera: Camera
    picture: RgbImage
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

    def expose_as(self, now: _Seen, flow: FloatImage) -> None:
        """Make the picture as bright as the present one, by the flow from there to here."""
        exposure = exposure_by_flow(now.grey, self.grey, flow)
        self.grey, self.picture = exposed(self.grey, *exposure), exposed(self.picture, *exposure)


@dataclass(frozen=True)
class _Known:
    """What is known of an image.

    Attributes:
        motion: Whether its motion is, by poses.
        points: Whether points were measured.
        scale: Whether its scale was measured, not held: a scale that is held does not jump, but
            what the network says may.
    """

    motion: bool
    points: bool
    scale: bool

    @property
    def most(self) -> float:
        """How many images may count in a mean."""
        if not self.motion:
            return _MOST_BY_FLOW
        return _MOST if self.points else _MOST_UNMEASURED


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
    picture = small_picture(frame.rgb, size)
    relative = np.ones_like(depth) if sigma_m is None else _shrunk(sigma_m, size) / depth
    return _Seen(
        frame,
        camera,
        camera.resized(*size),
        picture,
        np.ascontiguousarray(picture[..., 1]),
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


def _better_moved(
    now: _Seen,
    last: _Seen,
    motion: FloatArray,
    moved: tuple[FloatImage, FloatImage, FloatImage],
) -> tuple[FloatImage, FloatImage, FloatImage]:
    """`displacement` by the last depth, the mean of some images, which the present one finds."""
    du, dv, ratio = moved
    (before,) = sample_displaced((last.inverse,), du, dv)
    before *= ratio
    before = np.where(np.isfinite(before), before, now.inverse)
    return displacement(now.small_camera, before, motion)


def _compare(
    now: _Seen,
    last: _Seen,
    flow: FloatImage,
    motion: FloatArray,
    moved: tuple[FloatImage, FloatImage, FloatImage],
    by_new: tuple[FloatImage, FloatImage],
    of: _Known,
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
    if not (of.scale and _jumped(change)) and _resemble(now.grey, grey_before):
        pictures = MovedPicture(
            now.grey,
            last.grey,
            grey_before,
            flow,
            (du, dv),
            parallax(now.small_camera, moved, motion),
            now.inverse,
        )
        now.moving = independent_motion(pictures, last.moving)
        moving = now.moving > 0 if of.points else filled(pictures, now.moving)
        near, of_it = _around(moving, now, before)
        new = picture_changed(now.picture, last.picture, du, dv, _CHANGED)
        uncovered = _grown(moving, _UNCOVERED)
        fit = _fit_of_last(pictures, by_new)
        alike = np.maximum(1 - np.square(change / np.float32(_GATE)), fit / np.float32(_FITS))
        alike = np.clip(alike, 0, 1)
        shown_still = (fit > np.float32(_STILL_FIT)) & (pictures.misfit < np.float32(_STILL_MISFIT))
        if of.motion and of.points:
            still = np.where(new | of_it, alike, np.float32(1))
            still[of_it & moving & ~shown_still] = 0
        else:
            still = alike
            still[of_it & _grown(moving, _OF_BEHIND) & ~shown_still] = 0
            images[near] = np.minimum(images[near], np.float32(_MOST_NEAR))
            fit[of_it & (fit > 0) & (pictures.misfit > np.float32(_STILL_MISFIT))] = 0
        if of.points:
            doubt = np.where(of_it, np.float32(_DOUBT_NEAR), np.float32(_DOUBT))
            allowed = np.fmax(sigma_before * doubt, np.float32(_CONTRADICTED))
            last_off, new_off = _off_points(now, before)
            excess = last_off - np.where(of_it, np.float32(0), new_off)
            still *= np.maximum(1 - np.square(np.maximum(excess, 0) / allowed), 0)
            uncovered |= _grown(last_off > np.float32(_SOME_DOUBT) * allowed, _OF_CONTRADICTED)
        new &= uncovered
        new |= _grown(new, _BESIDE) & uncovered & (fit < np.float32(_FIT))
        still[~known | new] = 0
        fit /= np.float32(_FIT)
        still *= np.where(fit < 0, np.maximum(1 + fit, 0), 1 + _FITTING * np.minimum(fit, 1))
    weight = still * _known(images)
    now.images = np.minimum(weight + 1, np.float32(of.most))
    with np.errstate(invalid="ignore", divide="ignore"):
        variances = np.clip(np.square(now.relative / sigma_before), 1 / _SURER, _SURER)
    weight *= _known(variances, 1.0)
    share: FloatImage = weight / (1 + weight)
    now.inverse = np.where(known, now.inverse + share * (before - now.inverse), now.inverse)
    now.relative = now.relative + share * _known(sigma_before - now.relative)
    return share


def _fit_of_last(pictures: MovedPicture, by_new: tuple[FloatImage, FloatImage]) -> FloatImage:
    """By how much the picture fits the last depth better than the new one.

    Where two depths differ, so do the places of the last picture where they find a pixel.

    Args:
        pictures: The two pictures; the last one is moved by the last depth.
        by_new: Columns and rows by the new depth.

    Returns:
        HxW float32, grey levels around each pixel; below 0 where the new depth fits better.
    """
    (moved,) = sample_displaced((pictures.last_grey.astype(np.float32),), *by_new)
    known = np.isfinite(moved) & np.isfinite(pictures.by_motion)
    moved = np.where(known, moved, pictures.by_motion)
    fit = misfit(moved, pictures.grey) - pictures.misfit
    typical = _median(pictures.misfit[::_SAMPLED, ::_SAMPLED].ravel())
    if typical > _MISFIT:
        fit *= np.float32((_MISFIT / typical) ** 3)
    return np.asarray(fit, np.float32)


def _around(moving: Mask, now: _Seen, before: FloatImage) -> tuple[Mask, Mask]:
    """What is near what moves by itself, and what of it is not clearly behind, now or before."""
    near = _grown(moving, _NEAR)
    if not near.any():
        return near, near
    inverse = np.where(moving, _known(now.inverse.copy()), np.float32(0))
    kernel = np.ones((_OF_BEHIND, _OF_BEHIND), np.uint8)
    behind = np.float32(_BEHIND) * np.asarray(cv2.dilate(inverse, kernel), np.float32)
    return near, near & ~((now.inverse < behind) & (before < behind))


def _off_points(now: _Seen, before: FloatImage) -> tuple[FloatImage, FloatImage]:
    """How far the last and the new depth are off the measured points around each pixel.

    A point that is farther than a depth is compared with the farthest one beside it: at edges that
    says nothing.

    Args:
        now: The present image.
        before: Inverse depth of the last one, moved into it.

    Returns:
        HxW float32 of log depth each, above 0; 0 without points.
    """
    points = now.frame.points
    if points is None or not len(points):
        return np.zeros_like(before), np.zeros_like(before)
    height, width = before.shape
    some = np.s_[:: -(-len(points) // _COMPARED)]
    u, v, z = points.u[some], points.v[some], points.z[some]
    rows = np.clip((v + 0.5) * (height / now.camera.height), 0, height - 1).astype(np.intp)
    columns = np.clip((u + 0.5) * (width / now.camera.width), 0, width - 1).astype(np.intp)
    cell = rows * width + columns
    beside = np.ones((3, 3), np.uint8)
    off = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for each in (before, now.inverse):
            farthest = np.asarray(cv2.erode(each, beside)).ravel()[cell]
            nearer = np.minimum(np.log(z * each.ravel()[cell]), 0)
            off.append(nearer + np.maximum(np.log(z * farthest), 0))
    known = np.isfinite(off[0]) & np.isfinite(off[1])
    cell = cell[known]
    total_last, total_new, count = (
        cv2.boxFilter(
            np.bincount(cell, each, before.size).reshape(before.shape).astype(np.float32),
            -1,
            (_AROUND, _AROUND),
            normalize=False,
        )
        for each in (
            np.clip(off[0][known], -_LARGEST, _LARGEST),
            np.clip(off[1][known], -_LARGEST, _LARGEST),
            np.ones(len(cell)),
        )
    )
    count = np.maximum(count, np.float32(1))
    return np.abs(total_last) / count, np.abs(total_new) / count


def _jumped(change: FloatImage) -> bool:
    """Whether a change of log depth is large all over the image, or nowhere known."""
    sample = change[::_SAMPLED, ::_SAMPLED]
    sample = sample[np.isfinite(sample)]
    return not len(sample) or abs(_median(sample)) >= _JUMP


def _median(sample: FloatImage) -> float:
    """The median of a list, without what `numpy.median` takes to look for NaN."""
    middle = len(sample) // 2
    return float(np.partition(sample, middle)[middle])


def _resemble(grey: npt.NDArray[np.uint8], before: FloatImage) -> bool:
    """Whether the picture is much like the last one moved by the camera's motion."""
    grey, before = grey[::_SAMPLED, ::_SAMPLED], before[::_SAMPLED, ::_SAMPLED]
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
