"""A mask of noise does not hold the worker."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from depth_anything_ros.frames import (
    DepthFrame,
    Frame,
    Prediction,
    PredictionKind,
    Quality,
    ScaleState,
)
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.node.camera.output import OutputRequest
from depth_anything_ros.node.camera.outputs.objects import MASK, _objects
from depth_anything_ros.node.parameters import NodeParameters

SIZE = (480, 640)


class Log:
    """Keeps what is warned of."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


def request_of(labels: np.ndarray[Any, np.dtype[np.uint16]]) -> tuple[OutputRequest, Log]:
    depth = np.full(SIZE, 3.0, np.float32)
    frame = Frame(
        np.zeros((*SIZE, 3), np.uint8), 1, "cam", Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
    )
    prediction = Prediction(depth, PredictionKind.METRIC_DEPTH, SIZE)
    answer = DepthFrame(frame, prediction, depth, None, ScaleState("n", Quality.GOOD, ""))
    mask = Image(height=SIZE[0], width=SIZE[1], encoding="16UC1", step=2 * SIZE[1])
    mask.data.frombytes(labels.astype("<u2").tobytes())
    log = Log()
    made: Any = OutputRequest(answer, Header(), NodeParameters(), "", "", None, log)  # type: ignore[arg-type]
    made.companions[MASK.topic] = mask
    return made, log


def test_noise_has_no_objects() -> None:
    """It once took minutes."""
    rng = np.random.default_rng(0)
    request, _ = request_of(rng.integers(0, 65536, SIZE).astype(np.uint16))
    assert _objects(request) == []


def test_the_largest_of_too_many_are_measured() -> None:
    labels = np.zeros(SIZE, np.uint16)
    blocks = labels.reshape(48, 10, 64, 10)
    blocks[:24, :, :32] = np.arange(1, 24 * 32 + 1, dtype=np.uint16).reshape(24, 1, 32, 1)
    labels[300:400, 400:600] = 5000
    request, log = request_of(labels)
    objects = _objects(request)
    assert objects is not None
    assert len(objects) == 256
    assert 5000 in {each.label for each in objects}
    assert log.said == ["the mask has 769 labels; the 256 largest objects are measured"]


@pytest.mark.parametrize("labels", [{1: (40, 80), 9: (200, 260)}])
def test_a_few_labels_stay_as_they_are(labels: dict[int, tuple[int, int]]) -> None:
    picture = np.zeros(SIZE, np.uint16)
    for label, (low, high) in labels.items():
        picture[low:high, low:high] = label
    request, log = request_of(picture)
    objects = _objects(request)
    assert objects is not None
    assert [each.label for each in objects] == [1, 9]
    assert log.said == []
