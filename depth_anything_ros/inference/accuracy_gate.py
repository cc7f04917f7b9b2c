"""Whether a runtime of a network agrees with its float32 reference, with the very weights.

A backend may round too coarsely for some weights, or compute an operation wrongly; neither shows
before the weights have run. So they run once, on generated pictures, and the result is kept.
"""

from __future__ import annotations

import functools
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from depth_anything_ros.errors import DepthAnythingError, MissingExtraError
from depth_anything_ros.frames import FloatImage, PredictionKind, RgbImage
from depth_anything_ros.inference.backend import Runtime
from depth_anything_ros.inference.build_cache import get_or_build
from depth_anything_ros.inference.estimator import DepthEstimator

logger = logging.getLogger("depth_anything_ros")

LIMIT = 0.01
"""Mean relative difference from float32 up to which a runtime is taken."""

CHECK_SIZE = 252
"""Shorter side of the input at which networks of any size are compared: rounding errors hardly
depend on it, and the comparison takes a fifth of the time that it would at 518."""

_PICTURES = 4
_SHAPE = (CHECK_SIZE, CHECK_SIZE * 4 // 3)  # of a camera, with sides that differ
_FAR = (
    0.05  # share of the highest disparity below which a relative network's values only mean "far"
)
_NEAR_M = 0.1  # metres below which a metric network's values only mean "near": some give 0 at times


Load = Callable[[Runtime], DepthEstimator]


def first_that_agrees(
    runtimes: Sequence[Runtime],
    reference: Runtime,
    load: Load,
    name: str,
    made_of: Mapping[str, str],
    root: Path | None = None,
) -> Runtime:
    """The first runtime whose depth stays within `LIMIT` of the reference's.

    Each is compared once; the result is kept beside the exports. One that differs, or cannot run
    these weights, is named in a warning and the next is tried; one whose library is not installed
    is skipped.

    Args:
        runtimes: The fastest first. The last is not compared, as there is no alternative.
        reference: What the others are compared with.
        load: Loads the network for a runtime, with inputs of about `CHECK_SIZE`.
        name: Of the network.
        made_of: What the results depend on besides the runtime: weights, versions, processor.
        root: Folder of the cache; None for the user's.

    Returns:
        The runtime to take.

    Raises:
        DepthAnythingError: The reference cannot run.
    """

    @functools.cache
    def expected() -> tuple[PredictionKind, list[FloatImage]]:
        return _answers(load(reference))

    for runtime in runtimes[:-1]:

        def compare(folder: Path, runtime: Runtime = runtime) -> None:
            kind, values = expected()
            figure = difference(_answers(load(runtime))[1], values, kind)
            (folder / "difference.json").write_text(json.dumps(figure), encoding="utf-8")

        about = {**made_of, "backend": runtime.backend, "precision": runtime.precision}
        try:
            entry = get_or_build(
                f"{name}-{runtime.backend}-{runtime.precision}-check", about, compare, root
            )
        except MissingExtraError as error:
            logger.debug("%s is skipped: %s", runtime, error)
            continue
        except (DepthAnythingError, RuntimeError) as error:  # libraries raise the latter
            expected()  # weights that nothing can run are no fault of this runtime
            logger.warning("%s cannot run %s, another runtime is taken: %s", runtime, name, error)
            continue
        figure = json.loads((entry / "difference.json").read_text(encoding="utf-8"))
        if figure <= LIMIT:
            return runtime
        logger.warning(
            "%s is not used for %s: with these weights its depth differs from %s by %.1f %% on "
            "average (AbsRel), more than %g %%; name it in `backend` and `precision` to have it",
            *(runtime, name, reference, 100 * figure, 100 * LIMIT),
        )
    return runtimes[-1]


def difference(
    values: Sequence[FloatImage], reference: Sequence[FloatImage], kind: PredictionKind
) -> float:
    """How far predictions are from a reference's: the AbsRel of the depth papers.

    Relative predictions are aligned by scale and shift first, each picture by itself; the relative
    difference of disparity is that of depth. Where the reference is nearly 0 it is undefined, and
    the difference is taken as a share of the least that counts: 5 % of the picture's highest
    disparity, 0.1 m of depth.

    Args:
        values: HxW float32 each.
        reference: Likewise.
        kind: What both mean.

    Returns:
        Mean of |value - reference| / reference over all pictures' pixels; infinite where a value
        is no number.
    """
    pairs = zip(values, reference, strict=True)
    return float(np.mean([_abs_rel(ours, own, kind) for ours, own in pairs]))


def _abs_rel(values: FloatImage, reference: FloatImage, kind: PredictionKind) -> float:
    ours, own = values.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    if not np.isfinite(ours).all():
        return math.inf
    floor = _NEAR_M
    if kind is PredictionKind.RELATIVE_DISPARITY:
        spread = ours - ours.mean()
        variance = spread @ spread
        scale = (spread @ own) / variance if variance > 0 else 1.0
        ours = own.mean() + scale * spread
        floor = max(_FAR * float(own.max()), float(np.finfo(np.float32).tiny))
    return float(np.mean(np.abs(ours - own) / np.maximum(own, floor)))


def check_pictures() -> list[RgbImage]:
    """Four pictures with smooth and sharp parts, always the same.

    Returns:
        HxWx3 uint8 each, 252 x 336.
    """
    rng = np.random.default_rng(0)
    return [_picture(rng) for _ in range(_PICTURES)]


def _picture(rng: np.random.Generator) -> RgbImage:
    """Smooth random colours, boxes in front of them, grain over all."""
    height, width = _SHAPE
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
    for _ in range(12):
        top, left = int(rng.integers(0, height - 20)), int(rng.integers(0, width - 20))
        rows, columns = rng.integers(12, 90, 2)
        colour = rng.integers(0, 256, 3)
        image[top : top + rows, left : left + columns] = colour
    grain = rng.normal(0, 6, image.shape)
    return np.clip(np.rint(image + grain), 0, 255).astype(np.uint8)


def _answers(estimator: DepthEstimator) -> tuple[PredictionKind, list[FloatImage]]:
    """Its values for the pictures, one at a time as from a camera."""
    return estimator.kind, [estimator.estimate([picture])[0].values for picture in check_pictures()]
