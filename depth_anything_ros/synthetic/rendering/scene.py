"""A scene: surfaces with materials, light and air, in a world frame (x forward, y left, z up)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from depth_anything_ros.synthetic.rendering.solids import Kind

Rgb = tuple[float, float, float]
Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

_THINNEST = 1e-4
"""Metres: shortest leg of a triangle, and thickness of its bounding box."""

IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Material:
    """Appearance of a surface.

    Attributes:
        dark: sRGB 0..1 where the texture is 0.
        bright: sRGB 0..1 where the texture is 1.
        texture: Number of the texture in the atlas.
        scale: Metres per repetition of the texture.
        gloss: Strength of the highlight, 0 to 1.
        mirror: Reflectance, 0 (none) to 1 (a mirror).
        glow: Light it emits, as a share of white.
    """

    dark: Rgb = (0.45, 0.45, 0.45)
    bright: Rgb = (0.55, 0.55, 0.55)
    texture: int = 0
    scale: float = 1.0
    gloss: float = 0.0
    mirror: float = 0.0
    glow: float = 0.0


@dataclass(frozen=True)
class Light:
    """Light, sky and air of a scene; colours are linear RGB.

    Attributes:
        sun: Unit vector towards a far lamp, or the position of a near one.
        near: Whether `sun` is a position.
        radius: Radius of the near lamp in metres, or tangent of the far one's angular radius;
            makes shadows soft.
        colour: Strength of the lamp.
        fill: Unit vector towards a second, shadowless lamp.
        fill_colour: Its strength.
        above: Ambient light on surfaces that face up.
        below: Ambient light on surfaces that face down.
        zenith: Sky overhead.
        horizon: Sky at the horizon.
        clouds: Cloud cover, 0 to 1.
        cloud_texture: Number of the texture the clouds are taken from.
        fog: Extinction per metre.
        fog_colour: Colour of the air.
        occlusion: Reach of ambient occlusion in metres.
    """

    sun: Vector = (0.3, 0.2, 0.93)
    near: bool = False
    radius: float = 0.02
    colour: Rgb = (0.8, 0.8, 0.8)
    fill: Vector = (-0.5, 0.5, 0.7)
    fill_colour: Rgb = (0.1, 0.1, 0.1)
    above: Rgb = (0.35, 0.35, 0.35)
    below: Rgb = (0.2, 0.2, 0.2)
    zenith: Rgb = (0.2, 0.4, 0.8)
    horizon: Rgb = (0.7, 0.8, 0.9)
    clouds: float = 0.0
    cloud_texture: int = 0
    fog: float = 0.0
    fog_colour: Rgb = (0.7, 0.75, 0.8)
    occlusion: float = 1.0

    def row(self) -> list[float]:
        """All numbers in the order of `LIGHT`."""
        return [
            *self.sun, float(self.near), self.radius, *self.colour, *self.fill, *self.fill_colour,
            *self.above, *self.below, *self.zenith, *self.horizon, self.clouds,
            float(self.cloud_texture), self.fog, *self.fog_colour, self.occlusion,
        ]  # fmt: skip


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


@dataclass
class Scene:
    """A scene under construction, and the finished scene.

    Attributes:
        light: Light, sky and air.
        heights: Height field of the terrain in metres, GxG float32, or None.
        extent: Side of the square the height field covers, centred on the origin, in metres.
    """

    light: Light = field(default_factory=Light)
    heights: npt.NDArray[np.float32] | None = None
    extent: float = 1.0
    _kinds: list[int] = field(default_factory=list)
    _centres: list[Vector] = field(default_factory=list)
    _turns: list[Matrix] = field(default_factory=list)
    _halves: list[Vector] = field(default_factory=list)
    _materials: list[list[float]] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of surfaces."""
        return len(self._kinds)

    def add(
        self, kind: Kind, centre: Vector, half: Vector, material: Material, turn: Matrix = IDENTITY
    ) -> None:
        """Add one surface.

        Args:
            kind: Its shape.
            centre: Metres in the world.
            half: Half sizes along its own axes in metres (1, 1, 1 for a plane).
            material: Its appearance.
            turn: Rotation world -> its own frame, row by row.
        """
        self._kinds.append(int(kind))
        self._centres.append(centre)
        self._turns.append(turn)
        self._halves.append(half)
        # The number of the surface shifts its texture, so that equal surfaces differ.
        shift = 0.37 * len(self._kinds)
        self._materials.append(
            [*material.dark, *material.bright, material.texture, material.scale, material.gloss,
             material.mirror, material.glow, shift % 1.0]
        )  # fmt: skip

    def plane(self, point: Vector, normal: Vector, material: Material) -> None:
        """Add an endless plane that is seen from the side its unit normal points to.

        Args:
            point: Any point on it, in metres.
            normal: Unit vector.
            material: Its appearance.
        """
        x, y, z = normal
        # Walls keep their texture upright: the second axis of their frame is as high as can be.
        if abs(z) < 0.9:
            side = (-y / math.hypot(x, y), x / math.hypot(x, y), 0.0)
        else:
            side = (1.0, 0.0, 0.0)
        up = (
            y * side[2] - z * side[1],
            z * side[0] - x * side[2],
            x * side[1] - y * side[0],
        )
        self.add(Kind.PLANE, point, (1.0, 1.0, 1.0), material, (side, up, normal))

    def mesh(
        self, vertices: npt.ArrayLike, faces: Sequence[tuple[int, int, int]], material: Material
    ) -> None:
        """Add a closed triangle mesh.

        Each triangle is cut along its height into two right ones, unless it is right-angled.

        Args:
            vertices: N x 3 metres in the world.
            faces: Three vertices each, anticlockwise as seen from outside; the inside is not seen.
            material: Its appearance.
        """
        points = np.asarray(vertices, np.float64)
        for face in faces:
            # The corner opposite the longest side, and that side.
            a, b, c = (points[corner] for corner in face)
            _, top, left, right = max(
                (float(np.linalg.norm(end - start)), corner, start, end)
                for corner, start, end in ((0, b, c), (1, c, a), (2, a, b))
            )
            apex = points[face[top]]
            along = (right - left) / np.linalg.norm(right - left)
            foot = left + along * ((apex - left) @ along)
            if abs((left - apex) @ (right - apex)) < 1e-9 * ((right - left) @ (right - left)):
                self._right_triangle(apex, left, right, material)
            else:
                self._right_triangle(foot, apex, left, material)
                self._right_triangle(foot, right, apex, material)

    def _right_triangle(
        self,
        corner: npt.NDArray[np.float64],
        first: npt.NDArray[np.float64],
        second: npt.NDArray[np.float64],
        material: Material,
    ) -> None:
        """Add a triangle with its right angle at `corner`, anticlockwise from outside."""
        legs = np.array([first - corner, second - corner])
        sizes = np.linalg.norm(legs, axis=1)
        if sizes.min() < _THINNEST:
            return
        x, y = legs / sizes[:, None]
        turn = (_vector(x), _vector(y), _vector(np.cross(x, y)))
        half = (float(sizes[0]) / 2, float(sizes[1]) / 2, _THINNEST)
        self.add(Kind.TRIANGLE, _vector((first + second) / 2), half, material, turn)

    def terrain(self, heights: npt.NDArray[np.float32], extent: float, material: Material) -> None:
        """Lay a height field under the scene.

        Args:
            heights: GxG float32 metres; rows run along y, columns along x.
            extent: Side of the square it covers, centred on the origin, in metres.
            material: Its appearance.
        """
        self.heights, self.extent = np.asarray(heights, np.float32), extent
        self.add(Kind.TERRAIN, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), material)

    def at(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Place:
        """A place to build an object at.

        Args:
            x: Metres in the world.
            y: Metres in the world.
            z: Metres in the world.
            yaw: Angle about the vertical in radians.

        Returns:
            The place.
        """
        return Place(self, x, y, z, math.cos(yaw), math.sin(yaw))

    def clearance(self, point: Vector) -> float:
        """Distance of a point from the nearest solid's bounding box (0 inside), in metres.

        Args:
            point: Metres in the world.

        Returns:
            Metres; planes and terrain do not count.
        """
        if not self._kinds:
            return math.inf
        kinds = np.array(self._kinds)
        local = np.einsum(
            "nij,nj->ni", np.array(self._turns), np.array(point) - np.array(self._centres)
        )
        outside = np.maximum(np.abs(local) - np.array(self._halves), 0)
        distance = np.linalg.norm(outside, axis=1)
        return float(np.min(np.where(kinds < Kind.PLANE, distance, np.inf)))


def _vector(values: npt.NDArray[np.float64]) -> Vector:
    x, y, z = values.tolist()
    return x, y, z


@dataclass(frozen=True)
class Place:
    """A frame in a scene to build an object in: x forward, y left, z up from its origin."""

    scene: Scene
    x: float
    y: float
    z: float
    cos: float
    sin: float

    def moved(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Place:
        """The place that lies at some coordinates of this one.

        Args:
            x: Metres along this place's x.
            y: Metres along this place's y.
            z: Metres along this place's z.
            yaw: Further turn in radians.

        Returns:
            The new place.
        """
        c, s = math.cos(yaw), math.sin(yaw)
        return replace(
            self,
            x=self.x + self.cos * x - self.sin * y,
            y=self.y + self.sin * x + self.cos * y,
            z=self.z + z,
            cos=self.cos * c - self.sin * s,
            sin=self.sin * c + self.cos * s,
        )

    def put(
        self,
        kind: Kind,
        centre: Vector,
        half: Vector,
        material: Material,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
    ) -> None:
        """Add a solid at some coordinates of this place.

        Args:
            kind: Its shape.
            centre: Metres in this place.
            half: Half sizes in metres.
            material: Its appearance.
            yaw: Turn about z in radians, applied last.
            pitch: Turn about y in radians.
            roll: Turn about x in radians, applied first.
        """
        spot = self.moved(centre[0], centre[1], centre[2], yaw)
        cp, sp, cr, sr = math.cos(pitch), math.sin(pitch), math.cos(roll), math.sin(roll)
        c, s = spot.cos, spot.sin
        # The transpose of Rz(yaw) Ry(pitch) Rx(roll).
        turn = (
            (c * cp, s * cp, -sp),
            (c * sp * sr - s * cr, s * sp * sr + c * cr, cp * sr),
            (c * sp * cr + s * sr, s * sp * cr - c * sr, cp * cr),
        )
        self.scene.add(kind, (spot.x, spot.y, spot.z), half, material, turn)

    def box(self, centre: Vector, half: Vector, material: Material, **turn: float) -> None:
        """Add a box; see `put`."""
        self.put(Kind.BOX, centre, half, material, **turn)

    def ball(self, centre: Vector, half: Vector, material: Material, **turn: float) -> None:
        """Add an ellipsoid; see `put`."""
        self.put(Kind.ELLIPSOID, centre, half, material, **turn)

    def rod(
        self, centre: Vector, radius: float, half: float, material: Material, **turn: float
    ) -> None:
        """Add a round cylinder along z; see `put`."""
        self.put(Kind.CYLINDER, centre, (radius, radius, half), material, **turn)

    def cone(
        self, centre: Vector, radius: float, half: float, material: Material, **turn: float
    ) -> None:
        """Add a round cone along z; see `put`."""
        self.put(Kind.CONE, centre, (radius, radius, half), material, **turn)

    def mesh(
        self, vertices: npt.ArrayLike, faces: Sequence[tuple[int, int, int]], material: Material
    ) -> None:
        """Add a closed triangle mesh; see `Scene.mesh`.

        Args:
            vertices: N x 3 metres in this place.
            faces: Three vertices each, anticlockwise as seen from outside.
            material: Its appearance.
        """
        spots = [self.moved(*map(float, vertex)) for vertex in np.asarray(vertices)]
        self.scene.mesh([(spot.x, spot.y, spot.z) for spot in spots], faces, material)


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
            kind[row, :n] = scene._kinds
            centre[row, :n] = scene._centres
            turn[row, :n] = scene._turns
            half[row, :n] = scene._halves
            material[row, :n] = scene._materials
    light = np.array([scene.light.row() for scene in scenes], np.float32)
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
