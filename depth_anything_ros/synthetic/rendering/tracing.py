"""Batched ray casting: groups of neighbouring rays against candidate surfaces.

Rays come in groups (the pixels of a tile). Which surfaces a group can meet is decided first, for
all groups at once and on the safe side; then each group's rays are intersected with its own list
only, the first surface of every list together, then the second, and so on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from depth_anything_ros.synthetic.rendering.scene_batch import Scenes
from depth_anything_ros.synthetic.rendering.solids import Kind, hit
from depth_anything_ros.synthetic.rendering.terrain import hit_heights

SOLIDS = (Kind.PLANE, Kind.BOX, Kind.CYLINDER, Kind.ELLIPSOID, Kind.CONE, Kind.TRIANGLE)
"""Kinds in the order of intersection: the largest occluders first."""

_CHUNK = {"cpu": 1 << 15}
"""Rays intersected at once. On a CPU their numbers stay in the cache then, and freshly mapped
pages, which cost more than the arithmetic, are not needed; a GPU wants many (`_MANY`)."""

_MANY = 1 << 22


def nearest(
    scenes: Scenes,
    scene_of: Tensor,
    origin: Tensor,
    direction: Tensor,
    candidates: Tensor,
    terrain: bool = True,
    nearness: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Find the first surface along each ray.

    Args:
        scenes: B scenes.
        scene_of: G int64, the scene of each group.
        origin: G x 3 x 1 or G x 3 x P metres in the world.
        direction: G x 3 x P, any length.
        candidates: G x S bool, the surfaces each group can meet.
        terrain: Whether height fields count.
        nearness: G x S, a ray parameter below which no ray of the group meets the surface; lets
            hidden surfaces be passed over.

    Returns:
        G x P ray parameters (infinite: none) and G x P int64 surfaces (-1: none).
    """
    groups, _, rays = direction.shape
    best = torch.full((groups, rays), torch.inf, device=direction.device)
    # Half the size of indices: what is read and written for every pair counts.
    surface = torch.full((groups, rays), -1, dtype=torch.int32, device=direction.device)
    if terrain:
        _over_terrain(scenes, scene_of, origin, direction, best, surface)
    shapes = scenes.turn / scenes.half[:, :, :, None]
    kinds = scenes.kind[scene_of]
    chunk = max(1, _CHUNK.get(direction.device.type, _MANY) // rays)
    for kind in SOLIDS:
        group, member = (candidates & (kinds == kind)).nonzero(as_tuple=True)
        if not len(group):
            continue
        near = None
        if nearness is not None:
            near = nearness[group, member]
            order = near.argsort()
            order = order[group[order].argsort(stable=True)]
            group, member, near = group[order], member[order], near[order]
        for rows in _rounds(group, groups):
            if near is not None:
                rows = rows[near[rows] < best[group[rows]].amax(1)]
            for part in rows.split(chunk):
                g, s = group[part], member[part]
                t = _meet(scenes, shapes, kind, scene_of[g], s, origin[g], direction[g])
                old = best[g]
                closer = t < old
                best[g] = torch.where(closer, t, old)
                surface[g] = torch.where(closer, s.int()[:, None], surface[g])
    return best, surface.long()


def distances(
    scenes: Scenes, scene_of: Tensor, origin: Tensor, direction: Tensor, candidates: Tensor
) -> Tensor:
    """Distance to the first hit of each ray; faster than `nearest`, which also gives the surface.

    Args:
        scenes: B scenes; height fields do not count.
        scene_of: G int64, the scene of each group.
        origin: G x 3 x P metres in the world.
        direction: G x 3 x P, any length.
        candidates: G x S bool, the surfaces each group can meet.

    Returns:
        G x P ray parameters, infinite where nothing is met.
    """
    groups, _, rays = direction.shape
    best = torch.full((groups, rays), torch.inf, device=direction.device)
    shapes = scenes.turn / scenes.half[:, :, :, None]
    kinds = scenes.kind[scene_of]
    chunk = max(1, _CHUNK.get(direction.device.type, _MANY) // rays)
    for kind in SOLIDS:
        group, member = (candidates & (kinds == kind)).nonzero(as_tuple=True)
        for g, s in zip(group.split(chunk), member.split(chunk), strict=True):
            t = _meet(scenes, shapes, kind, scene_of[g], s, origin[g], direction[g])
            best.scatter_reduce_(0, g[:, None].expand_as(t), t, "amin")
    return best


def _meet(
    scenes: Scenes,
    shapes: Tensor,
    kind: Kind,
    scene: Tensor,
    surface: Tensor,
    origin: Tensor,
    direction: Tensor,
) -> Tensor:
    """Ray parameters of n groups of rays with one surface each, n x P."""
    shape = shapes[scene, surface]
    o = shape @ (origin - scenes.centre[scene, surface][:, :, None])
    return hit(kind, o, shape @ direction)


def _rounds(group: Tensor, groups: int) -> list[Tensor]:
    """Split pairs, sorted by group, into rounds that hold every group at most once."""
    counts = torch.bincount(group, minlength=groups)
    start = counts.cumsum(0) - counts
    rank = torch.arange(len(group), device=group.device) - start[group]
    order = rank.argsort(stable=True)
    return list(order.split(torch.bincount(rank).tolist()))


def _over_terrain(
    scenes: Scenes,
    scene_of: Tensor,
    origin: Tensor,
    direction: Tensor,
    best: Tensor,
    surface: Tensor,
) -> None:
    """Lower `best` to the terrain where that is nearer, in place."""
    for number, heights in enumerate(scenes.heights):
        if heights is None:
            continue
        mine = scene_of == number
        o = origin[mine].expand_as(direction[mine]).transpose(0, 1).reshape(3, -1)
        d = direction[mine].transpose(0, 1).reshape(3, -1)
        t = hit_heights(heights, scenes.extent[number], o, d).view(-1, best.shape[1])
        row = (scenes.kind[number] == Kind.TERRAIN).long().argmax().int()
        closer = t < best[mine]
        surface[mine] = torch.where(closer, row, surface[mine])
        best[mine] = torch.where(closer, t, best[mine])


def all_candidates(scenes: Scenes, scene_of: Tensor) -> Tensor:
    """Every surface of each group's scene.

    Args:
        scenes: B scenes.
        scene_of: G int64, the scene of each group.

    Returns:
        G x S bool.
    """
    return (scenes.kind >= 0)[scene_of]


_SIGNS = [[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)]
_EDGES = [(a, b) for a in range(8) for b in range(a) if (a ^ b) in (1, 2, 4)]
_NEAR = 1e-2


def seen_candidates(scenes: Scenes, world_camera: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
    """Surfaces whose bounding box can appear in a tile of an image.

    Args:
        scenes: B scenes, one per image.
        world_camera: B x 4 x 4 poses, optical frame -> world.
        rays: B x T x 2 x P, x/z and y/z of the rays of T tiles.

    Returns:
        B x T x S bool, and B x S the least depth each surface can have.
    """
    signs = torch.tensor(_SIGNS, device=scenes.device)
    edges = scenes.half[:, :, :, None] * scenes.turn
    corners = scenes.centre[:, :, None] + torch.einsum("ka,bsac->bskc", signs, edges)
    rotation, place = world_camera[:, :3, :3], world_camera[:, :3, 3]
    local = torch.einsum("bca,bskc->bska", rotation, corners - place[:, None, None])
    # Where an edge passes the plane just before the camera, the box is cut off there.
    first, second = (local[:, :, list(ends)] for ends in zip(*_EDGES, strict=True))
    rise = second[..., 2] - first[..., 2]
    share = (_NEAR - first[..., 2]) / torch.where(rise.abs() < 1e-9, 1e-9, rise)
    cut = first + share.clamp(0, 1)[..., None] * (second - first)
    crossed = (first[..., 2] < _NEAR) != (second[..., 2] < _NEAR)
    points = torch.cat([local, cut], 2)
    shown = torch.cat([local[..., 2] >= _NEAR, crossed], 2)[..., None]
    image = points[..., :2] / points[..., 2:].clamp_min(_NEAR / 2)
    low = torch.where(shown, image, torch.inf).amin(2)
    high = torch.where(shown, image, -torch.inf).amax(2)
    over = (
        (low[:, None] <= rays.amax(-1)[:, :, None] + 1e-4)
        & (high[:, None] >= rays.amin(-1)[:, :, None] - 1e-4)
    ).all(-1)
    endless = (scenes.kind == Kind.PLANE)[:, None]
    solid = ((scenes.kind >= 0) & (scenes.kind < Kind.PLANE))[:, None]
    nearness = local[..., 2].amin(2).clamp_min(0)
    return (over & solid) | endless, torch.where(endless[:, 0], 0.0, nearness)


def cone_candidates(
    scenes: Scenes, scene_of: Tensor, origin: Tensor, direction: Tensor, spread: Tensor | float
) -> Tensor:
    """Surfaces whose bounding ball touches the cone around rays from about one point.

    Args:
        scenes: B scenes.
        scene_of: G int64, the scene of each group.
        origin: G x 3 metres.
        direction: G x 3 x P unit vectors.
        spread: G x 1, or one number: how far in metres the rays start from `origin`.

    Returns:
        G x S bool.
    """
    axis = torch.nn.functional.normalize(direction.mean(2), dim=1)
    opening = (axis[:, :, None] * direction).sum(1).amin(1).clamp(-1, 1).arccos()
    to = scenes.centre[scene_of] - origin[:, None]
    distance = to.norm(dim=2).clamp_min(1e-6)
    radius = scenes.half[scene_of].norm(dim=2) + spread
    angle = ((to * axis[:, None]).sum(2) / distance).clamp(-1, 1).arccos()
    width = (radius / distance).clamp(max=1).arcsin()
    near = (angle <= opening[:, None] + width + 1e-3) | (radius >= distance)
    kind = scenes.kind[scene_of]
    return (near & (kind >= 0)) | (kind == Kind.PLANE)


def beam_candidates(scenes: Scenes, start: Tensor, end: Tensor, radius: Tensor) -> Tensor:
    """Surfaces whose bounding box touches a thick segment.

    The box is blown up by the beam's radius and the bare segment is tested against it.

    Args:
        scenes: B scenes.
        start: G x 3 metres; the groups lie in the order of their scenes, equally many each.
        end: G x 3 metres; equal to `start` for a ball.
        radius: G metres.

    Returns:
        G x S bool; planes are left out, for light comes from their front side.
    """
    batch, count = scenes.kind.shape
    tiles = len(start) // batch
    result = torch.zeros(batch, tiles, count, dtype=torch.bool, device=scenes.device)
    segments = zip(
        start.view(batch, tiles, 3), (end - start).view(batch, tiles, 3), radius.view(batch, tiles),
        strict=True,
    )  # fmt: skip
    # Scene by scene: the longest one's padding would cost the others more than the loop.
    for number, (first, way, thick) in enumerate(segments):
        kind = scenes.kind[number]
        solid = ((kind >= 0) & (kind < Kind.PLANE)).nonzero()[:, 0]
        turn = scenes.turn[number, solid]
        centre = (turn @ scenes.centre[number, solid, :, None])[:, :, 0]
        axes = turn.flatten(0, 1).T
        o = (first @ axes).unflatten(1, (len(solid), 3)) - centre
        d = (way @ axes).unflatten(1, (len(solid), 3))
        half = scenes.half[number, solid] + thick[:, None, None] + 1e-3
        inverse = torch.where(d.abs() < 1e-6, 1e-6, d).reciprocal()
        middle, reach = o * inverse, half * inverse.abs()
        enter, leave = (-middle - reach).amax(2), (reach - middle).amin(2)
        result[number][:, solid] = (enter <= leave) & (leave >= 0) & (enter <= 1)
    return result.flatten(0, 1)
