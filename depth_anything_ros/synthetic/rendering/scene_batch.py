"""Scenes as tensors, side by side, for batched ray casting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from depth_anything_ros.synthetic.rendering.scene import Light, Material, Scene

LIGHT = {
    name: slice(start, start + size)
    for name, start, size in (
        ("sun", 0, 3), ("near", 3, 1), ("radius", 4, 1), ("colour", 5, 3), ("fill", 8, 3),
        ("fill_colour", 11, 3), ("above", 14, 3), ("below", 17, 3), ("zenith", 20, 3),
        ("horizon", 23, 3), ("clouds", 26, 1), ("cloud_texture", 27, 1), ("fog", 28, 1),
        ("fog_colour", 29, 3), ("occlusion", 32, 1),
    )
}  # fmt: skip
"""Columns of each quantity of a light."""

MATERIAL = {
    name: slice(start, start + size)
    for name, start, size in (
        ("dark", 0, 3), ("bright", 3, 3), ("texture", 6, 1), ("scale", 7, 1), ("gloss", 8, 1),
        ("mirror", 9, 1), ("glow", 10, 1), ("shift", 11, 1),
    )
}  # fmt: skip
"""Columns of each quantity of a material."""


@dataclass(frozen=True)
class Scenes:
    """Some scenes as tensors, padded to the longest: B scenes of S surfaces.

    Attributes:
        kind: B x S int64 of `Kind`; -1 is padding.
        centre: B x S x 3 metres.
        turn: B x S x 3 x 3, world -> own frame.
        half: B x S x 3 metres.
        material: B x S x 12, laid out as in `MATERIAL`.
        light: B x 33, laid out as in `LIGHT`.
        heights: Per scene its height field (G x G) or None.
        extent: Per scene the side of its height field in metres.
    """

    kind: Tensor
    centre: Tensor
    turn: Tensor
    half: Tensor
    material: Tensor
    light: Tensor
    heights: tuple[Tensor | None, ...]
    extent: tuple[float, ...]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.kind.device

    def of(self, name: str) -> Tensor:
        """One quantity of the light, B x its size.

        Args:
            name: A key of `LIGHT`.

        Returns:
            B x 1 or B x 3.
        """
        return self.light[:, LIGHT[name]]


def stack(scenes: Sequence[Scene], device: torch.device | str = "cpu") -> Scenes:
    """Put scenes side by side for batched ray casting.

    Args:
        scenes: At least one scene.
        device: Where to put the tensors.

    Returns:
        The batch.
    """
    count = max(1, *(len(scene) for scene in scenes))
    batch = len(scenes)
    kind = np.full((batch, count), -1, np.int64)
    centre = np.zeros((batch, count, 3), np.float32)
    turn = np.zeros((batch, count, 3, 3), np.float32)
    half = np.ones((batch, count, 3), np.float32)
    material = np.zeros((batch, count, 12), np.float32)
    for row, scene in enumerate(scenes):
        n = len(scene)
        if n:
            kind[row, :n] = [surface.kind for surface in scene.surfaces]
            centre[row, :n] = [surface.centre for surface in scene.surfaces]
            turn[row, :n] = [surface.turn for surface in scene.surfaces]
            half[row, :n] = [surface.half for surface in scene.surfaces]
            material[row, :n] = [
                _material_row(surface.material, number)
                for number, surface in enumerate(scene.surfaces, 1)
            ]
    light = np.array([_light_row(scene.light) for scene in scenes], np.float32)
    fields = [
        None if scene.heights is None else torch.from_numpy(scene.heights).to(device)
        for scene in scenes
    ]

    def tensor(values: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(values).to(device)

    return Scenes(
        kind=tensor(kind),
        centre=tensor(centre),
        turn=tensor(turn),
        half=tensor(half),
        material=tensor(material),
        light=tensor(light),
        heights=tuple(fields),
        extent=tuple(scene.extent for scene in scenes),
    )


def _material_row(material: Material, number: int) -> list[float]:
    """The quantities of `MATERIAL`; `number` shifts the texture, so that equal surfaces differ."""
    return [
        *material.dark, *material.bright, material.texture, material.scale, material.gloss,
        material.mirror, material.glow, 0.37 * number % 1.0,
    ]  # fmt: skip


def _light_row(light: Light) -> list[float]:
    """The quantities of `LIGHT`."""
    return [
        *light.sun, float(light.near), light.radius, *light.colour, *light.fill,
        *light.fill_colour, *light.above, *light.below, *light.zenith, *light.horizon,
        light.clouds, float(light.cloud_texture), light.fog, *light.fog_colour, light.occlusion,
    ]  # fmt: skip
