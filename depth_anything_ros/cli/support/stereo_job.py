"""One stereo pair on its way to its files."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from depth_anything_ros.api import DepthFrame
from depth_anything_ros.formats import results
from depth_anything_ros.formats.media import read_image, write_image
from depth_anything_ros.formats.preview import DepthColors, side_by_side
from depth_anything_ros.frames import (
    Frame,
    Prediction,
    PredictionKind,
    Quality,
    ScaleState,
    SparsePoints,
)
from depth_anything_ros.geometry.stereo import StereoRig
from depth_anything_ros.inference.stereo import StereoDepth, stereo_depth

RigOfSize = Callable[[int, int], StereoRig]
"""From (width, height) of an image to the cameras."""

_STEP = 8
"""Pixels between two of the points that a scaler takes; neighbours share their error."""

_SURE = 0.8
"""Confidence of these points at least."""


def match_pair(
    left: Path,
    right: Path,
    rig_of_size: RigOfSize,
    matcher: str,
    nearest: float,
    folder: Path,
    cloud: bool,
    overwrite: bool,
) -> str:
    """Match a pair and write what came of it.

    Args:
        left: The left image.
        right: The right image.
        rig_of_size: From (width, height) of the left image to the cameras.
        matcher: Name of the matcher.
        nearest: Metres, as `stereo_depth` takes it.
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
    rig = rig_of_size(rgb.shape[1], rgb.shape[0])
    start = time.perf_counter()
    found = stereo_depth(rgb, read_image(right), rig, matcher, nearest)
    milliseconds = 1000 * (time.perf_counter() - start)
    known = np.isfinite(found.depth_m)
    share = float(known.mean())
    answer = DepthFrame(
        frame=Frame(rgb, camera=rig.camera),
        prediction=Prediction(found.depth_m, PredictionKind.METRIC_DEPTH, rgb.shape[:2]),
        depth_m=found.depth_m,
        confidence=found.confidence,
        sigma_m=found.sigma_m,
        scale_state=ScaleState(
            "stereo",
            Quality.GOOD,
            f"matched both ways with a baseline of {rig.baseline:g} m, {100 * share:.0f} % agree",
        ),
        metres=True,
        model={
            "model": matcher,
            "kind": PredictionKind.METRIC_DEPTH.value,
            "licence": "Apache-2.0",
        },
    )
    colors = DepthColors()
    picture = side_by_side(rgb, answer.preview(colors=colors), colors.legend())
    points = stereo_points(found)
    writers = answer.writers(cloud=cloud)
    writers["_preview.png"] = lambda path: write_image(path, picture)
    writers["_points.npz"] = lambda path: np.savez(path, u=points.u, v=points.v, z=points.z)
    report = answer.describe() | {"source": [left.name, right.name]}
    report["timing_ms"] = round(milliseconds, 3)
    results.write_results(folder / left.stem, writers, report, overwrite=overwrite)
    if not known.any():
        return f"{left.name}: nothing matches; is LEFT the left image, and is the pair rectified?"
    return (
        f"{folder / left.stem}: {100 * share:.0f} % of the pixels, median "
        f"{np.nanmedian(found.depth_m):.2f} m, sigma {np.nanmedian(found.sigma_m):.3f} m, "
        f"{len(points)} points"
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
