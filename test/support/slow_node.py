"""The depth node with a network that takes some seconds, for tests of who waits for whom."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from depth_anything_ros.frames import Prediction, PredictionKind, RgbImage
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.constant_estimator import ConstantEstimator
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.node import depth_node
from depth_anything_ros.node.runtime.model_loader import Networks
from depth_anything_ros.settings import ModelSettings


class _Telling(ConstantEstimator):
    """Says when it begins with an image."""

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        print("the network works", flush=True)
        return super().estimate(images)


def main() -> int:
    """Run the node; `--seconds` for each image and `--load-seconds` come before ROS arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--load-seconds", type=float, default=0.0)
    options, ros = parser.parse_known_args()

    def load(settings: ModelSettings, experts: Sequence[str] = ()) -> Networks:
        time.sleep(options.load_seconds)
        kind = PredictionKind.METRIC_DEPTH
        estimator = _Telling(options.seconds, 5.0, kind)
        return Networks(LoadedModel(estimator, ModelInfo("slow", "none", "none", kind)))

    return depth_node.main([sys.argv[0], *ros], load)


if __name__ == "__main__":
    sys.exit(main())
