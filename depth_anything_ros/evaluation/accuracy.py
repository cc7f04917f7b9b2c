"""Scores of a network on an index of images with measured depth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.evaluation.boundaries import boundary_f1
from depth_anything_ros.evaluation.metrics import (
    DepthErrors,
    aligned_depth,
    depth_errors,
    mean_errors,
    scored_pixels,
)
from depth_anything_ros.evaluation.protocol import Protocol
from depth_anything_ros.formats.depth_files import read_depth
from depth_anything_ros.formats.depth_index import DepthSample
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.frames import Frame, Prediction
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.metric.sources.focal import FocalSource


@dataclass(frozen=True)
class SampleScore:
    """Scores of one image.

    Attributes:
        image: The picture.
        pixels: How many pixels were scored.
        errors: The papers' figures.
        boundary_f1: Sharpness at occluding edges; NaN where the truth has none.
    """

    image: Path
    pixels: int
    errors: DepthErrors
    boundary_f1: float

    def figures(self) -> dict[str, float]:
        """All figures by name."""
        return asdict(self.errors) | {"boundary_f1": self.boundary_f1}


def score_depth(
    samples: Iterable[DepthSample],
    estimator: DepthEstimator,
    protocol: Protocol,
    training_focal: float | None = None,
) -> Iterator[SampleScore]:
    """Run a network over images of measured depth.

    Args:
        samples: The images.
        estimator: The network.
        protocol: What is scored, and how.
        training_focal: Focal length in pixels at the network's input in training; where given,
            metric depth is first corrected for each image's own focal length.

    Yields:
        One score per image, in order.

    Raises:
        InputError: A file cannot be read, has nothing to score, or names no camera where the focal
            length is to be corrected; the message names it.
        SettingError: The protocol does not fit the network or the images.
    """
    focal = FocalSource(training_focal) if training_focal is not None else None
    for sample in samples:
        try:
            rgb = read_image(sample.image)
            truth = read_depth(sample.depth, sample.png_scale)
            (prediction,) = estimator.estimate([rgb])
            if focal is not None:
                prediction = _corrected(prediction, focal, sample)
            depth = aligned_depth(prediction, truth, protocol)
            scored = scored_pixels(truth, protocol)
            errors = depth_errors(
                depth[scored].astype(np.float64), truth[scored].astype(np.float64)
            )
        except (InputError, SettingError) as error:
            raise type(error)(f"{sample.image.name}: {error}") from error
        edges = boundary_f1(depth, np.where(scored, truth, np.float32(np.nan)))
        yield SampleScore(sample.image, int(np.count_nonzero(scored)), errors, edges)


def mean_figures(scores: Sequence[SampleScore]) -> dict[str, float]:
    """Average scores over images.

    Args:
        scores: At least one.

    Returns:
        All figures by name; the boundary F1 over the images that have edges, NaN if none has.
    """
    edges = [score.boundary_f1 for score in scores if np.isfinite(score.boundary_f1)]
    mean_edges = float(np.mean(edges)) if edges else float("nan")
    return asdict(mean_errors([score.errors for score in scores])) | {"boundary_f1": mean_edges}


def _corrected(prediction: Prediction, focal: FocalSource, sample: DepthSample) -> Prediction:
    if sample.intrinsics is None:
        raise InputError("the index has no fx, fy, cx, cy, which the focal correction needs")
    height, width = prediction.values.shape
    frame = Frame(
        np.zeros((height, width, 3), np.uint8), camera=Camera(width, height, *sample.intrinsics)
    )
    scale = focal.measure(prediction, frame).scale
    return Prediction(
        np.asarray(prediction.values * np.float32(scale), np.float32),
        prediction.kind,
        prediction.input_size,
    )
