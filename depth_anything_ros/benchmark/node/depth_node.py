"""The depth node as it is, with a network whose every call is timed."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence

from depth_anything_ros.benchmark.node.parent import end_with_parent
from depth_anything_ros.frames import Prediction, RgbImage
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.constant_estimator import ConstantEstimator
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.node import depth_node
from depth_anything_ros.node.runtime.model_loader import Networks, load_and_warm
from depth_anything_ros.settings import ModelSettings


class TimedEstimator:
    """A network and how long its calls took.

    Args:
        estimator: The network.

    Attributes:
        milliseconds: Of every call, in order.
    """

    def __init__(self, estimator: DepthEstimator) -> None:
        self.kind = estimator.kind
        self.device = estimator.device
        self.precision = estimator.precision
        self.backend = estimator.backend
        self.milliseconds: list[float] = []
        self._estimator = estimator

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        """See `DepthEstimator.estimate`."""
        start = time.perf_counter()
        answers = self._estimator.estimate(images)
        self.milliseconds.append(1e3 * (time.perf_counter() - start))
        return answers

    def warm_up(self, height: int, width: int, batch: int = 1) -> None:
        """See `DepthEstimator.warm_up`; not counted."""
        self._estimator.warm_up(height, width, batch)


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it or standard input ends, then print how long the network took.

    The last line on standard output is JSON: `network_ms`, the milliseconds of every call.

    Args:
        arguments: `[--network-ms MS]`, then ROS arguments; None takes the process's own. With
            `--network-ms` the network is a `ConstantEstimator`, else that of the parameters.

    Returns:
        As `depth_node.main`.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--network-ms", type=float)
    options, ros = parser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    end_with_parent()
    calls: list[list[float]] = []  # of each network; the networks themselves must be free to go

    def load(settings: ModelSettings, experts: Sequence[str] = ()) -> Networks:
        if options.network_ms is None:
            networks = load_and_warm(settings, experts)
        else:
            constant = ConstantEstimator(options.network_ms * 1e-3)
            info = ModelInfo("constant", "none", "none", constant.kind)
            networks = Networks(LoadedModel(constant, info))
        timed = TimedEstimator(networks.model.estimator)
        calls.append(timed.milliseconds)
        return dataclasses.replace(
            networks, model=dataclasses.replace(networks.model, estimator=timed)
        )

    status = depth_node.main([sys.argv[0], *ros], load)
    print(json.dumps({"network_ms": [each for network in calls for each in network]}), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
