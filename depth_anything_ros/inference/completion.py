"""Networks that finish depth which measured points have brought to metres.

Prior Depth Anything (Wang et al. 2025) has two stages: a coarse one that fits a network's depth to
the points, and a network that is shown the image, the points and the coarse depth. Here the
coarse stage is this package's own fusion. Prompt Depth Anything (Lin et al. 2024) is shown the
image and depth of few pixels, here the coarse depth made small.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from depth_anything_ros.frames import FloatImage, RgbImage, SparsePoints
from depth_anything_ros.inference.backends.torch.devices import choose_device
from depth_anything_ros.inference.preprocess import Normaliser, network_size
from depth_anything_ros.network.checkpoints.find import resolve
from depth_anything_ros.network.checkpoints.identify import log_licence
from depth_anything_ros.network.checkpoints.read import read_checkpoint
from depth_anything_ros.network.families.prior_depth_anything.checkpoint import build
from depth_anything_ros.network.families.prior_depth_anything.network import PriorDepthAnything
from depth_anything_ros.network.families.prompt_depth_anything import (
    checkpoint as prompt_checkpoint,
)
from depth_anything_ros.network.families.prompt_depth_anything.network import PromptDepthAnything
from depth_anything_ros.network.model_info import INPUT_SIZE

_PROMPT_SIDE = 256
"""Longer side of the prompt, that of the depth Prompt Depth Anything was made for (ARKit)."""


class PriorCompletion:
    """Runs the second stage.

    Args:
        network: It; moved to the device in place.
        device: As in `choose_device`.
        input_size: Shorter side of the network's input in pixels.
    """

    def __init__(
        self, network: PriorDepthAnything, device: str = "auto", input_size: int = INPUT_SIZE
    ) -> None:
        self._device = choose_device(device)
        self._network = network.eval().requires_grad_(False).to(self._device)
        self._input_size = input_size
        self._normaliser = Normaliser((0, 0))

    @torch.inference_mode()
    def complete(
        self, rgb: RgbImage, fitted: FloatImage, coarse: FloatImage, points: SparsePoints
    ) -> FloatImage:
        """Finish the depth of an image.

        Depth is shown to the network between 0 at the nearest point and 1 at the farthest
        (official __init__.py, zero_one_normalize).

        Args:
            rgb: HxWx3 uint8.
            fitted: HxW float32 1/m, network depth brought to metres by one scale and shift.
            coarse: HxW float32 1/m that follows the points.
            points: They; at least two different depths.

        Returns:
            HxW float32 1/m; NaN where the network gives none.
        """
        height, width = rgb.shape[:2]
        rows = np.clip(np.rint(points.v), 0, height - 1).astype(np.intp)
        columns = np.clip(np.rint(points.u), 0, width - 1).astype(np.intp)
        there = np.zeros((height, width), np.float32)
        there[rows, columns] = 1
        covered = coarse.copy()
        covered[rows, columns] = 1 / points.z
        nearest, span = float(points.z.min()), float(np.ptp(points.z)) or 1.0
        maps = np.stack([there, *(_normalised(each, nearest, span) for each in (fitted, covered))])
        disparity = self._predict(rgb, maps)
        with np.errstate(divide="ignore"):
            metres = span / disparity + nearest
        return np.where(disparity > 0, 1 / metres, np.float32(np.nan)).astype(np.float32)

    def _predict(self, rgb: RgbImage, maps: FloatImage) -> FloatImage:
        """The network's disparity at the image's size, of an image and maps of that size."""
        height, width = rgb.shape[:2]
        size = network_size(height, width, self._input_size)
        if self._normaliser.size != size:
            self._normaliser = Normaliser(size)
        pixels = np.empty((*size, 3), np.float32)
        self._normaliser.into(np.ascontiguousarray(rgb[..., ::-1]), pixels)
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(self._device)
        condition = torch.from_numpy(maps)[None].to(self._device)
        condition = F.interpolate(condition, size, mode="bilinear", align_corners=True)
        out = self._network(torch.cat([image, condition], 1))[:, None]
        resized = F.interpolate(out, (height, width), mode="bilinear", align_corners=True)
        return resized[0, 0].cpu().numpy()


class PromptCompletion:
    """Runs Prompt Depth Anything.

    Args:
        network: It; moved to the device in place.
        device: As in `choose_device`.
        input_size: Shorter side of the network's input in pixels.
    """

    def __init__(
        self, network: PromptDepthAnything, device: str = "auto", input_size: int = INPUT_SIZE
    ) -> None:
        self._device = choose_device(device)
        self._network = network.eval().requires_grad_(False).to(self._device)
        self._input_size = input_size
        self._normaliser = Normaliser((0, 0))

    @torch.inference_mode()
    def complete(
        self, rgb: RgbImage, fitted: FloatImage, coarse: FloatImage, points: SparsePoints
    ) -> FloatImage:
        """Add detail to coarse depth.

        Args:
            rgb: HxWx3 uint8.
            fitted: Not used.
            coarse: HxW float32 1/m that follows the points.
            points: Their farthest bounds the prompt, where coarse depth is unknown or beyond.

        Returns:
            HxW float32 1/m.
        """
        height, width = rgb.shape[:2]
        size = network_size(height, width, self._input_size)
        if self._normaliser.size != size:
            self._normaliser = Normaliser(size)
        pixels = np.empty((*size, 3), np.float32)
        self._normaliser.into(rgb, pixels)
        farthest = np.float32(1.5 * points.z.max())
        metres = _reciprocal(np.nan_to_num(coarse, nan=0.0))
        metres = np.where((metres > 0) & (metres < farthest), metres, farthest)
        share = min(_PROMPT_SIDE / max(height, width), 1.0)
        small = (max(round(share * width), 1), max(round(share * height), 1))
        prompt = np.asarray(cv2.resize(metres, small, interpolation=cv2.INTER_AREA), np.float32)
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(self._device)
        out = self._network(image, torch.from_numpy(prompt)[None, None].to(self._device))[:, None]
        resized = F.interpolate(out, (height, width), mode="bilinear", align_corners=False)
        return _reciprocal(resized[0, 0].cpu().numpy())


@functools.lru_cache(maxsize=2)
def load_completion(model: str, device: str = "auto") -> PriorCompletion | PromptCompletion:
    """A network for the refinement `prior`, loaded once and shared by all cameras.

    Args:
        model: Catalogue name or path of a file.
        device: As in `choose_device`.

    Returns:
        It, ready.

    Raises:
        CheckpointError: The model cannot be found or used.
    """
    file = resolve(model)
    state, _ = read_checkpoint(file.path)
    if file.info is not None:
        log_licence(file.info)
    if prompt_checkpoint.recognises(state):
        return PromptCompletion(prompt_checkpoint.build(state, file.path), device)
    return PriorCompletion(build(state, file.path), device)


def _normalised(inverse_m: FloatImage, nearest: float, span: float) -> FloatImage:
    """Disparity of depth that is 0 at the nearest point and 1 at the farthest, 0 where unknown."""
    depth = (_reciprocal(inverse_m) - np.float32(nearest)) / np.float32(span)
    return _reciprocal(depth)


def _reciprocal(values: FloatImage) -> FloatImage:
    """1 / values, 0 where they are not above 0 (official utils.py, depth2disparity)."""
    out = np.zeros_like(values)
    np.divide(1, values, out=out, where=values > 0)
    return out
