"""Makes the examples of the demo page (`make examples`).

The photographs are those of scikit-image's wheel, the room is simulated. What they are and their
licences stand in `depth_anything_ros/web/examples.py`.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import skimage

from depth_anything_ros.formats.media import read_image
from depth_anything_ros.frames import RgbImage
from depth_anything_ros.geometry.camera import Camera, project
from depth_anything_ros.synthetic.robot import Robot
from depth_anything_ros.web.examples import EXAMPLES

_DRIVEN_M = 7.0
_PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 85]


def photograph(name: str) -> RgbImage:
    """A photograph of scikit-image, at most 512 rows."""
    rgb = read_image(_PHOTOGRAPHS / f"{name}.png")
    height, width = rgb.shape[:2]
    size = round(width * min(1.0, 512 / height)), min(height, 512)
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def room(hfov: float, points: Path) -> RgbImage:
    """What a robot sees in a simulated room.

    Args:
        hfov: Horizontal field of view of its camera in degrees.
        points: Where the hits of its LiDAR in the picture are written, as u, v, z.
    """
    camera = Camera.from_hfov(640, 480, hfov)
    robot = Robot("room", 3, {"camera": camera})
    rgb, _ = robot.photograph("camera", _DRIVEN_M)
    to_camera = np.linalg.inv(robot.base_camera["camera"]) @ robot.base_lidar
    hits = robot.measure(_DRIVEN_M) @ to_camera[:3, :3].T + to_camera[:3, 3]
    table = np.stack(project(camera, hits), axis=1)
    np.savetxt(points, table, fmt="%.3f", delimiter=",", header="u,v,z", comments="")
    return rgb


def main() -> None:
    """Write all examples."""
    for example in EXAMPLES.values():
        example.picture.parent.mkdir(exist_ok=True)
        if example.points is not None and example.hfov is not None:
            rgb = room(example.hfov, example.points)
        else:
            rgb = photograph(example.name)
        cv2.imwrite(str(example.picture), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), _QUALITY)
        print(example.picture)


if __name__ == "__main__":
    main()
