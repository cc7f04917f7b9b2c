"""Random materials: textures and colours by category of object."""

from __future__ import annotations

import colorsys

import numpy as np

from depth_anything_ros.synthetic.rendering.scene import Material, Rgb
from depth_anything_ros.synthetic.rendering.textures import Atlas

_CATEGORIES: dict[str, tuple[tuple[str, ...], tuple[float, float], tuple[float, float]]] = {
    # category: textures, metres per repetition, saturation
    "wall": (("plain", "plain", "blotches", "stripes", "bricks", "tiles"), (0.8, 3.0), (0, 0.45)),
    "ceiling": (("plain", "plain", "tiles", "speckle"), (1.0, 3.0), (0.0, 0.15)),
    "floor": (("planks", "tiles", "fabric", "marble", "checks", "speckle"), (0.6, 3.0), (0, 0.5)),
    "wood": (("wood", "planks", "plain"), (0.5, 1.5), (0.25, 0.7)),
    "paint": (("plain", "plain", "speckle"), (0.4, 2.0), (0.0, 0.95)),
    "cloth": (("fabric", "stripes", "checks", "blotches", "plain"), (0.15, 0.8), (0.0, 0.9)),
    "metal": (("plain", "blotches"), (0.3, 1.5), (0.0, 0.15)),
    "any": (
        ("plain", "blotches", "wood", "fabric", "stripes", "checks", "poster", "speckle", "marble"),
        (0.2, 1.5),
        (0.0, 1.0),
    ),
    "road": (("asphalt", "asphalt", "speckle", "blotches"), (1.5, 5.0), (0.0, 0.12)),
    "pavement": (("tiles", "bricks", "asphalt"), (1.0, 4.0), (0.0, 0.2)),
    "facade": (("facade", "facade", "facade", "bricks"), (5.0, 14.0), (0.0, 0.5)),
    "roof": (("tiles", "bricks", "stripes", "plain"), (0.4, 2.0), (0.1, 0.6)),
    "leaves": (("leaves",), (0.5, 2.5), (0.3, 0.8)),
    "bark": (("wood", "blotches"), (0.3, 1.0), (0.15, 0.5)),
    "earth": (("blotches", "leaves", "speckle"), (1.5, 6.0), (0.2, 0.6)),
}
_COLOURED = ("poster", "photo", "shelf", "facade")
_PHOTO_SHARE = 0.3
"""How many surfaces show a photograph, where photographs are in the atlas."""


class MaterialSampler:
    """Draws random materials.

    Args:
        rng: Random generator.
        atlas: Where the textures are.
    """

    def __init__(self, rng: np.random.Generator, atlas: Atlas) -> None:
        self._rng = rng
        self._atlas = atlas
        self._photos = atlas.numbers("photo")

    def texture(self, *names: str) -> int:
        """The number of one of some textures.

        Args:
            names: Words of the atlas.

        Returns:
            Its number.
        """
        return int(self._rng.choice(self._atlas.numbers(*names)))

    def of(self, category: str, hue: float | None = None, gloss: float = 0.0) -> Material:
        """A material of a category.

        Args:
            category: A key of `_CATEGORIES` ("wall", "wood", "leaves", ...).
            hue: Hue 0..1 the colours stay near to; random when not given.
            gloss: Largest strength of the highlight.

        Returns:
            The material.
        """
        rng = self._rng
        names, (low, high), saturation = _CATEGORIES[category]
        scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        shine = float(rng.uniform(0, gloss))
        if self._photos and rng.uniform() < _PHOTO_SHARE:
            tint = tuple(float(c) for c in rng.uniform(0.6, 1.0, 3))
            return Material(
                (0.0, 0.0, 0.0),
                (tint[0], tint[1], tint[2]),
                int(rng.choice(self._photos)),
                2 * scale,
                shine,
            )
        name = str(rng.choice(names))
        number = self.texture(name)
        hue = float(rng.uniform()) if hue is None else hue + float(rng.normal(0, 0.04))
        strength = float(rng.uniform(*saturation))
        if name in _COLOURED:
            return Material(
                (0.0, 0.0, 0.0), self.colour(hue, 0.3 * strength, 0.6, 1.0), number, scale, shine
            )
        bright = self.colour(hue, strength, 0.25, 1.0)
        shade = float(rng.uniform(0.3, 0.95))
        dark = (bright[0] * shade, bright[1] * shade, bright[2] * shade)
        if rng.uniform() < 0.15:
            dark = self.colour(float(rng.uniform()), strength, 0.05, 0.9)
        return Material(dark, bright, number, scale, shine)

    def colour(self, hue: float, saturation: float, low: float, high: float) -> Rgb:
        """An sRGB colour whose value is drawn from an interval.

        Args:
            hue: Hue, of which only the fraction counts.
            saturation: 0 (grey) to 1.
            low: Smallest value.
            high: Largest value.

        Returns:
            Red, green and blue in 0..1.
        """
        return colorsys.hsv_to_rgb(hue % 1, saturation, float(self._rng.uniform(low, high)))

    def picture(self, width: float) -> Material:
        """A print or photograph that is `width` metres wide.

        Args:
            width: Metres per repetition.

        Returns:
            The material.
        """
        number = self.texture("poster", "photo") if self._photos else self.texture("poster")
        return Material(
            (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), number, width, float(self._rng.uniform(0, 0.4))
        )

    def goods(self) -> Material:
        """The front of a full shelf."""
        return Material(
            (0, 0, 0), (1, 1, 1), self.texture("shelf"), float(self._rng.uniform(0.6, 1.6))
        )

    def glass(self) -> Material:
        """Window glass: dark or bright behind, reflecting."""
        value = float(self._rng.uniform(0.1, 1.0))
        tint = (0.85 * value, 0.93 * value, value)
        number = self.texture("blotches", "leaves", "cloud", *(("photo",) if self._photos else ()))
        dark = (0.4 * tint[0], 0.5 * tint[1], 0.5 * tint[2])
        glow = float(self._rng.choice([0.0, 0.6, 1.5]))
        mirror = float(self._rng.uniform(0.15, 0.5)) if self._rng.uniform() < 0.25 else 0.0
        return Material(dark, tint, number, 2.5, 0.5, mirror, glow)

    def mirror(self) -> Material:
        """A mirror."""
        return Material((0.5, 0.5, 0.5), (0.6, 0.6, 0.6), self.texture("plain"), 1.0, 0.3, 0.85)

    def lamp(self) -> Material:
        """A light source."""
        white = (1.0, 1.0, float(self._rng.uniform(0.7, 1.0)))
        return Material(white, white, self.texture("plain"), 1.0, 0.0, 0.0, 1.0)
