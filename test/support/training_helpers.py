"""Small runs and a simulated recording for the tests of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import yaml
from scipy.spatial.transform import Rotation

from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.synthetic import lidar
from depth_anything_ros.synthetic.rendering import textures
from depth_anything_ros.synthetic.rendering.render import render, scan
from depth_anything_ros.synthetic.views import camera_pose
from depth_anything_ros.synthetic.worlds import kinds as worlds

NETWORK: dict[str, Any] = {
    "width": 64,
    "depth": 4,
    "heads": 1,
    "features": 16,
    "out_channels": [16, 16, 32, 32],
    "grid": 8,
}
"""A network that learns in seconds."""


def write_recipe(path: Path, **settings: Any) -> Path:
    """A recipe file; `settings` on top of a small network and fast rates."""
    content: dict[str, Any] = {
        "network": NETWORK,
        "size": [56, 84],
        "batch": 8,
        "encoder_rate": 1e-3,
        "head_rate": 1e-3,
        "validation_images": 8,
        **settings,
    }
    path.write_text(yaml.safe_dump(content))
    return path


def write_index(folder: Path, count: int, size: tuple[int, int] = (60, 90)) -> Path:
    """Pictures of slanted planes with boxes before them, and their depth, as a CSV index."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    height, width = size
    rows = ["image,depth"]
    for number in range(count):
        y = np.arange(height, dtype=np.float32)[:, None] / height
        depth = np.broadcast_to(1 / (0.1 + rng.uniform(0.2, 0.6) * y), size).copy()
        texture = rng.integers(60, 190, (height // 4, width // 4, 3), dtype=np.uint8)
        rgb = cv2.resize(texture, (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(3):
            top, left = int(rng.integers(0, height - 20)), int(rng.integers(0, width - 20))
            near = rng.uniform(1.0, 2.5)
            depth[top : top + 18, left : left + 18] = near
            rgb[top : top + 18, left : left + 18] = (250, int(90 * near), 20)
        cv2.imwrite(str(folder / f"{number}.png"), rgb)
        np.save(folder / f"{number}.npy", depth.astype(np.float32))
        rows.append(f"{number}.png,{number}.npy")
    index = folder / "index.csv"
    index.write_text("\n".join(rows) + "\n")
    return index


def write_drive(folder: Path, count: int = 32) -> list[npt.NDArray[np.float32]]:
    """A rosbag2 recording of a robot that turns in a furnished room; the true depth images."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    camera = Camera.from_hfov(96, 64, 75.0)
    atlas = textures.build(0)
    world = worlds.build(np.random.default_rng(6), atlas, "room")
    directions = lidar.beams(16, -25, 20, 360)
    # The LiDAR stands upright 8 cm above the camera.
    mount = camera_pose(0, 0, -0.08, 0)
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    truth: list[npt.NDArray[np.float32]] = []

    def header(number: int, frame: str) -> Any:
        stamp = types["builtin_interfaces/msg/Time"](
            sec=10 + number // 10, nanosec=number % 10 * 10**8
        )
        return types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)

    with Writer(folder, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connections: dict[str, Any] = {}

        def write(topic: str, number: int, message: Any) -> None:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            data = store.serialize_cdr(message, kind)
            writer.write(connections[topic], (100 + number) * 10**8, data)

        turn = Rotation.from_matrix(mount[:3, :3]).as_quat()
        vector, quaternion = (
            types["geometry_msgs/msg/Vector3"],
            types["geometry_msgs/msg/Quaternion"],
        )
        transform = types["geometry_msgs/msg/Transform"](
            translation=vector(*(float(v) for v in mount[:3, 3])),
            rotation=quaternion(*(float(v) for v in turn)),
        )
        stamped = types["geometry_msgs/msg/TransformStamped"](
            header=header(0, "lidar"), child_frame_id="camera", transform=transform
        )
        write("/tf_static", 0, types["tf2_msgs/msg/TFMessage"](transforms=[stamped]))
        for number in range(count):
            sensor = np.eye(4)
            yaw = number * 2.4  # the golden angle: held-out views lie between the others
            sensor[:3, :3] = Rotation.from_euler("z", yaw).as_matrix()
            sensor[:3, 3] = 0.15 * np.cos(yaw), 0.15 * np.sin(yaw), 1.1
            rgb, depth = render(world.scene, camera, sensor @ mount, atlas)
            truth.append(depth)
            ranges = scan(world.scene, sensor, directions)
            hit = np.isfinite(ranges)
            points = (directions[hit] * ranges[hit, None]).astype(np.float32)
            image = types["sensor_msgs/msg/Image"](
                header=header(number, "camera"), height=64, width=96, encoding="rgb8",
                is_bigendian=0, step=288, data=rgb.ravel(),
            )  # fmt: skip
            info = types["sensor_msgs/msg/CameraInfo"](
                header=header(number, "camera"), height=64, width=96, distortion_model="plumb_bob",
                d=np.zeros(5), k=camera.k.ravel(), r=np.eye(3).ravel(), p=camera.p.ravel(),
                binning_x=0, binning_y=0,
                roi=types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
            )  # fmt: skip
            field = types["sensor_msgs/msg/PointField"]
            cloud = types["sensor_msgs/msg/PointCloud2"](
                header=header(number, "lidar"), height=1, width=len(points),
                fields=[field(name, 4 * k, 7, 1) for k, name in enumerate("xyz")],
                is_bigendian=False, point_step=12, row_step=12 * len(points),
                data=points.view(np.uint8).ravel(), is_dense=True,
            )  # fmt: skip
            write("/camera/camera_info", number, info)
            write("/camera/image_raw", number, image)
            write("/points", number, cloud)
    return truth
