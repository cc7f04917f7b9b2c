"""The network that sees whether measured points are grossly wrong: what it sees and what it says.

How a point and its neighbours, near and farther away, stand to each other, to the global fit and to
the image: this it sees, a message passing one (Gilmer et al. 2017) with 0.08 M weights. It learned
from the exact depth of `synthetic` worlds alone (`training.wrong_points`), with errors put in.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, RgbImage, SparsePoints
from depth_anything_ros.metric.fit import range_of
from depth_anything_ros.metric.lattice import smooth_colour

OF_POINT = (
    "off",
    "off in deviations",
    "log depth",
    "surface",
    "row",
    "L*",
    "a*",
    "b*",
    "distance between points",
    "number of points",
    "deviation",
    "share far off",
)
"""What the network sees of a point, in this order, as numbers around 0; see `evidence`."""

OF_PAIR = (
    "columns",
    "rows",
    "distance",
    "off",
    "log depth",
    "surface",
    "colour",
    "edge of the image between",
    "edge of the surface between",
    "off alike",
    "depth alike",
    "off somewhat alike",
)
"""What it sees of a point's neighbour, relative to the point."""

NEIGHBOURS = np.array([1, 2, 3, 4, 6, 8, 12, 20, 32, 48])
"""Which of the nearest points, so that few tell of both what is near and what is around."""

FEWEST = 8
"""Fewer points than this are no neighbours to each other."""

MOST = 1_000
"""Most points it has learned from. Of more only some are judged, for cost; others follow those."""

COLOURS_OF_POINT = slice(5, 8)
COLOURS_OF_PAIR = slice(6, 8)

SURFACE_AND_COLOURS = [3, 5, 6, 7]
"""Of a point."""

BESIDE = 6
"""Nearest points that are told beside the network's."""

_WEIGHTS = Path(__file__).with_name("wrong_points.safetensors")
# Own choices. What is limited is limited for the network's sake: it never saw more.
_BEYOND = 1.5  # times the farthest point, where the fit counts as beyond
_FAR_OFF = 0.5  # of log depth
_WAY = 7  # places between two points where edges are looked for
_LEAST_DEVIATION = 0.02
_LEAST_DISTANCE = 1e-6
_EACH = 300  # points of which all neighbours are looked for
_NEAR = 6  # neighbours that are looked for among all
_ONE_OF = 6


@dataclass(frozen=True)
class Evidence:
    """What the network sees of N points.

    Attributes:
        points: NxP float32, P as of OF_POINT.
        near: KxN indices of NEIGHBOURS.
        pairs: KxNxE float32, E as of OF_PAIR.
        beside: NxB indices of the points nearest to each, nearest first.
    """

    points: npt.NDArray[np.float32]
    near: npt.NDArray[np.intp]
    pairs: npt.NDArray[np.float32]
    beside: npt.NDArray[np.intp]


def evidence(
    points: SparsePoints, fitted_inverse: FloatArray, values: FloatImage, rgb: RgbImage
) -> Evidence:
    """What the network sees of some points.

    Args:
        points: N points inside the image, in front of the camera.
        fitted_inverse: N inverse depths of the global fit at the points, 1/m.
        values: HxW values of the depth network, nearer or farther being greater.
        rgb: HxWx3 image.

    Returns:
        It.
    """
    height, width = values.shape
    low, high = range_of(values)
    picture = _picture(rgb, values)
    picture[..., 3] = (picture[..., 3] - np.float32(low)) * np.float32(1 / max(high - low, 1e-6))
    shape = picture.shape[:2]
    picture = picture.reshape(-1, picture.shape[2])
    x, y = (axis.astype(np.float32) / np.float32(width) for axis in (points.u, points.v))
    down = width / height

    def at(
        across: npt.NDArray[np.float32], along: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Colours and surface at places inside the image, in image widths."""
        column = (across * np.float32(shape[1])).astype(np.int32)
        row = (along * np.float32(down * shape[0])).astype(np.int32)
        cell = np.minimum(row, shape[0] - 1) * np.int32(shape[1])
        return picture.take(cell + np.minimum(column, shape[1] - 1), axis=0)

    off = log_off(points.z, fitted_inverse).astype(np.float32)
    depth = np.log(points.z)
    depth = (depth - np.median(depth)).astype(np.float32)
    here = at(x, y)
    lab, surface = here[:, :3], np.clip(here[:, 3], -1, 2)

    distance, near, beside = _neighbours(np.stack([x, y], axis=1))
    spacing = float(np.median(distance[min(3, len(near) - 1)])) + _LEAST_DISTANCE

    deviation = 1.4826 * float(np.median(np.abs(off)))
    seen = np.empty((len(points), len(OF_POINT)), np.float32)
    seen[:, 0] = np.clip(off, -1.5, 1.5)
    seen[:, 1] = np.clip(np.abs(off) / np.float32(deviation + _LEAST_DEVIATION), 0, 12) / 6
    seen[:, 2] = np.clip(depth, -4, 4)
    seen[:, 3] = surface
    seen[:, 4] = y * np.float32(down)
    seen[:, COLOURS_OF_POINT] = lab
    seen[:, 8] = 0.3 * np.log(spacing)
    seen[:, 9] = 0.2 * np.log(len(points))
    seen[:, 10] = 0.5 * np.log(deviation + _LEAST_DEVIATION)
    seen[:, 11] = 2 * np.mean(np.abs(off) > _FAR_OFF)

    across, along = x[near] - x, y[near] - y
    share = np.linspace(0, 1, _WAY, dtype=np.float32)[:, None, None]
    step = np.diff(at(x + across * share, y + along * share), axis=0)
    surface_step = np.abs(step[..., 3]).max(axis=0)
    edge = np.sqrt(np.einsum("wknc,wknc->wkn", step[..., :3], step[..., :3]).max(axis=0))
    pairs = np.empty((*near.shape, len(OF_PAIR)), np.float32)
    per_spacing = np.float32(0.3 / spacing)
    off_apart, depth_apart = off[near] - off, depth[near] - depth
    apart = lab[near] - lab
    pairs[..., 0] = np.clip(across * per_spacing, -2, 2)
    pairs[..., 1] = np.clip(along * per_spacing, -2, 2)
    pairs[..., 2] = np.float32(0.3) * np.log(distance + np.float32(1e-4))
    pairs[..., 3] = np.clip(off_apart, -1.5, 1.5)
    pairs[..., 4] = np.clip(depth_apart, -1.5, 1.5)
    pairs[..., 5] = 2 * np.clip(surface[near] - surface, -1, 1)
    pairs[..., 6] = 3 * np.sqrt(np.einsum("knc,knc->kn", apart, apart))
    pairs[..., 7] = 4 * edge
    pairs[..., 8] = 4 * np.minimum(surface_step, 1)
    off_apart, depth_apart = np.abs(off_apart), np.abs(depth_apart)
    pairs[..., 9] = np.exp(off_apart * np.float32(-1 / 0.12))
    pairs[..., 10] = np.exp(depth_apart * np.float32(-1 / 0.08))
    pairs[..., 11] = np.exp(off_apart * np.float32(-1 / 0.4))
    return Evidence(seen, near, pairs, beside)


def _neighbours(
    where: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Distances to, and indices of, each place's NEIGHBOURS; and the BESIDE nearest, NxB."""
    from scipy.spatial import cKDTree

    which = NEIGHBOURS[: np.searchsorted(NEIGHBOURS, len(where))]
    tree = cKDTree(where, compact_nodes=False, balanced_tree=False)
    exact = which if len(where) <= _EACH else which[:_NEAR]
    nearest = tree.query(where, k=exact[-1] + 1)[1]
    near = nearest[:, exact]
    if len(exact) < len(which):
        # Those far off are the nearest of a few of all, which are found sooner.
        some = np.arange(0, len(where), _ONE_OF)
        few = cKDTree(where[some], compact_nodes=False, balanced_tree=False)
        rank = np.rint(which[_NEAR:] / _ONE_OF).astype(np.intp)
        near = np.hstack([near, some[few.query(where, k=rank + 1)[1]]])
    near = np.ascontiguousarray(near.T)
    apart = where[near] - where
    distance = np.sqrt(np.einsum("knc,knc->kn", apart, apart))
    return distance, near, nearest[:, 1 : BESIDE + 1]


def _picture(rgb: RgbImage, values: FloatImage) -> npt.NDArray[np.float32]:
    """Smooth colour and, beside it, the depth network's values: rows x columns x 4."""
    colour = smooth_colour(rgb)
    rows, columns = colour.shape[1:]
    picture = np.empty((rows, columns, 4), np.float32)
    picture[..., :3] = np.moveaxis(colour, 0, 2)
    picture[..., 3] = cv2.resize(values, (columns, rows), interpolation=cv2.INTER_NEAREST)
    return picture


def log_off(z: FloatArray, fitted_inverse: FloatArray) -> FloatArray:
    """Logarithm of measured depth over the fit's.

    Args:
        z: N metres.
        fitted_inverse: N inverse depths of the fit, 1/m.

    Returns:
        N; of what the fit takes for infinitely far as of a multiple of the farthest point.
    """
    return np.asarray(np.log(z * np.maximum(fitted_inverse, 1 / (_BEYOND * z.max()))))


def logits(seen: Evidence) -> npt.NDArray[np.float32]:
    """Logit of each point being wrong (the network of `training.wrong_points.network`).

    Args:
        seen: Of N points.

    Returns:
        N.
    """
    weight = _weights()

    def dense(x: npt.NDArray[Any], name: str) -> npt.NDArray[np.float32]:
        y = x @ weight[f"{name}.weight"]
        bias = weight.get(f"{name}.bias")
        return y if bias is None else np.add(y, bias, out=y)

    first = dense(seen.points, "first")
    zero = np.zeros_like(first)  # a number in its place makes NumPy several times as slow

    def relu(x: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return np.maximum(x, zero, out=x)

    state = dense(relu(first), "second")
    # With fewer neighbours than usual the last one counts for the missing ones, too.
    times = np.ones(len(seen.near), np.float32)
    times[-1] += len(NEIGHBOURS) - len(times)
    for number in range(sum(name.endswith(".own.weight") for name in weight)):
        name = f"rounds.{number}"
        x = np.maximum(state, zero)
        own, other = dense(x, f"{name}.own"), dense(x, f"{name}.other")
        of_pair = weight[f"{name}.pair.weight"]
        # relu(a + own) = max(a, -own) + own: the last sum is left for the end.
        least = -own
        most = least.copy()
        message, there, mean = np.zeros((3, *own.shape), np.float32)
        for near, pair, count in zip(seen.near, seen.pairs, times, strict=True):
            np.matmul(pair, of_pair, out=message)
            # "clip" writes without a buffer in between; all indices are inside.
            message += np.take(other, near, axis=0, out=there, mode="clip")
            np.maximum(message, least, out=message)
            np.maximum(most, message, out=most)
            mean += message if count == 1 else message * count
        most += own
        mean *= np.float32(1 / times.sum())
        mean += own
        everyone = relu(dense(x, f"{name}.everyone")).mean(axis=0)
        of_x, of_mean, of_most, of_everyone = np.split(weight[f"{name}.told.weight"], 4)
        told = x @ of_x
        told += mean @ of_mean
        told += most @ of_most
        told += everyone @ of_everyone + weight[f"{name}.told.bias"]
        state += dense(relu(told), f"{name}.change")
    return dense(relu(state), "answer")[:, 0]


@functools.cache
def _weights() -> dict[str, npt.NDArray[np.float32]]:
    """Weights by name, those of dense layers transposed."""
    from safetensors.numpy import load_file

    return {
        name: np.ascontiguousarray(each.astype(np.float32).T)
        for name, each in load_file(_WEIGHTS).items()
    }
