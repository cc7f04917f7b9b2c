"""One pass of a torch network over an image and the keyframes before it."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from depth_anything_ros.frames import FloatArray, Frame, Keyframe, RgbImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.inference.preprocess import Normaliser
from depth_anything_ros.network.preprocessing import Preprocessing
from depth_anything_ros.network.several_views import Features, SeveralViewsNetwork


class ViewsPass:
    """Image bytes and known poses to the depth of the newest image.

    What the network computes of a keyframe alone is kept as long as the keyframe is: those are the
    very numbers that a new pass would give. All that depends on the other images is computed
    anew, and depth of the newest image only.

    Args:
        network: The network, on the device and in `dtype`, in inference mode.
        rule: How an image becomes the input.
        device: Where the network is.
        dtype: What the network takes.
    """

    def __init__(
        self,
        network: SeveralViewsNetwork,
        rule: Preprocessing,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._network, self._rule = network, rule
        self._device, self._dtype = device, dtype
        self._normaliser = Normaliser((0, 0), rule)
        self._kept: WeakKeyDictionary[Keyframe, tuple[tuple[int, int], Features]] = (
            WeakKeyDictionary()
        )

    @torch.inference_mode()
    def run(
        self, frame: Frame, size: tuple[int, int]
    ) -> tuple[npt.NDArray[np.float32], FloatArray]:
        """Predict.

        Args:
            frame: The image with its camera and keyframes.
            size: (height, width) of the network's input.

        Returns:
            K x H x W float32, the outputs of the network at the image's size, and poses Nx4x4 of
            the image and its keyframes in the network's own world and unit.
        """
        if self._normaliser.size != size:
            self._normaliser = Normaliser(size, self._rule)
        features = [self._features(frame.rgb)]
        features += [self._of_keyframe(each, size) for each in frame.keyframes]
        answer = self._network.answer_views(features, size, *self._cameras(frame, size))
        outputs = torch.stack(list(answer.outputs.values()))[None]
        aligned = self._network.align_corners
        resized = F.interpolate(
            outputs, frame.rgb.shape[:2], mode="bilinear", align_corners=aligned
        )[0]
        return resized.cpu().numpy(), answer.poses.double().cpu().numpy()

    def _of_keyframe(self, keyframe: Keyframe, size: tuple[int, int]) -> Features:
        kept = self._kept.get(keyframe)
        if kept is None or kept[0] != size:
            kept = size, self._features(keyframe.rgb)
            self._kept[keyframe] = kept
        return kept[1]

    def _features(self, rgb: RgbImage) -> Features:
        pixels = np.empty((*self._normaliser.size, 3), np.float32)
        self._normaliser.into(rgb, pixels)
        image = torch.from_numpy(pixels).permute(2, 0, 1).to(self._device, self._dtype)
        return self._network.view_features(image)

    def _cameras(
        self, frame: Frame, size: tuple[int, int]
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Extrinsics and intrinsics of all images; none of them where one is not known."""
        if frame.pose is None or frame.camera is None:
            return None, None
        poses = np.array([frame.pose, *(each.pose for each in frame.keyframes)])
        cameras = [frame.camera, *(each.camera for each in frame.keyframes)]
        lenses = np.array([_at_size(camera, size) for camera in cameras])
        # Relative to the newest first, in double: odometry may be far from its origin.
        relative = np.linalg.inv(poses) @ frame.pose
        return tuple(  # type: ignore[return-value]
            torch.from_numpy(each).to(self._device, torch.float32) for each in (relative, lenses)
        )


def _at_size(camera: Camera, size: tuple[int, int]) -> FloatArray:
    """K in pixels of the network's input, as the official input_processor.py scales it."""
    across, down = size[1] / camera.width, size[0] / camera.height
    return np.array(
        [
            [camera.fx * across, 0, camera.cx * across],
            [0, camera.fy * down, camera.cy * down],
            [0, 0, 1],
        ]
    )
