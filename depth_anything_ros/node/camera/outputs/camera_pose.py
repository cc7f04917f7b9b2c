"""`~/camera_pose`: where the camera is, as a network that sees several images estimates it."""

from __future__ import annotations

from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from depth_anything_ros.metric.sources.views import estimated_pose
from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest


def _make(request: OutputRequest, last: PoseStamped) -> PoseStamped | None:
    frame = request.answer.frame
    if request.answer.prediction.poses is None or not frame.fixed_frame:
        return None
    pose = estimated_pose(request.answer.prediction, frame)
    if pose is None:
        return None
    x, y, z = (float(number) for number in pose[:3, 3])
    turn = (float(number) for number in Rotation.from_matrix(pose[:3, :3]).as_quat())
    return PoseStamped(
        header=Header(stamp=request.header.stamp, frame_id=frame.fixed_frame),
        pose=Pose(
            position=Point(x=x, y=y, z=z),
            orientation=Quaternion(**dict(zip("xyzw", turn, strict=True))),
        ),
    )


OUTPUTS.register(
    Output(
        name="camera_pose",
        rank=105,
        message=PoseStamped,
        meaning="optical frame in the odometry's frame, as the network sees it from its keyframes",
        make=_make,
    )
)
