"""Images and range scans of scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.synthetic.rendering import shading, visibility
from depth_anything_ros.synthetic.rendering.scene import Scene
from depth_anything_ros.synthetic.rendering.scene_batch import Scenes, stack
from depth_anything_ros.synthetic.rendering.surfels import COARSE, coarse, surfels_at
from depth_anything_ros.synthetic.rendering.textures import Atlas
from depth_anything_ros.synthetic.rendering.tracing import (
    all_candidates,
    cone_candidates,
    nearest,
    seen_candidates,
)

TILE = 16
"""Side of the square of pixels that share one list of surfaces."""

_SCAN_GROUP = 128


@dataclass(frozen=True)
class Rendering:
    """Images of B scenes, before camera artefacts.

    Attributes:
        colour: B x 3 x H x W linear RGB, 1 is white.
        depth: B x H x W metres along the optical Z axis, infinite for sky.
    """

    colour: Tensor
    depth: Tensor


def trace_images(
    scenes: Scenes, rays: Tensor, world_camera: Tensor, atlas: Atlas | None
) -> Rendering:
    """Render scenes, one camera each, all of one image size.

    Args:
        scenes: B scenes.
        rays: B x 2 x H x W, x/z and y/z of every pixel in the optical frame.
        world_camera: B x 4 x 4 poses, optical frame -> world.
        atlas: Textures; None leaves the colour black and saves its time.

    Returns:
        Colour and depth.
    """
    batch, _, height, width = rays.shape
    pad = (0, -width % TILE, 0, -height % TILE)
    tiles = _to_tiles(F.pad(rays, pad, mode="replicate"))
    count = tiles.shape[1]
    scene_of = torch.arange(batch, device=scenes.device).repeat_interleave(count)
    candidates, nearness = seen_candidates(scenes, world_camera, tiles)
    local = torch.cat([tiles, torch.ones_like(tiles[:, :, :1])], 2).flatten(0, 1)
    direction = world_camera[scene_of, :3, :3] @ local
    origin = world_camera[scene_of, :3, 3:]
    t, surface = nearest(
        scenes,
        scene_of,
        origin,
        direction,
        candidates.flatten(0, 1),
        nearness=nearness[scene_of],
    )

    def image(values: Tensor) -> Tensor:
        """... x G x P to ... x B x H x W."""
        return _from_tiles(values.unflatten(-2, (batch, count)), height, width)

    if atlas is None:
        return Rendering(torch.zeros(batch, 3, height, width, device=scenes.device), image(t))
    footprint = (tiles[:, :, 0, 1] - tiles[:, :, 0, 0]).abs().flatten()[:, None]
    seen = surfels_at(scenes, atlas, scene_of, origin, direction, t, surface, footprint)
    points = coarse(seen, TILE)
    side = TILE // COARSE
    shares = torch.stack(visibility.visibility(scenes, scene_of, points, side))

    rows, columns = (-(-length // TILE) * side for length in (height, width))

    def small(values: Tensor) -> Tensor:
        return _from_tiles(values.unflatten(-2, (batch, count)), rows, columns, side)

    shares = visibility.blend(small(shares), small(points.face), image(seen.face))
    shares = F.pad(shares, pad, mode="replicate")
    lamp, open_share = _to_tiles(shares.transpose(0, 1)).permute(2, 0, 1, 3).flatten(1, 2)
    length = (direction * direction).sum(1).sqrt()
    ray = (direction / length[:, None]).transpose(0, 1)
    colour = shading.outgoing_light(scenes, scene_of, seen, ray, lamp, open_share)
    colour = shading.reflections(scenes, atlas, scene_of, seen, ray, colour)
    distance = torch.where(seen.hit, t * length, torch.zeros_like(t))
    colour = shading.add_fog(scenes, scene_of, distance, colour)
    open_sky = ~seen.hit.all(1)
    if open_sky.any():
        beyond = shading.sky(scenes, atlas, scene_of[open_sky], direction[open_sky])
        colour[:, open_sky] = torch.where(seen.hit[open_sky], colour[:, open_sky], beyond)
    return Rendering(image(colour).transpose(0, 1), image(t))


def _to_tiles(values: Tensor) -> Tensor:
    """B x C x H x W to B x T x C x P."""
    batch, channels, height, width = values.shape
    parts = values.view(batch, channels, height // TILE, TILE, width // TILE, TILE)
    return parts.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels, TILE * TILE)


def _from_tiles(values: Tensor, height: int, width: int, side: int = TILE) -> Tensor:
    """... x T x P to ... x H x W."""
    rows, columns = -(-height // side), -(-width // side)
    front = values.shape[:-2]
    parts = values.reshape(-1, rows, columns, side, side).transpose(2, 3)
    return parts.reshape(*front, rows * side, columns * side)[..., :height, :width]


def render(
    scene: Scene,
    camera: Camera,
    pose_world_camera: npt.NDArray[np.float64],
    atlas: Atlas | None = None,
    device: torch.device | str = "cpu",
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Take a picture of a scene with a calibrated camera, distortion included.

    Args:
        scene: The scene.
        camera: The camera.
        pose_world_camera: 4x4 float64, optical frame -> world.
        atlas: Textures the scene was made with; without, the picture is black.
        device: Where to compute.

    Returns:
        HxWx3 uint8 sRGB as an ideal camera takes it, and HxW float32 metres along the optical Z
        axis, infinite for sky, NaN where the camera has no ray.
    """
    x, y = np.broadcast_arrays(*ray_table(camera))
    table = torch.from_numpy(np.stack([x, y])).to(device)
    blind = table.isnan().any(0)
    pose = torch.from_numpy(np.asarray(pose_world_camera, np.float32))[None].to(device)
    picture = trace_images(
        stack([scene], device),
        table.nan_to_num()[None],
        pose,
        atlas.to(device) if atlas is not None else None,
    )
    depth = torch.where(blind, torch.nan, picture.depth[0])
    return to_srgb(picture.colour)[0].permute(1, 2, 0).cpu().numpy(), depth.cpu().numpy()


def to_srgb(colour: Tensor) -> Tensor:
    """Develop linear RGB: highlights roll off, then the usual curve.

    Args:
        colour: Any shape, linear, 1 is white.

    Returns:
        uint8 of the same shape.
    """
    # Linear up to 0.8; above it approaches 1 smoothly, as film and camera curves do.
    over = (colour - 0.8).clamp_min(0)
    rolled = torch.where(colour > 0.8, 0.8 + 0.2 * (1 - (-over / 0.2).exp()), colour)
    return (rolled.clamp(0, 1) ** (1 / 2.2) * 255).round().to(torch.uint8)


def scan(
    scene: Scene,
    pose_world_sensor: npt.NDArray[np.float64],
    directions: npt.NDArray[np.floating],
    device: torch.device | str = "cpu",
) -> npt.NDArray[np.float32]:
    """Measure ranges from one point, as a LiDAR does.

    Args:
        scene: The scene.
        pose_world_sensor: 4x4 float64, sensor frame -> world.
        directions: Nx3 unit vectors in the sensor frame; neighbours in the list should be
            neighbours in space.
        device: Where to compute.

    Returns:
        N float32 metres along each ray, infinite where nothing is hit.
    """
    count = len(directions)
    if not count:
        return np.zeros(0, np.float32)
    scenes = stack([scene], device)
    pose = torch.from_numpy(np.asarray(pose_world_sensor, np.float32)).to(device)
    rays = torch.from_numpy(np.asarray(directions, np.float32)).to(device) @ pose[:3, :3].T
    rays = torch.cat([rays, rays[-1:].expand(-count % _SCAN_GROUP, 3)])
    groups = rays.view(-1, _SCAN_GROUP, 3).transpose(1, 2).contiguous()
    scene_of = torch.zeros(len(groups), dtype=torch.long, device=groups.device)
    origin = pose[:3, 3].expand(len(groups), 3)
    if len(scene):
        candidates = cone_candidates(scenes, scene_of, origin, groups, 0.0)
    else:
        candidates = all_candidates(scenes, scene_of)
    t, _ = nearest(scenes, scene_of, origin[:, :, None], groups, candidates)
    return t.flatten()[:count].cpu().numpy()
