"""Nodes over an image, with the network's surfaces and the grey around each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.metric.kriging import Floats, Indices
from depth_anything_ros.metric.samples import FEW, MANY, Samples

# Own choices: the numbers for cost, the others made on real frames.
_NODES_OF_FEW = 4_800
_NODES = 19_200
_NODES_OF_MANY = 38_400
_THINNEST_LAYER = np.float32(0.02)  # of the surface coordinate
_GREY_WIDTH = 640  # pixels of which the grey is made
_GREY_BLUR = 1 / 320  # of the image's width


@dataclass(frozen=True)
class Lattice:
    """Nodes at the centres of about square cells, with the range of the network around each.

    Between the two layers of a node its pixels lie on either side of an edge, if there is one.

    Attributes:
        u: Columns of the nodes in image widths.
        v: Rows of the nodes in image widths.
        layers: 2 x 2 x rows x columns float32: surface coordinate and grey, of the one layer with
            the least and the other with the most surface coordinate near a node.
        low: Inverse depth of the global fit where the surface coordinate is 0.
        span: Inverse depth per unit of the surface coordinate.
    """

    u: npt.NDArray[np.float32]
    v: npt.NDArray[np.float32]
    layers: npt.NDArray[np.float32]
    low: float
    span: float

    @classmethod
    def over(
        cls,
        inverse_m: FloatImage,
        grey: FloatImage | None,
        samples: int,
        low: float,
        span: float,
    ) -> Lattice:
        """Lay a lattice over an image.

        Args:
            inverse_m: HxW float32 1/m of the global fit, NaN where unknown.
            grey: HxW float32, as of `smooth_grey`, or None.
            samples: Number of measured points, which decides the number of nodes.
            low: Inverse depth where the surface coordinate is 0.
            span: Inverse depth per unit of it.
        """
        aspect = inverse_m.shape[0] / inverse_m.shape[1]
        cells = _NODES_OF_FEW if samples <= FEW else _NODES
        cells = cells if samples <= MANY else _NODES_OF_MANY
        columns = max(2, round((cells / aspect) ** 0.5))
        rows = max(2, round(columns * aspect))
        fine = (2 * columns, 2 * rows)
        surface = cv2.resize(inverse_m, fine, interpolation=cv2.INTER_NEAREST)
        surface -= np.float32(low)
        surface *= np.float32(1 / span)
        np.nan_to_num(surface, copy=False, nan=0.0)
        around = np.ones((5, 5), np.uint8)
        layers = np.zeros((2, 2, rows, columns), np.float32)
        layers[0, 0] = cv2.erode(surface, around)[::2, ::2]
        layers[0, 1] = cv2.dilate(surface, around)[::2, ::2]
        np.maximum(layers[0, 1], layers[0, 0] + _THINNEST_LAYER, out=layers[0, 1])
        if grey is not None:
            tone = cv2.resize(grey, fine, interpolation=cv2.INTER_NEAREST)
            mean, others, product = (
                cv2.blur(part, (5, 5))[::2, ::2] for part in (surface, tone, surface * tone)
            )
            least, most = cv2.erode(tone, around)[::2, ::2], cv2.dilate(tone, around)[::2, ::2]
            darker = product < mean * others  # what is nearer is darker
            layers[1, 0] = np.where(darker, most, least)
            layers[1, 1] = np.where(darker, least, most)
        return cls(
            ((np.arange(columns) + 0.5) / columns).astype(np.float32),
            ((np.arange(rows) + 0.5) * (aspect / rows)).astype(np.float32),
            layers,
            low,
            span,
        )

    def linear(
        self, value: FloatImage, guides: tuple[float, float]
    ) -> tuple[FloatImage, FloatImage, FloatImage]:
        """Values of the two layers as a linear function of the global fit and the grey.

        Args:
            value: 2 x rows x columns.
            guides: Weights of surface coordinate and grey where a pixel lies between the layers.

        Returns:
            Level, slope over inverse depth of the global fit, slope over grey; at every node.
        """
        across = self.layers[:, 1] - self.layers[:, 0]
        pull = across * np.square(np.array(guides, np.float32))[:, None, None]
        pull *= (value[1] - value[0]) / (pull * across).sum(axis=0)
        level = value[0] - (pull * self.layers[:, 0]).sum(axis=0)
        slope = pull[0] * np.float32(1 / self.span)
        return level - slope * np.float32(self.low), slope, pull[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.v), len(self.u)

    def cell_of(self, places: Floats) -> Indices:
        """Flat index of the cell each place lies in."""
        rows, columns = self.shape
        row = np.clip((places[:, 1] / self.v[-1] * (rows - 0.5)).astype(np.intp), 0, rows - 1)
        column = np.clip((places[:, 0] * columns).astype(np.intp), 0, columns - 1)
        return np.asarray(row * columns + column)

    def nearest(self, centre: Floats) -> Indices:
        """Which of some places is nearest to each node, flat."""
        empty = np.ones(self.shape, np.uint8)
        cell = self.cell_of(centre)
        empty.ravel()[cell] = 0
        _, label = cv2.distanceTransformWithLabels(
            empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        which = np.zeros(int(label.max()) + 1, np.intp)
        which[label.ravel()[cell]] = np.arange(len(centre))
        return which[label.ravel()]

    def distance(self, samples: Samples) -> FloatImage:
        """Distance of each node to the nearest sample in image widths."""
        empty = np.ones(self.shape, np.uint8)
        empty.ravel()[self.cell_of(samples.places)] = 0
        cells = cv2.distanceTransform(empty, cv2.DIST_L2, 3)
        return np.asarray(cells / np.float32(len(self.u)))


def resized(image: npt.NDArray[Any], shape: tuple[int, ...]) -> FloatImage:
    """Enlarge an image linearly to a shape (rows, columns)."""
    resized = cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return resized.astype(np.float32, copy=False)


def smooth_grey(rgb: RgbImage | None, shape: tuple[int, ...]) -> FloatImage | None:
    """Smooth grey of an image.

    Args:
        rgb: HxWx3, or None.
        shape: Rows and columns of the result.

    Returns:
        Float32, black 0 and white 1; None without an image.
    """
    if rgb is None:
        return None
    height, width = shape
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if width > _GREY_WIDTH:
        small = (_GREY_WIDTH, max(1, round(height * _GREY_WIDTH / width)))
        grey = cv2.resize(grey, small, interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(grey, (0, 0), _GREY_BLUR * grey.shape[1])
    return resized(grey.astype(np.float32) * np.float32(1 / 255), shape)
