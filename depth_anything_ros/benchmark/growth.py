"""Cost of an image as a function of input size, image size, number of cameras and of points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.benchmark.drive import drive
from depth_anything_ros.benchmark.scaling import LOCAL_REFINEMENT, Size, scaling_contenders
from depth_anything_ros.benchmark.timing import Contender, Timing, stopwatch
from depth_anything_ros.frames import Prediction, RgbImage
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.settings import ModelSettings

IMAGE = (480, 640)
"""Rows and columns of the image on the other curves."""

INPUT_SIZES = (140, 196, 252, 350, 448, 518)
"""Shorter sides of the network's input in pixels, before they are rounded as the network needs."""

IMAGE_SIZES = ((240, 320), (480, 640), (720, 1280), (1080, 1920))
"""Rows and columns of images."""

CAMERAS = (1, 2, 4, 8)
"""Images that wait together and share one pass through the network."""

POINTS = (100, 1_000, 10_000, 100_000)
"""LiDAR points per image."""


@dataclass(frozen=True)
class Growth:
    """One curve of cost.

    Attributes:
        title: What is measured.
        axis: The varied quantity.
        contenders: What is run at each value of the axis, by label.
    """

    title: str
    axis: str
    contenders: dict[str, Contender]


def growths(model: str, threads: int) -> list[Growth]:
    """All curves, ready to be measured one after another.

    Args:
        model: Name or file of the network, run by torch in float32.
        threads: CPU threads.

    Returns:
        Input size, image size, cameras, points.

    Raises:
        CheckpointError: The model cannot be used.
    """
    ((_, frame),) = drive(*IMAGE, points=0, images=1)

    def network(input_size: int, images: Sequence[RgbImage]) -> Callable[[], Sequence[Prediction]]:
        settings = ModelSettings(model, "auto", "fp32", input_size, threads, "torch")
        estimator = make_estimator(settings).estimator
        return lambda: estimator.estimate(images)

    sized: dict[str, Contender] = {}
    for size in INPUT_SIZES:
        run = network(size, [frame.rgb])
        (seen,) = run()
        sized[str(min(seen.input_size))] = stopwatch(run)
    batches = {str(count): stopwatch(network(0, [frame.rgb] * count)) for count in CAMERAS}
    images: dict[str, Contender] = {}
    for height, width in IMAGE_SIZES:
        ((_, larger),) = drive(height, width, points=0, images=1)
        images[f"{width}x{height}"] = stopwatch(network(0, [larger.rgb]))
    points: dict[str, Contender] = {}
    for count in POINTS:
        (points[str(count)],) = scaling_contenders(
            Size(*IMAGE, count), ["sparse" + LOCAL_REFINEMENT]
        ).values()
    return [
        Growth("network, 640x480", "shorter side of its input in pixels", sized),
        Growth("network at its own input size", "image", images),
        Growth("network, 640x480, one batch", "cameras", batches),
        Growth("metres from points, 640x480", "LiDAR points per image", points),
    ]


def chart(growth: Growth, timings: dict[str, Timing]) -> str:
    """A curve as a Mermaid chart, for Markdown.

    Args:
        growth: What was measured.
        timings: Its result, by label.

    Returns:
        A fenced block of Markdown.
    """
    values = [timings[label].median_ms for label in growth.contenders]
    top = float(np.ceil(1.1 * max(values)))
    labels = ", ".join(f'"{label}"' for label in growth.contenders)
    numbers = ", ".join(f"{value:.2f}" for value in values)
    return "\n".join(
        [
            "```mermaid",
            "xychart-beta",
            f'    title "{growth.title}: milliseconds"',
            f'    x-axis "{growth.axis}" [{labels}]',
            f'    y-axis "ms" 0 --> {top:g}',
            f"    line [{numbers}]",
            "```",
        ]
    )
