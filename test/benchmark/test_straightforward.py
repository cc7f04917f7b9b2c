"""The straightforward implementations give the same numbers as the package's."""

from __future__ import annotations

import numpy as np

from depth_anything_ros.benchmark.straightforward import (
    straightforward_input,
    straightforward_metres,
)
from depth_anything_ros.frames import Prediction, PredictionKind
from depth_anything_ros.inference.preprocess import Normaliser, network_size
from depth_anything_ros.metric.apply import to_metres


def test_the_straightforward_way_gives_the_same() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    size = network_size(120, 160, 140)
    pixels = np.empty((*size, 3), np.float32)
    Normaliser(size).into(rgb, pixels)
    theirs = straightforward_input(np.ascontiguousarray(rgb[..., ::-1]), size)
    np.testing.assert_allclose(theirs[0].transpose(1, 2, 0), pixels, atol=1e-3)
    disparity = rng.uniform(0.1, 1.0, (120, 160)).astype(np.float32)
    prediction = Prediction(disparity, PredictionKind.RELATIVE_DISPARITY, size)
    np.testing.assert_allclose(
        straightforward_metres(disparity, 0.4, 0.02), to_metres(prediction, 0.4, 0.02), rtol=1e-5
    )
