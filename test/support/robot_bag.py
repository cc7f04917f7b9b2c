"""A recording of the simulated robot: camera, true depth, LiDAR, odometry and transforms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation
from small_bag import SECOND, Recorded, header, make, write_bag

from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.synthetic.robot import Robot

GAP_S, STEP_M = 0.2, 0.15
FRAME = "camera_optical_frame"


def write_robot_bag(
    folder: Path, robot: Robot, name: str, images: int, start_m: float = 0.0
) -> Path:
    """Drive and record.

    Args:
        folder: Of the recording.
        robot: The robot.
        name: Name of its camera.
        images: How many pictures.
        start_m: Metres driven before the first one.
    """
    camera, recorded = robot.cameras[name], []
    for number in range(images):
        moment, distance = round(number * GAP_S * SECOND), start_m + number * STEP_M
        rgb, depth = robot.photograph(name, distance)
        cloud = robot.measure(distance)
        pose = robot.pose(distance)
        recorded += [
            transforms("/tf", moment, [("odom", "base_link", pose)]),
            odometry("/odometry", moment, pose),
            image("/camera/image_raw", moment, rgb, "rgb8"),
            image("/true_depth/image", moment, depth, "32FC1"),
            points("/points", moment, cloud),
            *(
                info(topic, moment, camera)
                for topic in ("/camera/camera_info", "/true_depth/camera_info")
            ),
        ]
    fixed = [
        ("base_link", FRAME, robot.base_camera[name]),
        ("base_link", "lidar", robot.base_lidar),
    ]
    recorded.append(transforms("/tf_static", 0, fixed))
    return write_bag(folder, recorded)


def image(topic: str, moment: int, pixels: npt.NDArray[Any], encoding: str) -> Recorded:
    data = np.ascontiguousarray(pixels)
    height, width = data.shape[:2]
    message = make(
        "sensor_msgs/msg/Image", header=header(moment, FRAME), height=height, width=width,
        encoding=encoding, is_bigendian=0, step=data.nbytes // height,
        data=data.view(np.uint8).ravel(),
    )  # fmt: skip
    return Recorded(topic, moment, message)


def info(topic: str, moment: int, camera: Camera) -> Recorded:
    roi = make(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False,
    )  # fmt: skip
    message = make(
        "sensor_msgs/msg/CameraInfo", header=header(moment, FRAME), height=camera.height,
        width=camera.width, distortion_model="plumb_bob", d=np.zeros(5), k=camera.k.ravel(),
        r=np.eye(3).ravel(), p=camera.p.ravel(), binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip
    return Recorded(topic, moment, message)


def points(topic: str, moment: int, xyz: npt.NDArray[np.float32]) -> Recorded:
    fields = [
        make("sensor_msgs/msg/PointField", name=name, offset=4 * number, datatype=7, count=1)
        for number, name in enumerate("xyz")
    ]
    message = make(
        "sensor_msgs/msg/PointCloud2", header=header(moment, "lidar"), height=1, width=len(xyz),
        fields=fields, is_bigendian=False, point_step=12, row_step=12 * len(xyz),
        data=np.ascontiguousarray(xyz, np.float32).view(np.uint8).ravel(), is_dense=True,
    )  # fmt: skip
    return Recorded(topic, moment, message)


def transforms(
    topic: str, moment: int, edges: list[tuple[str, str, npt.NDArray[np.float64]]]
) -> Recorded:
    stamped = []
    for parent, child, matrix in edges:
        place, turn = _numbers(matrix)
        transform = make(
            "geometry_msgs/msg/Transform",
            translation=make("geometry_msgs/msg/Vector3", **place),
            rotation=make("geometry_msgs/msg/Quaternion", **turn),
        )
        stamped.append(
            make(
                "geometry_msgs/msg/TransformStamped", header=header(moment, parent),
                child_frame_id=child, transform=transform,
            )
        )  # fmt: skip
    return Recorded(topic, moment, make("tf2_msgs/msg/TFMessage", transforms=stamped))


def odometry(topic: str, moment: int, matrix: npt.NDArray[np.float64]) -> Recorded:
    place, turn = _numbers(matrix)
    zero = make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
    pose = make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", **place),
        orientation=make("geometry_msgs/msg/Quaternion", **turn),
    )
    twist = make("geometry_msgs/msg/Twist", linear=zero, angular=zero)
    message = make(
        "nav_msgs/msg/Odometry", header=header(moment, "odom"), child_frame_id="base_link",
        pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36)),
        twist=make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)),
    )  # fmt: skip
    return Recorded(topic, moment, message)


def _numbers(matrix: npt.NDArray[np.float64]) -> tuple[dict[str, float], dict[str, float]]:
    turn = Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()
    place = matrix[:3, 3].tolist()
    return dict(zip("xyz", place, strict=True)), dict(zip("xyzw", turn, strict=True))
