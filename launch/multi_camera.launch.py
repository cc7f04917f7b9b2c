"""Start one depth node for several cameras that share a model; see depth_anything.launch.py."""

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from launch import LaunchDescription

SHARE = get_package_share_directory("depth_anything_ros")


def generate_launch_description():
    """Declare what differs from the included file's defaults; its other arguments stay."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "cameras",
                default_value="front,left,right",
                description="Names of the cameras: each has <name>/image and <name>/camera_info, "
                "and its answers below the node's <name>/.",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=f"{SHARE}/config/multi_camera.yaml",
                description="YAML file with the node's parameters.",
            ),
            DeclareLaunchArgument(
                "rviz_config",
                default_value=f"{SHARE}/config/multi_camera.rviz",
                description="What rviz2 shows (front, left and right).",
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(f"{SHARE}/launch/depth_anything.launch.py")
            ),
        ]
    )
