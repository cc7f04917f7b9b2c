"""A scene: surfaces with materials, light and air, in a world frame (x forward, y left, z up)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

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


@dataclass(frozen=True)
class Surface:
    """One surface of a scene.

    Attributes:
        kind: Its shape.
        centre: Metres in the world.
        half: Half sizes along its own axes in metres (1, 1, 1 for a plane).
        material: Its appearance.
        turn: Rotation world -> its own frame, row by row.
    """

    kind: Kind
    centre: Vector
    half: Vector
    material: Material
    turn: Matrix = IDENTITY


@dataclass
class Scene:
    """A scene under construction, and the finished scene.

    Attributes:
        light: Light, sky and air.
        heights: Height field of the terrain in metres, GxG float32, or None.
        extent: Side of the square the height field covers, centred on the origin, in metres.
        surfaces: Its surfaces.
    """

    light: Light = field(default_factory=Light)
    heights: npt.NDArray[np.float32] | None = None
    extent: float = 1.0
    surfaces: list[Surface] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of surfaces."""
        return len(self.surfaces)

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
        self.surfaces.append(Surface(kind, centre, half, material, turn))

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
        if not self.surfaces:
            return math.inf
        kinds = np.array([surface.kind for surface in self.surfaces])
        turns = np.array([surface.turn for surface in self.surfaces])
        offsets = np.array(point) - np.array([surface.centre for surface in self.surfaces])
        local = np.einsum("nij,nj->ni", turns, offsets)
        halves = np.array([surface.half for surface in self.surfaces])
        outside = np.maximum(np.abs(local) - halves, 0)
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
