"""Follows what moves by itself in the images of a camera whose own motion is known."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, Frame
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.camera_motion import (
    displacement,
    parallax,
    sample_displaced,
    small_picture,
)
from depth_anything_ros.metric.exposure import exposed, exposure_by_flow
from depth_anything_ros.metric.independent_motion import (
    Mask,
    MovedPicture,
    filled,
    independent_motion,
)

_COLUMNS = 160  # of the pictures that are compared; `independent_motion` counts in its pixels
_LONGEST_GAP = 1.0  # seconds between two images that still follow each other
_AROUND = 9  # pixels across around what is seen to move, for its outline is blurred
_LASTING, _AROUND_LASTING = 3.0, 5  # images after which what moves is no mistake, pixels around it


@dataclass(frozen=True)
class Moving:
    """What moves by itself in an image.

    Attributes:
        perhaps: HxW bool, what is seen to move, with what is close around it.
        surely: HxW bool, what has been seen to move in three images in a row.
    """

    perhaps: Mask
    surely: Mask


class MovingThings:
    """Remembers the last picture of one camera and what moved in it; one thread calls it."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(1)
        self._last: _Seen | None = None

    def seen(self, depth_m: FloatImage, frame: Frame) -> Moving:
        """What moves by itself in a frame.

        Args:
            depth_m: HxW float32 metres, NaN where unknown.
            frame: The frame; without camera and pose nothing is seen to move.

        Returns:
            It, in the size of the depth.
        """
        last, self._last = self._last, None
        nothing = np.zeros(depth_m.shape, np.bool_)
        camera, pose = frame.camera, frame.pose
        if camera is None or pose is None:
            return Moving(nothing, nothing)
        size = (_COLUMNS, max(8, round(_COLUMNS * camera.height / camera.width)))
        grey = np.ascontiguousarray(small_picture(frame.rgb, size)[..., 1])
        now = _Seen(frame, camera, np.array(pose), grey, np.zeros(grey.shape, np.float32))
        self._last = now
        if last is None or not now.follows(last):
            return Moving(nothing, nothing)
        small = cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST_EXACT)
        inverse = np.float32(1) / np.asarray(small, np.float32)
        small_camera = camera.resized(*size)
        motion = np.linalg.inv(last.pose) @ now.pose
        moved = displacement(small_camera, inverse, motion)
        start: FloatImage = np.empty(0, np.float32)
        flow = np.asarray(self._flow.calc(grey, last.grey, start), np.float32)
        before = exposed(last.grey, *exposure_by_flow(grey, last.grey, flow))
        (by_motion,) = sample_displaced((before.astype(np.float32),), *moved[:2])
        pictures = MovedPicture(
            grey,
            before,
            by_motion,
            flow,
            moved[:2],
            parallax(small_camera, moved, motion),
            inverse,
        )
        now.images[:] = independent_motion(pictures, last.images)
        perhaps = filled(pictures, now.images)
        return Moving(
            _enlarged(perhaps, _AROUND, depth_m.shape),
            _enlarged(now.images >= _LASTING, _AROUND_LASTING, depth_m.shape),
        )


@dataclass(frozen=True)
class _Seen:
    """A picture.

    Attributes:
        frame: Its frame.
        camera: The camera of the frame.
        pose: 4x4, optical frame -> fixed frame.
        grey: HxW uint8, the small picture.
        images: HxW float32, in how many images in a row each of its pixels has moved.
    """

    frame: Frame
    camera: Camera
    pose: FloatArray
    grey: npt.NDArray[np.uint8]
    images: FloatImage

    def follows(self, last: _Seen) -> bool:
        """Whether this picture comes from the same camera shortly after another one."""
        gap = self.frame.stamp - last.frame.stamp
        same = self.camera == last.camera and self.frame.fixed_frame == last.frame.fixed_frame
        return same and 0 < gap < _LONGEST_GAP * 1e9


def _enlarged(mask: Mask, around: int, shape: tuple[int, ...]) -> Mask:
    """A mask, with pixels around it, in another size."""
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((around, around), np.uint8))
    return np.asarray(cv2.resize(grown, shape[::-1], interpolation=cv2.INTER_NEAREST) > 0)
