"""A scale source and an output that the package does not have, and the depth node with them.

One record each, as anybody may register them; nothing else of the package knows them.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from std_msgs.msg import Float32

from depth_anything_ros.frames import Frame, Prediction
from depth_anything_ros.metric.source import SCALE_SOURCES, Measurement, SourceRecord
from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest


class Doubling:
    """Says that everything is twice as far as a metric network thinks."""

    name = "doubling"

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """See `ScaleSource.measure`."""
        return Measurement(self.name, "twice as far", 2.0)

    def reset(self) -> None:
        """Nothing is remembered."""


DOUBLING = SourceRecord("doubling", 90, "everything twice as far", lambda *_: Doubling())


def _median(request: OutputRequest, last: Any) -> Float32 | None:
    depth_m = request.answer.depth_m
    return None if depth_m is None else Float32(data=float(np.nanmedian(depth_m)))


MEDIAN = Output("median_depth", 200, Float32, "median of the depth image, metres", _median)


def register() -> None:
    """Make both known."""
    SCALE_SOURCES.register(DOUBLING)
    OUTPUTS.register(MEDIAN)


def unregister() -> None:
    """Forget both."""
    SCALE_SOURCES.remove(DOUBLING.name)
    OUTPUTS.remove(MEDIAN.name)


if __name__ == "__main__":
    from depth_anything_ros.node import depth_node

    register()
    sys.exit(depth_node.main())
