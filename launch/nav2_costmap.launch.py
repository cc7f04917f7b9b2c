"""Start the depth node and a Nav2 costmap that marks and clears with its points.

Beside a running Nav2, use `costmap:=false` and put the section voxel_layer of the costmap's file
under the local costmap of its own.
"""

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from launch import LaunchDescription

SHARE = get_package_share_directory("depth_anything_ros")


def generate_launch_description():
    """Declare what differs from the included file's defaults; its other arguments stay."""
    simulated = {"use_sim_time": LaunchConfiguration("use_sim_time")}
    # Nav2's executable names itself costmap, in the namespace costmap.
    costmap = LifecycleNode(
        package="nav2_costmap_2d",
        executable="nav2_costmap_2d",
        name="costmap",
        namespace="costmap",
        parameters=[LaunchConfiguration("costmap_params_file"), simulated],
        output="screen",
    )
    # It has no bond with its manager, so none is waited for.
    managed = {"node_names": ["costmap/costmap"], "autostart": True, "bond_timeout": 0.0}
    manager = Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager_costmap",
        parameters=[managed, simulated],
        output="screen",
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "costmap",
                default_value="true",
                description="Start a costmap of Nav2 of its own, without the rest of Nav2.",
            ),
            DeclareLaunchArgument(
                "costmap_params_file",
                default_value=f"{SHARE}/config/nav2_voxel_layer.yaml",
                description="YAML file with the costmap's parameters.",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=f"{SHARE}/config/nav2_depth.yaml",
                description="YAML file with the node's parameters.",
            ),
            DeclareLaunchArgument(
                "rviz_config",
                default_value=f"{SHARE}/config/nav2_costmap.rviz",
                description="What rviz2 shows.",
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(f"{SHARE}/launch/depth_anything.launch.py")
            ),
            GroupAction([costmap, manager], condition=IfCondition(LaunchConfiguration("costmap"))),
        ]
    )
