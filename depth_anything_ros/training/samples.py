"""One training picture with what is known of its depth, and how it becomes a network's input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.network.preprocessing import MEAN, STD

FloatImage = npt.NDArray[np.float32]

_MEAN, _STD = np.array(MEAN, np.float32), np.array(STD, np.float32)


@dataclass(frozen=True)
class Sample:
    """A picture and its label.

    Attributes:
        rgb: HxWx3 uint8 RGB.
        depth: HxW float32 metres, infinite for sky, NaN where unknown; None without metres.
        disparity: HxW float32 up to scale and shift, NaN where unknown; only without `depth`.
        sparse: Whether only single pixels are known (LiDAR): labels are then never averaged.
        focal: Focal length along x in pixels of `rgb`; None where it is not known. With it, a
            disparity is 1 / metres of a camera of that focal length.
    """

    rgb: npt.NDArray[np.uint8]
    depth: FloatImage | None = None
    disparity: FloatImage | None = None
    sparse: bool = False
    focal: float | None = None


def read_labelled(image: Path, depth: FloatImage, sparse: bool = False) -> Sample:
    """Read a picture whose depth is known.

    Args:
        image: The picture's file.
        depth: HxW float32 metres, infinite for sky, NaN where unknown.
        sparse: Whether only single pixels are known.

    Returns:
        Picture and depth.

    Raises:
        InputError: The picture cannot be read, or is not of the depth's size.
    """
    rgb = read_image(image)
    if rgb.shape[:2] != depth.shape:
        raise InputError(
            f"{image} is {rgb.shape[1]}x{rgb.shape[0]} but its depth is "
            f"{depth.shape[1]}x{depth.shape[0]}; they must be of one size"
        )
    return Sample(rgb, depth=depth, sparse=sparse)


class Source(Protocol):
    """Training pictures by number; a number always gives the same one."""

    def __len__(self) -> int:
        """How many different pictures there are; 0 when there is no end."""
        ...

    def sample(self, number: int) -> Sample:
        """Get one picture.

        Args:
            number: 0 or more, below the length unless that is 0.

        Returns:
            The picture.

        Raises:
            InputError: Its files cannot be read.
        """
        ...


@dataclass(frozen=True)
class Prepared:
    """A picture of the network's size.

    Attributes:
        rgb: hxwx3 uint8 RGB.
        target: hxw float32: disparity for a relative network, metres for a metric one; 0 where
            not valid.
        valid: hxw bool.
        pseudo: Whether the label was made by a network.
    """

    rgb: npt.NDArray[np.uint8]
    target: FloatImage
    valid: npt.NDArray[np.bool_]
    pseudo: bool


def fit_size(height: int, width: int, shorter: int, multiple: int) -> tuple[int, int]:
    """The network's size for a whole picture: aspect kept, both sides multiples of a number.

    Args:
        height: Rows of the picture.
        width: Columns of the picture.
        shorter: New length of the shorter side.
        multiple: What both sides are multiples of.

    Returns:
        (height, width).
    """
    scale = shorter / min(height, width)

    def side(length: int) -> int:
        return max(multiple, round(length * scale / multiple) * multiple)

    return side(height), side(width)


def prepare(
    sample: Sample,
    size: tuple[int, int],
    metric: bool,
    rng: np.random.Generator | None = None,
    max_depth: float = np.inf,
    smallest_crop: float = 0.6,
    canonical_focal: float | None = None,
) -> Prepared:
    """Crop, mirror and resize a picture, and turn its label into what the network learns.

    Metric labels keep the picture whole: a crop that is enlarged would change the focal length.
    With a canonical camera they are brought to its focal length instead (Yin et al. 2023, section
    3.2, the transformation of labels).

    Args:
        sample: The picture.
        size: (height, width) of the network's input.
        metric: Whether the network gives metres; else disparity.
        rng: Random generator of crop and mirror; None takes the picture whole and as it is.
        max_depth: Metres beyond which a metric label is not used.
        smallest_crop: Least share of the shorter side a crop keeps.
        canonical_focal: Focal length in pixels at the network's input for which metric labels are
            wanted; pictures whose own is not known have no label then.

    Returns:
        The picture at the network's size.
    """
    limit = np.inf if canonical_focal else max_depth
    rgb, target, valid = sample.rgb, *_target(sample, metric, limit)
    if rng is not None:
        if not metric or canonical_focal:
            rgb, target, valid = _crop(rng, size, smallest_crop, rgb, target, valid)
        if rng.uniform() < 0.5:
            rgb, target, valid = rgb[:, ::-1], target[:, ::-1], valid[:, ::-1]
    height, width = size
    if canonical_focal:
        target, valid = _canonical(sample, width / rgb.shape[1], canonical_focal, target, valid)
        valid &= target <= max_depth
        target = np.where(valid, target, np.float32(0)).astype(np.float32)
    if rgb.shape[:2] != size:
        shrinks = rgb.shape[0] > height
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        resized = cv2.resize(np.ascontiguousarray(rgb), (width, height), interpolation=how)
        rgb = np.asarray(resized, np.uint8)
        target, valid = _resize_label(target, valid, size, sample.sparse, metric)
    return Prepared(
        np.ascontiguousarray(rgb, np.uint8),
        np.ascontiguousarray(target),
        np.ascontiguousarray(valid),
        sample.disparity is not None,
    )


def _target(
    sample: Sample, metric: bool, max_depth: float
) -> tuple[FloatImage, npt.NDArray[np.bool_]]:
    if sample.depth is not None:
        depth = sample.depth
        with np.errstate(invalid="ignore", divide="ignore"):
            if metric:
                valid = (depth > 0) & (depth <= max_depth) & np.isfinite(depth)
                return np.where(valid, depth, np.float32(0)), valid
            valid = depth > 0  # the sky is known: its disparity is 0
            return np.where(valid, 1 / depth, np.float32(0)).astype(np.float32), valid
    if sample.disparity is not None and metric and sample.focal:
        with np.errstate(divide="ignore"):
            depth = np.divide(1, sample.disparity, dtype=np.float32)
        valid = (depth > 0) & (depth <= max_depth) & np.isfinite(depth)
        return np.where(valid, depth, np.float32(0)).astype(np.float32), valid
    if sample.disparity is not None and not metric:
        valid = np.isfinite(sample.disparity)
        return np.where(valid, sample.disparity, np.float32(0)), valid
    none = np.zeros(sample.rgb.shape[:2], bool)
    return none.astype(np.float32), none


def _canonical(
    sample: Sample,
    enlargement: float,
    canonical_focal: float,
    depth: FloatImage,
    valid: npt.NDArray[np.bool_],
) -> tuple[FloatImage, npt.NDArray[np.bool_]]:
    """Depth of a camera of the canonical focal length that sees the same picture."""
    if sample.focal is None:
        return np.zeros_like(depth), np.zeros_like(valid)
    return depth * np.float32(canonical_focal / (sample.focal * enlargement)), valid


def _crop(
    rng: np.random.Generator,
    size: tuple[int, int],
    smallest: float,
    rgb: npt.NDArray[np.uint8],
    target: FloatImage,
    valid: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.uint8], FloatImage, npt.NDArray[np.bool_]]:
    """A crop of the aspect of `size`, placed at random."""
    height, width = rgb.shape[:2]
    scale = min(height / size[0], width / size[1]) * rng.uniform(smallest, 1)
    h, w = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    h, w = min(h, height), min(w, width)
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    part = np.s_[y : y + h, x : x + w]
    return rgb[part], target[part], valid[part]


def _resize_label(
    target: FloatImage,
    valid: npt.NDArray[np.bool_],
    size: tuple[int, int],
    sparse: bool,
    metric: bool,
) -> tuple[FloatImage, npt.NDArray[np.bool_]]:
    """Nearest neighbour for dense labels; for single points each goes to its new pixel."""
    height, width = size
    if not sparse:
        rows = ((np.arange(height) + 0.5) * target.shape[0] / height).astype(int)
        columns = ((np.arange(width) + 0.5) * target.shape[1] / width).astype(int)
        return target[rows][:, columns], valid[rows][:, columns]
    v, u = np.nonzero(valid)
    values = target[v, u]
    # The nearest point is written last: what is before hides what is behind.
    order = np.argsort(-values if metric else values)
    row = ((v + 0.5) * height / target.shape[0]).astype(int)[order]
    column = ((u + 0.5) * width / target.shape[1]).astype(int)[order]
    label, known = np.zeros(size, np.float32), np.zeros(size, bool)
    label[row, column], known[row, column] = values[order], True
    return label, known


def to_network(rgb: npt.NDArray[np.uint8]) -> FloatImage:
    """Normalise a picture for the networks.

    Args:
        rgb: hxwx3 uint8 RGB.

    Returns:
        3xhxw float32.
    """
    image = (rgb.astype(np.float32) / 255 - _MEAN) / _STD
    return np.ascontiguousarray(image.transpose(2, 0, 1))
