"""Start the depth node with a LiDAR that scales its depth; see depth_anything.launch.py."""

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
                "points",
                default_value="points",
                description="Topic of the LiDAR's points (PointCloud2), for example "
                "/velodyne_points.",
            ),
            DeclareLaunchArgument(
                "fixed_frame",
                default_value="",
                description="Frame that stands still (odom): takes the robot's motion between a "
                "scan and an image out; empty where there is none.",
            ),
            DeclareLaunchArgument(
                "sensor_extrinsics",
                default_value="",
                description="Where the LiDAR stands, in place of tf2: [x, y, z, qx, qy, qz, qw] "
                "brings its points into the optical frame.",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=f"{SHARE}/config/lidar.yaml",
                description="YAML file with the node's parameters.",
            ),
            DeclareLaunchArgument(
                "rviz_config",
                default_value=f"{SHARE}/config/lidar_fusion.rviz",
                description="What rviz2 shows.",
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(f"{SHARE}/launch/depth_anything.launch.py")
            ),
        ]
    )
