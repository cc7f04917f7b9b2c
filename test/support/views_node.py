"""The depth node with a network that sees several images, for tests of the way of the poses.

An image is a wall 4 m ahead; its red is the camera's place along x in centimetres. The network
answers in a unit of its own that is another one for every image.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from depth_anything_ros.frames import Frame, Prediction, PredictionKind, RgbImage
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.constant_estimator import ConstantEstimator
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.node import depth_node
from depth_anything_ros.node.runtime.model_loader import Networks
from depth_anything_ros.settings import ModelSettings

WALL_M = 4.0


class WallFromViews(ConstantEstimator):
    """Knows the wall and every place it was seen from."""

    def __init__(self, window: int) -> None:
        super().__init__(0.0, 1.0, PredictionKind.RELATIVE_DEPTH)
        self.window = window
        self._unit = 1.0

    def estimate_views(self, frame: Frame) -> Prediction:
        """Depth of the wall and places of the cameras in units that double."""
        self._unit *= 2
        poses = np.tile(np.eye(4), (1 + len(frame.keyframes), 1, 1))
        images: list[RgbImage] = [frame.rgb, *(each.rgb for each in frame.keyframes)]
        poses[:, 0, 3] = [self._unit * image[0, 0, 0] / 100 for image in images]
        size = frame.rgb.shape[:2]
        depth = np.full(size, self._unit * WALL_M, np.float32)
        kind = PredictionKind.DEPTH_UP_TO_SCALE
        return Prediction(depth, kind, (size[0], size[1]), poses=poses)


def load(settings: ModelSettings, experts: Sequence[str] = ()) -> Networks:
    """The network with the window of the settings."""
    kind, window = PredictionKind.RELATIVE_DEPTH, settings.window
    info = ModelInfo("wall", "none", "v3", kind, window=window)
    return Networks(LoadedModel(WallFromViews(window), info))


if __name__ == "__main__":
    sys.exit(depth_node.main(sys.argv, load))
