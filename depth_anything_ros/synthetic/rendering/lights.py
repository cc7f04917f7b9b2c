"""Random lighting, indoors and outdoors."""

from __future__ import annotations

import math

import numpy as np

from depth_anything_ros.synthetic.rendering.materials import MaterialSampler
from depth_anything_ros.synthetic.rendering.scene import Light, Rgb


def indoor_light(rng: np.random.Generator, x: float, y: float, z: float) -> Light:
    """One lamp under the ceiling, or daylight through an unseen window; light from all sides."""
    level = rng.uniform(0.25, 0.7)
    tint = _tint(rng, 0.25)
    lamp = (rng.uniform(-0.6, 0.6) * x, rng.uniform(-0.6, 0.6) * y, z - rng.uniform(0.15, 0.5))
    low_lamp = rng.uniform() < 0.2
    if low_lamp:
        lamp = (lamp[0], lamp[1], rng.uniform(0.8, z - 0.3))
    window = _unit(rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.05, 0.6))
    strength = rng.uniform(0.1, 0.9)
    return Light(
        sun=lamp,
        near=True,
        radius=float(rng.uniform(0.05, 0.6)),
        colour=_times(_tint(rng, 0.3), strength),
        fill=window,
        fill_colour=_times(_tint(rng, 0.25), rng.uniform(0, 0.4)),
        above=_times(tint, level),
        below=_times(tint, level * rng.uniform(0.35, 0.8)),
        occlusion=float(rng.uniform(0.4, 1.2)),
    )


def daylight(rng: np.random.Generator, materials: MaterialSampler) -> Light:
    """Sun from low to high, clear to overcast, now and then fog or dusk."""
    overcast = rng.uniform() < 0.35
    high = rng.uniform(0.1, 1.2)
    around = rng.uniform(0, 2 * math.pi)
    flat = math.cos(high)
    warm = max(0.0, 0.5 - high)
    level = rng.uniform(0.35, 0.8) if overcast else rng.uniform(0.15, 0.4)
    blue = (0.85, 0.95, 1.1) if not overcast else (1.0, 1.0, 1.0)
    sun = 0.0 if overcast else rng.uniform(0.7, 1.6)
    if overcast:
        zenith = _times(_tint(rng, 0.08), rng.uniform(0.5, 0.95))
        horizon = _times(zenith, rng.uniform(0.8, 1.2))
    else:
        zenith = (rng.uniform(0.05, 0.3), rng.uniform(0.2, 0.5), rng.uniform(0.5, 0.95))
        horizon = (
            rng.uniform(0.5, 0.9) + warm,
            rng.uniform(0.6, 0.9),
            rng.uniform(0.6, 1.0) - warm,
        )
    dusk = rng.uniform(0.25, 0.7) if rng.uniform() < 0.12 else 1.0
    fog = float(10 ** rng.uniform(-3.5, -2.2)) if rng.uniform() < 0.88 else rng.uniform(0.01, 0.04)
    return Light(
        sun=(flat * math.cos(around), flat * math.sin(around), math.sin(high)),
        radius=float(rng.uniform(0.005, 0.06)),
        colour=_times((1.0, 0.95 - 0.4 * warm, 0.88 - 1.2 * warm), sun * dusk),
        fill=_unit(-math.cos(around), -math.sin(around), 0.5),
        fill_colour=_times(blue, rng.uniform(0, 0.2) * dusk),
        above=_times(blue, level * dusk),
        below=_times((1.0, 0.95, 0.85), level * rng.uniform(0.3, 0.6) * dusk),
        zenith=_times(zenith, dusk),
        horizon=_times(horizon, dusk),
        clouds=float(rng.uniform(0, 0.9)),
        cloud_texture=materials.texture("cloud"),
        fog=fog,
        fog_colour=_times(horizon, 0.9 * dusk),
        occlusion=float(rng.uniform(0.6, 2.0)),
    )


def _tint(rng: np.random.Generator, spread: float) -> Rgb:
    warmth = rng.uniform(-spread, spread)
    return (1.0 + 0.5 * warmth, 1.0, 1.0 - warmth)


def _times(colour: Rgb, factor: float) -> Rgb:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = math.sqrt(x * x + y * y + z * z)
    return (x / length, y / length, z / length)
