"""Seeded pictures of procedural worlds with exact depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from depth_anything_ros.errors import SettingError
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.synthetic import views
from depth_anything_ros.synthetic.rendering import artefacts, textures
from depth_anything_ros.synthetic.rendering.render import trace_images
from depth_anything_ros.synthetic.rendering.scene_batch import stack
from depth_anything_ros.synthetic.worlds import kinds as worlds
from depth_anything_ros.synthetic.worlds.world import World

FARTHEST = 300.0
"""Depth in metres from which on pixels are marked invalid (fog, ends of the worlds)."""


@dataclass(frozen=True)
class SyntheticImage:
    """A rendered picture with its ground truth.

    Attributes:
        rgb: HxWx3 uint8 sRGB.
        depth: HxW float32 metres along the optical Z axis, infinite for sky.
        valid: HxW bool, where `depth` may be used: all of the sky, and what is nearer than
            `FARTHEST`.
        camera: The camera.
        pose: 4x4 float64, optical frame -> world.
        kind: Kind of world ("room", "street", ...).
    """

    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    camera: Camera
    pose: npt.NDArray[np.float64]
    kind: str


class Generator:
    """Renders pictures by number: the same seed and number always give the same picture.

    Args:
        width: Columns of the pictures.
        height: Rows of the pictures.
        seed: Seed of every random draw.
        photos: Folder of photographs to use as textures, too.
        device: Torch device of the rendering.
        kinds: Kinds of world to draw from; empty draws from all with their default shares.
        views_per_world: How many consecutive pictures are taken of one world.

    Raises:
        SettingError: A size, kind or number of views is not valid.
        InputError: The folder holds no photograph.
    """

    def __init__(
        self,
        width: int = 256,
        height: int = 192,
        seed: int = 0,
        photos: Path | None = None,
        device: torch.device | str = "cpu",
        kinds: Sequence[str] = (),
        views_per_world: int = 2,
    ) -> None:
        if min(width, height) < 16:
            raise SettingError(f"synthetic size is {width}x{height}; both sides need 16 pixels")
        unknown = sorted(set(kinds) - set(worlds.KINDS))
        if unknown:
            raise SettingError(
                f"kinds names {', '.join(unknown)}; there are {', '.join(worlds.KINDS)}"
            )
        if views_per_world < 1:
            raise SettingError(f"views_per_world is {views_per_world}; it must be 1 or more")
        self.width, self.height, self.seed = width, height, seed
        self._device = torch.device(device)
        self._kinds = tuple(kinds)
        self._views = views_per_world
        self.atlas = textures.build(seed, photos)
        self._device_atlas = self.atlas.to(self._device)
        self._last: tuple[int, World] | None = None

    def world(self, number: int) -> World:
        """The world of some pictures.

        Args:
            number: Number of the world.

        Returns:
            The world.
        """
        if self._last is None or self._last[0] != number:
            rng = np.random.default_rng([self.seed, 1, number])
            kind = str(rng.choice(self._kinds)) if self._kinds else None
            self._last = number, worlds.build(rng, self.atlas, kind)
        return self._last[1]

    def camera(self, number: int) -> Camera:
        """The camera of a picture, without making it.

        Args:
            number: Number of the picture.

        Returns:
            The camera.
        """
        return views.random_camera(self._rng(number), self.width, self.height)

    def _rng(self, number: int) -> np.random.Generator:
        """What a picture is drawn from; its camera is drawn first."""
        return np.random.default_rng([self.seed, 2, number])

    @torch.inference_mode()
    def images(self, numbers: Sequence[int]) -> list[SyntheticImage]:
        """Render pictures; 4 to 16 at once are fastest.

        Args:
            numbers: Numbers of the pictures, 0 or more.

        Returns:
            The pictures, in order.
        """
        places, cameras, poses, generators = [], [], [], []
        for number in numbers:
            rng = self._rng(number)
            place = self.world(number // self._views)
            places.append(place)
            cameras.append(views.random_camera(rng, self.width, self.height))
            poses.append(views.random_pose(rng, place))
            generators.append(rng)
        rays = [np.stack(np.broadcast_arrays(*ray_table(camera))) for camera in cameras]
        seen = trace_images(
            stack([place.scene for place in places], self._device),
            torch.from_numpy(np.stack(rays)).to(self._device),
            torch.from_numpy(np.stack(poses).astype(np.float32)).to(self._device),
            self._device_atlas,
        )
        colours = seen.colour.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        depths = seen.depth.cpu().numpy()
        return [
            SyntheticImage(
                rgb=artefacts.develop(rng, colour),
                depth=depth,
                valid=(depth < FARTHEST) | np.isinf(depth),
                camera=camera,
                pose=pose,
                kind=place.kind,
            )
            for rng, colour, depth, camera, pose, place in zip(
                generators, colours, depths, cameras, poses, places, strict=True
            )
        ]
