"""Depth as pictures for people: near is bright, far is dark."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import DepthFrame

RgbImage = npt.NDArray[np.uint8]

_COLORS = cv2.COLORMAP_INFERNO
"""Perceptually uniform: what is nearer is brighter, in print and for colour-blind people, too."""

UNSURE = 0.3
"""Standard deviation, as a share of the depth, of the brightest colour in pictures of sigma."""

_INDENT = 16
_LEAST_BAR = 100

_MARGIN = 50
"""Columns of white between image and preview, as in the official Depth Anything scripts."""

_SAMPLES = 40_000
"""About how many pixels the range of a preview is taken from; enough for a percentile."""


@dataclass(frozen=True)
class ColorRange:
    """Nearness (1/Z, or disparity) of the darkest and the brightest colour.

    Attributes:
        metres: In 1/m, for pictures with metres; None where it is not known.
        relative: In the network's own units, for pictures without; None where it is not known.
    """

    metres: tuple[float, float] | None = None
    relative: tuple[float, float] | None = None

    @classmethod
    def of_metres(cls, near: float, far: float) -> ColorRange:
        """The range between two distances in metres."""
        return cls(metres=(1 / far, 1 / near))

    @classmethod
    def of_pictures(cls, answers: Iterable[DepthFrame]) -> ColorRange:
        """The range that fits several pictures together: 1st to 99th percentile of all.

        Args:
            answers: Depth of the pictures.
        """
        samples: dict[bool, list[npt.NDArray[np.float32]]] = {True: [], False: []}
        for answer in answers:
            nearness, metres = _nearness(answer)
            samples[metres].append(_sample(nearness))
        metric, relative = (
            _range(np.concatenate(samples[metres])) if samples[metres] else (0.0, 0.0)
            for metres in (True, False)
        )
        return cls(
            metric if metric[1] > metric[0] else None,
            relative if relative[1] > relative[0] else None,
        )


class DepthColors:
    """Pictures of depth whose colours mean the same from one picture to the next.

    The range of colours follows 1/Z, so that metric and relative pictures look alike. Where it is
    not given it takes the first picture's and then drifts slowly, so that live pictures do not
    flicker.

    Args:
        grayscale: Grey in place of colours.
        drift: Share of the way towards a picture's own range that the range goes each time.
        fixed: The range of every picture, as far as it is known.
    """

    def __init__(
        self, grayscale: bool = False, drift: float = 0.1, fixed: ColorRange | None = None
    ) -> None:
        self._grayscale = grayscale
        self._drift = drift
        fixed = fixed or ColorRange()
        self._fixed = {True: fixed.metres, False: fixed.relative}
        self._ranges: dict[bool, tuple[float, float]] = {}
        self._metres = False

    def depth(self, depth_m: npt.NDArray[np.float32]) -> RgbImage:
        """Picture metres.

        Args:
            depth_m: HxW float32 metres; NaN where unknown.

        Returns:
            HxWx3 uint8 RGB, near bright, black where unknown.
        """
        return self._picture(_inverse(depth_m), metres=True)

    def disparity(self, disparity: npt.NDArray[np.float32]) -> RgbImage:
        """Picture disparity, stretched between its 1st and 99th percentile.

        Args:
            disparity: HxW float32, larger is nearer; NaN or infinite where unknown.

        Returns:
            HxWx3 uint8 RGB, near bright, black where unknown.
        """
        return self._picture(disparity, metres=False)

    def answer(self, answer: DepthFrame) -> RgbImage:
        """Picture the best that is known of an image: metres, else what the network says.

        Args:
            answer: Its depth.

        Returns:
            HxWx3 uint8 RGB, near bright, black where unknown or out of range.
        """
        return self._picture(*_nearness(answer))

    def legend(self) -> Legend | None:
        """What the colours of the last picture mean, None where it had no metres or no range."""
        if not self._metres or True not in self._ranges:
            return None
        low, high = self._ranges[True]
        if not high > max(low, 0):
            return None
        return Legend(1 / high, 1 / low if low > 0 else np.inf, self._grayscale)

    def _picture(self, nearness: npt.NDArray[np.float32], metres: bool) -> RgbImage:
        self._metres = metres
        fixed = self._fixed[metres]
        if fixed is not None:
            self._ranges[metres] = fixed
            return _paint(nearness, *fixed, self._grayscale)
        low, high = _range(_sample(nearness))
        before = self._ranges.get(metres)
        if before is not None and high > low:
            low = before[0] + self._drift * (low - before[0])
            high = before[1] + self._drift * (high - before[1])
        if high > low:
            self._ranges[metres] = low, high
        return _paint(nearness, low, high, self._grayscale)


class Legend(NamedTuple):
    """The meaning of the colours of a picture of metres.

    Attributes:
        near: Metres at the brightest colour.
        far: Metres at the darkest colour.
        grayscale: Whether it is grey.
    """

    near: float
    far: float
    grayscale: bool

    def bar(self, height: int) -> RgbImage:
        """Draw it.

        Args:
            height: Rows.

        Returns:
            height x 50 x 3 uint8 RGB: a strip of colour with metres beside it, near on top; white
            where there is no room.
        """
        bar = np.full((height, _MARGIN, 3), 255, np.uint8)
        if height < _LEAST_BAR:
            return bar
        ramp = np.linspace(1, 0, height - 2 * _INDENT, dtype=np.float32)[:, None]
        bar[_INDENT : height - _INDENT, 3:11] = _paint(ramp, 0.0, 1.0, self.grayscale)
        for share in np.linspace(0, 1, 5):
            row = _INDENT + round(share * (height - 2 * _INDENT - 1))
            inverse = (1 - share) / self.near + share / self.far
            text = f"{1 / inverse:.3g}" if inverse > 1e-3 else ">1k"
            cv2.putText(
                bar, text, (14, row + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (0, 0, 0), 1, cv2.LINE_AA
            )
        cv2.putText(bar, "m", (14, 9), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (0, 0, 0), 1, cv2.LINE_AA)
        return bar


def colorize_depth(depth_m: npt.NDArray[np.float32], grayscale: bool = False) -> RgbImage:
    """Picture metres by themselves; see `DepthColors.depth`.

    Args:
        depth_m: HxW float32 metres; NaN where unknown.
        grayscale: Grey in place of colours.

    Returns:
        HxWx3 uint8 RGB, near bright, black where unknown.
    """
    return DepthColors(grayscale).depth(depth_m)


def colorize_disparity(disparity: npt.NDArray[np.float32], grayscale: bool = False) -> RgbImage:
    """Picture disparity by itself; see `DepthColors.disparity`.

    Args:
        disparity: HxW float32, larger is nearer; NaN or infinite where unknown.
        grayscale: Grey in place of colours.

    Returns:
        HxWx3 uint8 RGB, near bright, black where unknown.
    """
    return DepthColors(grayscale).disparity(disparity)


def colorize_sigma(depth_m: npt.NDArray[np.float32], sigma_m: npt.NDArray[np.float32]) -> RgbImage:
    """Picture how unsure metres are: dark is sure, bright is `UNSURE` of the depth and more.

    Args:
        depth_m: HxW float32 metres; NaN where unknown.
        sigma_m: HxW float32 metres, one standard deviation of it; NaN where unknown.

    Returns:
        HxWx3 uint8 RGB, black where unknown.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.asarray(sigma_m / depth_m, np.float32)
    return _paint(share, 0.0, UNSURE, grayscale=False)


def color_table() -> RgbImage:
    """The colours from far to near: 256x3 uint8 RGB."""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return np.asarray(cv2.applyColorMap(ramp, _COLORS)[:, 0, ::-1], np.uint8)


def conditioning_image(nearness: npt.NDArray[np.float32]) -> RgbImage:
    """The picture that depth ControlNets are conditioned with: 8 bit grey, near is white.

    As ControlNet's MiDaS annotator makes it (lllyasviel/ControlNet, annotator/midas): inverse
    depth, stretched from the smallest to the largest of the picture, in three equal channels.

    Args:
        nearness: HxW float32, larger is nearer; NaN or infinite where unknown, which is black.

    Returns:
        HxWx3 uint8.
    """
    known = np.isfinite(nearness)
    grey = np.zeros(nearness.shape, np.uint8)
    if known.any():
        low, high = float(nearness[known].min()), float(nearness[known].max())
        grey[known] = np.rint((nearness[known] - low) / ((high - low) or 1.0) * 255)
    return np.repeat(grey[..., None], 3, axis=2)


def side_by_side(rgb: RgbImage, preview: RgbImage, legend: Legend | None = None) -> RgbImage:
    """Put image and preview beside each other.

    Args:
        rgb: HxWx3 uint8 RGB.
        preview: HxWx3 uint8 RGB.
        legend: What the colours mean, drawn between the two.

    Returns:
        Hx(2W+50)x3 uint8 RGB with white between the two.
    """
    height = rgb.shape[0]
    margin = np.full((height, _MARGIN, 3), 255, np.uint8) if legend is None else legend.bar(height)
    return np.hstack([rgb, margin, preview])


def _paint(
    disparity: npt.NDArray[np.float32], low: float, high: float, grayscale: bool
) -> RgbImage:
    # A flat image has no near and far: all of it becomes the middle colour.
    gain, offset = (255 / (high - low), -low) if high > low else (0.0, 0.0)
    levels = (disparity + np.float32(offset)) * np.float32(gain)
    if gain == 0.0:
        levels += np.float32(127)
    known = np.isfinite(levels)
    all_known = bool(known.all())
    if not all_known:
        levels = np.where(known, levels, np.float32(0))
    grey = np.clip(levels, 0, 255).astype(np.uint8)
    if grayscale:
        picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    else:
        picture = cv2.cvtColor(cv2.applyColorMap(grey, _COLORS), cv2.COLOR_BGR2RGB)
    if not all_known:
        picture[~known] = 0
    return np.asarray(picture, np.uint8)


def _nearness(answer: DepthFrame) -> tuple[npt.NDArray[np.float32], bool]:
    """The best that is known so that larger is nearer, and whether it is 1/Z in metres."""
    depth_m, prediction = answer.depth_m, answer.prediction
    if depth_m is not None:
        inside = np.isfinite(depth_m)
        if inside.all():
            return _inverse(depth_m), True
        if inside.any():
            return _inverse(np.where(inside, depth_m, np.float32(np.nan))), True
    if prediction.kind.inverse:
        return prediction.values, False
    return _inverse(prediction.values), False


def _inverse(depth_m: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    with np.errstate(divide="ignore"):
        return np.float32(1) / depth_m


def _sample(nearness: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Some known pixels, evenly over the picture."""
    stride = max(1, round((nearness.size / _SAMPLES) ** 0.5))
    sample = nearness[::stride, ::stride]
    return sample[np.isfinite(sample)]


def _range(sample: npt.NDArray[np.float32]) -> tuple[float, float]:
    if not sample.size:
        return 0.0, 0.0
    low, high = np.percentile(sample, [1, 99])
    return float(low), float(high)
