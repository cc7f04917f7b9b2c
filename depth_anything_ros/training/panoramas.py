"""Panoramas to ordinary pictures: one sphere gives many views for pseudo-labels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.media import write_image

SUFFIXES = (".hdr", ".png", ".jpg", ".jpeg")
"""Kinds of panorama that can be read."""

_MIDDLE_GREY = 0.35  # linear, of the median of what lies around the horizon
_SHOULDER = 0.35  # how soon highlights are compressed
_HFOV = (62.0, 100.0)  # degrees
_PITCH = (-38.0, 12.0)  # degrees, up is positive: robots look down more than up
_ROLL = 2.5  # degrees, standard deviation
_GAMMA = (0.8, 1.3)


def cut_views(
    panoramas: Path,
    output: Path,
    per_panorama: int = 32,
    seed: int = 0,
    size: tuple[int, int] = (240, 320),
) -> int:
    """Write random perspective views of every panorama in a folder as JPEG.

    Args:
        panoramas: Folder of equirectangular pictures, twice as wide as high; searched through.
        output: Folder for the views, made when it is missing.
        per_panorama: Views of each, all around.
        seed: Decides directions, fields of view and exposure.
        size: (height, width) of a view.

    Returns:
        How many views were written.

    Raises:
        InputError: There is no panorama, or one cannot be read or has another shape.
    """
    paths = sorted(path for path in panoramas.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"{panoramas} holds no panorama ({', '.join(SUFFIXES)})")
    output.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        panorama = read_panorama(path)
        rng = np.random.default_rng([seed, number])
        for turn in range(per_panorama):
            yaw = 360.0 * (turn + rng.uniform()) / per_panorama
            hfov, pitch = rng.uniform(*_HFOV), rng.uniform(*_PITCH)
            view = perspective(panorama, size, hfov, yaw, pitch, rng.normal() * _ROLL)
            developed = 255 * (view / np.float32(255)) ** np.float32(rng.uniform(*_GAMMA))
            picture = np.rint(developed).astype(np.uint8)
            name = output / f"{path.stem}_{turn:03d}.jpg"
            write_image(name, picture, 93)
    return per_panorama * len(paths)


def read_panorama(path: Path) -> npt.NDArray[np.uint8]:
    """Read a panorama; radiance (.hdr) is exposed for what lies around the horizon.

    Args:
        path: The file.

    Returns:
        HxWx3 uint8 sRGB.

    Raises:
        InputError: It cannot be read, or is not twice as wide as high.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise InputError(f"{path} cannot be read as a picture")
    height, width = image.shape[:2]
    if width != 2 * height:
        raise InputError(f"{path} is {width}x{height}; a panorama is twice as wide as high")
    if image.dtype == np.uint8:
        code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
        return np.asarray(cv2.cvtColor(image[..., :3] if image.ndim == 3 else image, code))
    light = np.maximum(image[..., 2::-1].astype(np.float32), 0)
    around = light[height // 4 : 3 * height // 4].mean(-1)
    exposed = light * np.float32(_MIDDLE_GREY / max(float(np.median(around)), 1e-6))
    exposed = np.clip(exposed / (1 + _SHOULDER * exposed), 0, 1)
    # The transfer function of sRGB (IEC 61966-2-1).
    bright = 1.055 * np.maximum(exposed, 1e-6) ** (1 / 2.4) - 0.055
    encoded = np.where(exposed <= 0.0031308, 12.92 * exposed, bright)
    return np.asarray(np.rint(255 * encoded), np.uint8)


def perspective(
    panorama: npt.NDArray[np.uint8],
    size: tuple[int, int],
    hfov: float,
    yaw: float,
    pitch: float,
    roll: float = 0.0,
) -> npt.NDArray[np.uint8]:
    """What a pinhole camera in the middle of a panorama sees.

    Args:
        panorama: HxWx3 uint8, equirectangular: its middle column is ahead, its middle row the
            horizon.
        size: (height, width) of the view.
        hfov: Horizontal field of view in degrees.
        yaw: Degrees to the right of the middle column.
        pitch: Degrees above the horizon.
        roll: Degrees the camera is turned clockwise about its axis.

    Returns:
        height x width x 3 uint8.
    """
    height, width = size
    focal = width / 2 / np.tan(np.radians(hfov) / 2)
    x = (np.arange(width) + 0.5 - width / 2) / focal
    y = (np.arange(height)[:, None] + 0.5 - height / 2) / focal
    turn, tilt = np.radians(roll), np.radians(pitch)
    right = x * np.cos(turn) - y * np.sin(turn)
    down = x * np.sin(turn) + y * np.cos(turn)
    below = down * np.cos(tilt) - np.sin(tilt)
    ahead = down * np.sin(tilt) + np.cos(tilt)
    longitude = np.arctan2(right, ahead) + np.radians(yaw)
    latitude = np.arctan2(below, np.hypot(right, ahead))
    rows, columns = panorama.shape[:2]
    u = ((longitude / (2 * np.pi) + 0.5) % 1 * columns - 0.5).astype(np.float32)
    v = ((latitude / np.pi + 0.5) * rows - 0.5).astype(np.float32)
    view = cv2.remap(panorama, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
    return np.asarray(view, np.uint8)
