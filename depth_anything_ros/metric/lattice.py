"""Nodes over an image, with what the network and the image's colour show at each."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.metric.samples import FEW, MANY, Samples
from depth_anything_ros.metric.tiling import Floats, Indices

# Own choices: the numbers for cost, the others made on real frames.
_NODES_OF_FEW = 4_800
_NODES = 8_000
_NODES_OF_MANY = 15_000
_FLAT = 0.02  # of the surface coordinate: steps below it tell little
_COLOUR_WIDTH = 320  # pixels of which the colour is made
_COLOUR_BLUR = 1 / 240  # of the image's width
_of_thread = threading.local()  # its last image and that one's colour


@dataclass(frozen=True)
class Lattice:
    """Nodes at the centres of about square cells, with what network and image show there.

    Attributes:
        u: Columns of the nodes in image widths.
        v: Rows of the nodes in image widths.
        surface: Rows x columns float32 surface coordinate.
        colour: C x rows x columns float32.
        low: Inverse depth of the global fit where the surface coordinate is 0.
        span: Inverse depth per unit of the surface coordinate.
    """

    u: npt.NDArray[np.float32]
    v: npt.NDArray[np.float32]
    surface: FloatImage
    colour: npt.NDArray[np.float32]
    low: float
    span: float

    @classmethod
    def over(
        cls,
        inverse_m: FloatImage,
        colour: npt.NDArray[np.float32],
        samples: int,
        low: float,
        span: float,
    ) -> Lattice:
        """Lay a lattice over an image.

        Args:
            inverse_m: HxW float32 1/m of the global fit, NaN where unknown.
            colour: C x rows x columns float32 over the whole image, as of `smooth_colour`.
            samples: Number of measured points, which decides the number of nodes.
            low: Inverse depth where the surface coordinate is 0.
            span: Inverse depth per unit of it.
        """
        aspect = inverse_m.shape[0] / inverse_m.shape[1]
        cells = _NODES_OF_FEW if samples <= FEW else _NODES
        cells = cells if samples <= MANY else _NODES_OF_MANY
        cells = min(cells, inverse_m.size)
        columns = max(2, round((cells / aspect) ** 0.5))
        rows = max(2, round(columns * aspect))
        mean = cv2.resize(inverse_m, (columns, rows), interpolation=cv2.INTER_AREA)
        surface = mean.astype(np.float32, copy=False)
        surface -= np.float32(low)
        surface *= np.float32(1 / span)
        np.nan_to_num(surface, copy=False, nan=0.0)
        shades = np.empty((len(colour), rows, columns), np.float32)
        for shade, whole in zip(shades, colour, strict=True):
            shade[:] = resized(whole, (rows, columns))
        return cls(
            ((np.arange(columns) + 0.5) / columns).astype(np.float32),
            ((np.arange(rows) + 0.5) * (aspect / rows)).astype(np.float32),
            surface,
            shades,
            low,
            span,
        )

    def places(self) -> npt.NDArray[np.float32]:
        """DxP places of all nodes."""
        places = np.empty((3 + len(self.colour), *self.shape), np.float32)
        places[0], places[1], places[2] = self.u, self.v[:, None], self.surface
        places[3:] = self.colour
        return places.reshape(len(places), -1)

    def linear(self, value: FloatImage, trust: float) -> tuple[FloatImage, FloatImage]:
        """Values as a linear function of the global fit around every node.

        The fit of a guided filter (He, Sun and Tang 2013, section 3), through the node's own value.

        Args:
            value: Rows x columns float32 1/m.
            trust: Slope where the network is flat and tells none: 1 follows its least step.

        Returns:
            Level and slope over inverse depth of the global fit, at every node.
        """
        size = (3, 3)
        off = (value - np.float32(self.low)) * np.float32(1 / self.span)
        off -= np.float32(trust) * self.surface
        mean = cv2.blur(self.surface, size)
        variance = cv2.blur(self.surface * self.surface, size) - mean * mean
        slope = cv2.blur(self.surface * off, size) - mean * cv2.blur(off, size)
        slope /= np.maximum(variance, 0) + np.float32(_FLAT**2)
        level = off - slope * self.surface
        slope += np.float32(trust)
        level *= np.float32(self.span)
        level += np.float32(self.low) * (1 - slope)
        return level, slope

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


def smooth_colour(rgb: RgbImage | None) -> npt.NDArray[np.float32]:
    """Smooth colour of an image in CIE L*a*b*.

    Args:
        rgb: HxWx3, or None.

    Returns:
        3 x rows x columns float32 over the whole image, white being (1, 0, 0), read-only; 0 x 1 x 1
        without an image. That of a thread's last image is kept.
    """
    if rgb is None:
        return np.empty((0, 1, 1), np.float32)
    last = getattr(_of_thread, "last", None)
    if last is None or not np.array_equal(last[0], rgb):  # rgb may be written over by its owner
        _of_thread.last = last = rgb.copy(), _smooth_colour(rgb)
    return last[1]


def _smooth_colour(rgb: RgbImage) -> npt.NDArray[np.float32]:
    height, width = rgb.shape[:2]
    image = rgb
    if width > _COLOUR_WIDTH:
        small = (_COLOUR_WIDTH, max(1, round(height * _COLOUR_WIDTH / width)))
        image = cv2.resize(rgb, small, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    smooth = cv2.GaussianBlur(image, (0, 0), _COLOUR_BLUR * image.shape[1]).astype(np.float32)
    lab = cv2.cvtColor(smooth * np.float32(1 / 255), cv2.COLOR_RGB2LAB)
    colour = np.ascontiguousarray(np.moveaxis(lab, 2, 0)) * np.float32(0.01)
    colour.flags.writeable = False
    return colour


def values_of(images: npt.NDArray[np.float32], u: Floats, v: Floats) -> npt.NDArray[np.float32]:
    """Values of images at places.

    Args:
        images: C x rows x columns.
        u: N columns as shares of the width.
        v: N rows as shares of the height.

    Returns:
        CxN.
    """
    rows, columns = images.shape[1:]
    row = np.clip((v * rows).astype(np.intp), 0, rows - 1)
    column = np.clip((u * columns).astype(np.intp), 0, columns - 1)
    return np.asarray(images[:, row, column])
