"""Stereo pairs on their way to their files."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from depth_anything_ros.api import DepthFrame, load
from depth_anything_ros.formats import results
from depth_anything_ros.formats.media import read_image, write_image
from depth_anything_ros.formats.preview import DepthColors, side_by_side
from depth_anything_ros.frames import (
    Frame,
    Prediction,
    PredictionKind,
    Quality,
    RgbImage,
    ScaleState,
    SparsePoints,
)
from depth_anything_ros.geometry.stereo import StereoRig
from depth_anything_ros.inference.stereo import STEREO_MATCHERS, StereoDepth, stereo_depth

RigOfSize = Callable[[int, int], StereoRig]
"""From (width, height) of an image to the cameras."""

_STEP = 8
"""Pixels between two of the points that a scaler takes; neighbours share their error."""

_SURE = 0.8
"""Confidence of these points at least."""


class PairMatcher:
    """Stereo pairs on their way to their files.

    Args:
        rig_of_size: From (width, height) of the left image to the cameras.
        model: Name of a matcher, or of a network that gets its metres from the default one.
        nearest: Metres, as `stereo_depth` takes it.

    Raises:
        DepthAnythingError: The network cannot be had.
    """

    def __init__(self, rig_of_size: RigOfSize, model: str, nearest: float) -> None:
        self._rig_of_size = rig_of_size
        self._nearest = nearest
        matches = model in STEREO_MATCHERS.names()
        self._matcher = model if matches else STEREO_MATCHERS.names()[0]
        self._network = None if matches else load(model)

    def write(self, left: Path, right: Path, folder: Path, cloud: bool, overwrite: bool) -> str:
        """Match a pair and write what came of it.

        Args:
            left: The left image.
            right: The right image.
            folder: Where the files go.
            cloud: Write a point cloud.
            overwrite: Replace files that this program did not write.

        Returns:
            What came of it, as a line for the user.

        Raises:
            InputError: An image cannot be used, or another file is in the way.
            SettingError: The nearest depth is out of reach.
        """
        rgb = read_image(left)
        rig = self._rig_of_size(rgb.shape[1], rgb.shape[0])
        start = time.perf_counter()
        found = stereo_depth(rgb, read_image(right), rig, self._matcher, self._nearest)
        points = stereo_points(found)
        answer = self._answer(rgb, rig, found, points)
        milliseconds = 1000 * (time.perf_counter() - start)
        colors = DepthColors()
        picture = side_by_side(rgb, answer.preview(colors=colors), colors.legend())
        writers = answer.writers(cloud=cloud)
        writers["_preview.png"] = lambda path: write_image(path, picture)
        writers["_points.npz"] = lambda path: np.savez(path, u=points.u, v=points.v, z=points.z)
        report = answer.describe() | {"source": [left.name, right.name]}
        report["timing_ms"] = round(milliseconds, 3)
        results.write_results(folder / left.stem, writers, report, overwrite=overwrite)
        known = np.isfinite(answer.values)
        if not known.any():
            return (
                f"{left.name}: nothing matches; is LEFT the left image, and is the pair rectified?"
            )
        sigma = "" if answer.sigma_m is None else f"sigma {np.nanmedian(answer.sigma_m):.3f} m, "
        return (
            f"{folder / left.stem}: {100 * known.mean():.0f} % of the pixels, median "
            f"{np.nanmedian(answer.values):.2f} m, {sigma}{len(points)} points"
        )

    def _answer(
        self, rgb: RgbImage, rig: StereoRig, found: StereoDepth, points: SparsePoints
    ) -> DepthFrame:
        """The matcher's depth, or that of the network scaled by the matcher's surest points."""
        if self._network is not None:
            return self._network(Frame(rgb, camera=rig.camera, points=points))
        share = float(np.isfinite(found.depth_m).mean())
        return DepthFrame(
            frame=Frame(rgb, camera=rig.camera),
            prediction=Prediction(found.depth_m, PredictionKind.METRIC_DEPTH, rgb.shape[:2]),
            depth_m=found.depth_m,
            confidence=found.confidence,
            sigma_m=found.sigma_m,
            scale_state=ScaleState(
                "stereo",
                Quality.GOOD,
                f"matched both ways with a baseline of {rig.baseline:g} m, "
                f"{100 * share:.0f} % agree",
            ),
            metres=True,
            model={
                "model": self._matcher,
                "kind": PredictionKind.METRIC_DEPTH.value,
                "licence": STEREO_MATCHERS.get(self._matcher).licence,
            },
        )


def stereo_points(found: StereoDepth) -> SparsePoints:
    """The surest pixels, one of each 8x8 block at most, as a scaler takes them."""
    rows, columns = np.mgrid[
        _STEP // 2 : found.depth_m.shape[0] : _STEP, _STEP // 2 : found.depth_m.shape[1] : _STEP
    ].reshape(2, -1)
    sure = found.confidence[rows, columns] >= _SURE
    rows, columns = rows[sure], columns[sure]
    z = found.depth_m[rows, columns].astype(np.float64)
    return SparsePoints(columns.astype(np.float64), rows.astype(np.float64), z, "stereo")
