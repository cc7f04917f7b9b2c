"""Draws to learn from: what the correction would see, and what it should answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import reading
from depth_anything_ros.frames import Frame, Prediction, PredictionKind
from depth_anything_ros.metric.apply import to_inverse
from depth_anything_ros.metric.correction import evidence
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.fusion import fuse
from depth_anything_ros.metric.sources.sparse import SparseSource
from depth_anything_ros.training.sparse.draw_files import Picture
from depth_anything_ros.training.sparse.networks import nearly_right, spoilt
from depth_anything_ros.training.sparse.sensors import measured_points

DRAWS = 5
"""Draws of one picture."""

# Own choices.
_NUMBERS = ((8, 300), (300, 2_000), (2_000, 8_000))  # of points, uniform in their logarithm
_SHARE_OF_NUMBERS = (0.45, 0.4, 0.15)
_NEARLY_RIGHT = 0.3  # share of draws with a network that is nearly right
_SPOILT = 0.7  # share of the others whose network is made worse
_LARGEST = 3.0  # logarithm of the wanted factor


@dataclass(frozen=True)
class Draw:
    """One lattice.

    Attributes:
        seen: C x rows x columns float16, as of `metric.correction.evidence`.
        wanted: Rows x columns float16 logarithm of the factor that makes the kriged value right;
            NaN where the true depth is not known.
    """

    seen: npt.NDArray[np.float16]
    wanted: npt.NDArray[np.float16]


def draws_of(rng: np.random.Generator, picture: Picture) -> Iterator[Draw]:
    """Draws of one picture.

    Args:
        rng: Decides everything.
        picture: It.
    """
    rgb, depth_m, disparities = picture.rgb, picture.depth_m, picture.disparities
    source = SparseSource()
    for _ in range(DRAWS):
        if rng.random() < _NEARLY_RIGHT:
            disparity = nearly_right(rng, depth_m)
        else:
            disparity = disparities[int(rng.integers(len(disparities)))]
            if rng.random() < _SPOILT:
                disparity = spoilt(rng, disparity)
        few, many = _NUMBERS[int(rng.choice(len(_NUMBERS), p=_SHARE_OF_NUMBERS))]
        count = int(np.exp(rng.uniform(np.log(few), np.log(many))))
        points = measured_points(rng, depth_m, rgb, count)
        if points is None:
            continue
        prediction = Prediction(disparity, PredictionKind.RELATIVE_DISPARITY, disparity.shape)
        try:
            measured = source.measure(prediction, Frame(rgb, points=points))
        except UnmeasurableError:
            continue
        if measured.points is None:
            continue
        inverse = to_inverse(prediction, measured.scale, measured.shift)
        fused = fuse(inverse, measured.points, 0, rgb)
        if fused is None:
            continue
        seen = evidence(fused.few, fused.lattice, fused.value, fused.left_out, fused.reach)
        rows, columns = (
            ((np.arange(nodes) + 0.5) * side / nodes).astype(np.intp)
            for nodes, side in zip(fused.value.shape, depth_m.shape, strict=True)
        )
        true = depth_m[rows][:, columns]
        with np.errstate(invalid="ignore", divide="ignore"):
            wanted = -np.log(true) - np.log(np.maximum(fused.value, np.float32(1e-6)))
        wanted[~np.isfinite(true)] = np.nan
        wanted = np.clip(wanted, -_LARGEST, _LARGEST)
        yield Draw(seen.astype(np.float16), wanted.astype(np.float16))


def file_of(rng: np.random.Generator, pictures: list[Picture]) -> dict[str, npt.NDArray[Any]]:
    """Arrays of one file of draws."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for picture in pictures:
        for draw in draws_of(rng, picture):
            place = len(arrays) // 2
            arrays |= {f"seen_{place}": draw.seen, f"wanted_{place}": draw.wanted}
    return arrays


def read_draws(path: Path) -> list[Draw]:
    """Draws of one file.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read.
    """
    with reading(path, "draws (delete it)"), np.load(path, allow_pickle=False) as file:
        count = len(file.files) // 2
        return [Draw(file[f"seen_{number}"], file[f"wanted_{number}"]) for number in range(count)]
