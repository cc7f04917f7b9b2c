"""A camera that drives along a road with a pavement beside it, drawn exactly."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import Frame, Plane
from depth_anything_ros.geometry.camera import Camera, ray_table

CAMERA = Camera.from_hfov(320, 240, 70.0)
HEIGHT = 0.85
GROUND = Plane((0.0, -1.0, 0.0), HEIGHT)
SIDE = 0.4  # metres to the right, where the road ends
TEXTURE = cv2.GaussianBlur(
    np.random.default_rng(0).integers(0, 255, (1024, 1024)).astype(np.float32), (0, 0), 1.5
)
TEXTURE = (TEXTURE - TEXTURE.mean()) / TEXTURE.std()

Mask = npt.NDArray[np.bool_]


def drive(
    step: float,
    moved: float,
    camera: Camera = CAMERA,
    pitch_deg: float = 0.0,
    yaw_deg: float = 0.0,
    road_contrast: float = 12.0,
    noise: float = 2.0,
) -> tuple[Frame, Mask, Mask]:
    """A frame on a road along the view, beside it a pavement `step` metres higher.

    Args:
        step: Height of the pavement, negative for a ditch, 0 for a road of another grey.
        moved: Metres ahead of the start.
        camera: The camera.
        pitch_deg: By how much the pose is wrong,
        yaw_deg: and about the camera's y axis.
        road_contrast: Standard deviation of the road's grey values; where it is smaller than 12,
            the image has noise,
        noise: of this standard deviation.

    Returns:
        The frame; where it shows the road; and where the other.
    """
    x, y = (part.astype(np.float64) for part in np.broadcast_arrays(*ray_table(camera)))
    down = np.maximum(y, 0.05)
    road, other = HEIGHT / down, (HEIGHT - step) / down
    first, second = (other, road) if step > 0 else (road, other)
    on_first = x * first > SIDE if step > 0 else x * first <= SIDE
    on_second = x * second <= SIDE if step > 0 else x * second > SIDE
    depth = np.where(on_first, first, second)
    is_road = (on_second & ~on_first) if step > 0 else on_first
    is_other = on_first if step > 0 else (on_second & ~on_first)
    at = np.stack([x * depth, depth + moved], axis=-1) / 0.02 % 1023
    across, along = np.moveaxis(at.astype(np.float32), 2, 0)
    texture = cv2.remap(TEXTURE, across, along, cv2.INTER_LINEAR)
    gray = np.where(is_other, 150, 90) + np.where(is_other, 12, road_contrast) * texture
    if road_contrast < 12:
        rng = np.random.default_rng(round(1e3 * moved))
        gray = gray + rng.normal(0, noise, gray.shape)
    gray[~(is_road | is_other)] = 60
    gray[y < 0.08] = 200
    rgb = np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    pose = np.eye(4)
    pitch = math.radians(pitch_deg)
    pose[1:3, 1:3] = [[math.cos(pitch), -math.sin(pitch)], [math.sin(pitch), math.cos(pitch)]]
    pose[:3, :3] = cv2.Rodrigues(np.array([0.0, math.radians(yaw_deg), 0.0]))[0] @ pose[:3, :3]
    pose[2, 3] = moved
    frame = Frame(rgb, round(1e9 * (1 + moved)), camera=camera, ground=GROUND, pose=pose)
    near = (depth < 4) & (y > 0.1)
    return frame, inner(is_road & near), inner(is_other & near)


def inner(mask: Mask) -> Mask:
    """Without what lies near an edge or the end of the image, at half the size."""
    inside = cv2.erode(np.pad(mask, 1).astype(np.uint8), np.ones((17, 25), np.uint8))[1:-1, 1:-1]
    return np.asarray(inside[1::2, 1::2] > 0)
