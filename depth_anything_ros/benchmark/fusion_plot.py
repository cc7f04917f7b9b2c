"""Curves of errors against points, cost or what sigma promises, as an SVG picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from depth_anything_ros.benchmark.fusion import OURS

_WIDTH, _HEIGHT = 360, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 30, 46
# Okabe and Ito's colours, which colour-blind people tell apart.
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
_OURS_COLOR = "#D55E00"


@dataclass(frozen=True)
class Panel:
    """One diagram.

    Attributes:
        title: Above it.
        axis: What x is, with its unit.
        curves: By way, its (x, y) in order; both above 0 on logarithmic axes.
        logarithmic: Whether its axes are logarithmic; else they go from 0 to 100.
    """

    title: str
    axis: str
    curves: Mapping[str, Sequence[tuple[float, float]]]
    logarithmic: bool = True


def plot(panels: Sequence[Panel], y_axis: str) -> str:
    """Draw diagrams side by side.

    Args:
        panels: The diagrams; they share the range of y.
        y_axis: What y is.

    Returns:
        The text of an SVG file.
    """
    values = [y for panel in panels for curve in panel.curves.values() for _, y in curve]
    y_range = _range(panels[0], values)
    names = list(panels[0].curves)
    apart = 84 if len(panels) > 1 else (_WIDTH - 12) // len(names)
    width = _WIDTH * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT + 24}" '
        f'width="{width}" height="{_HEIGHT + 24}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{_HEIGHT + 24}" fill="white"/>',
    ]
    for index, panel in enumerate(panels):
        parts += _drawn(panel, index * _WIDTH, y_range, y_axis if index == 0 else "")
    for index, name in enumerate(names):
        x = (_LEFT if len(panels) > 1 else 12) + index * apart
        parts.append(
            f'<line x1="{x}" y1="{_HEIGHT + 8}" x2="{x + 22}" y2="{_HEIGHT + 8}" '
            f'stroke="{_color(name, index)}" stroke-width="{3 if name == OURS else 1.5}"/>'
            f'<text x="{x + 27}" y="{_HEIGHT + 12}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _drawn(panel: Panel, offset: int, y_range: tuple[float, float], y_axis: str) -> list[str]:
    xs = [x for curve in panel.curves.values() for x, _ in curve]
    x_range = _range(panel, xs)
    left, right = offset + _LEFT, offset + _WIDTH - _RIGHT
    bottom = _HEIGHT - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + _share(x, x_range, panel.logarithmic) * (right - left),
            bottom - _share(y, y_range, panel.logarithmic) * (bottom - _TOP),
        )

    parts = [
        f'<text x="{(left + right) / 2:.0f}" y="18" text-anchor="middle" font-weight="bold">'
        f"{panel.title}</text>",
        f'<text x="{(left + right) / 2:.0f}" y="{_HEIGHT - 12}" text-anchor="middle">'
        f"{panel.axis}</text>",
        f'<rect x="{left}" y="{_TOP}" width="{right - left}" height="{bottom - _TOP}" '
        'fill="none" stroke="#888"/>',
    ]
    if y_axis:
        middle = (_TOP + bottom) / 2
        parts.append(
            f'<text x="{offset + 14}" y="{middle:.0f}" text-anchor="middle" '
            f'transform="rotate(-90 {offset + 14} {middle:.0f})">{y_axis}</text>'
        )
    for x in _ticks(x_range, panel.logarithmic):
        at, _ = place(x, y_range[0])
        parts.append(
            f'<line x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{bottom}" stroke="#ddd"/>'
            f'<text x="{at:.1f}" y="{bottom + 14}" text-anchor="middle">{x:g}</text>'
        )
    for y in _ticks(y_range, panel.logarithmic):
        _, at = place(x_range[0], y)
        parts.append(
            f'<line x1="{left}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}" stroke="#ddd"/>'
            f'<text x="{left - 4}" y="{at + 4:.1f}" text-anchor="end">{y:g}</text>'
        )
    for index, (name, curve) in enumerate(panel.curves.items()):
        line = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in curve)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{_color(name, index)}" '
            f'stroke-width="{3 if name == OURS else 1.5}"/>'
        )
    return parts


def _color(name: str, index: int) -> str:
    return _OURS_COLOR if name == OURS else _COLORS[index % len(_COLORS)]


def _range(panel: Panel, values: Sequence[float]) -> tuple[float, float]:
    return (min(values) / 1.2, max(values) * 1.2) if panel.logarithmic else (0.0, 100.0)


def _share(value: float, between: tuple[float, float], logarithmic: bool) -> float:
    if not logarithmic:
        return (value - between[0]) / (between[1] - between[0])
    low, high = (math.log(end) for end in between)
    return (math.log(value) - low) / max(high - low, 1e-9)


def _ticks(between: tuple[float, float], logarithmic: bool) -> list[float]:
    """1, 2 and 5 of every power of ten in a range; over more than two powers only the ones.

    On linear axes, every fifth of the range.
    """
    low, high = between
    if not logarithmic:
        return [low + (high - low) * step / 5 for step in range(6)]
    steps = (1, 2, 5) if high / low < 100 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps]
    return [float(f"{tick:.3g}") for tick in ticks if low <= tick <= high]
