"""Start the depth node and a Nav2 costmap that marks and clears with its points.

Beside a running Nav2, use `costmap:=false` and put the section voxel_layer of the costmap's file
under the local costmap of its own.
"""

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from launch import LaunchDescription

SHARE = get_package_share_directory("depth_anything_ros")
NAV2 = ("nav2_costmap_2d", "nav2_lifecycle_manager")
# Outputs of the depth node as the costmap's parameter file names them.
OUTPUTS = ("points", "clearing_points", "dropoffs")


def start_costmap(context):
    """Make the costmap and its manager, in the depth node's namespace and with its topics."""

    def value(name):
        return LaunchConfiguration(name).perform(context)

    if value("costmap").lower() != "true":
        return []
    missing = [package for package in NAV2 if not is_installed(package)]
    if missing:
        return [LogInfo(msg=f"{' and '.join(missing)} not installed: the costmap is left out")]
    simulated = {"use_sim_time": value("use_sim_time").lower() == "true"}
    namespace = value("namespace").strip("/")
    node = "/" + "/".join(filter(None, (namespace, value("name"))))
    # Nav2's executable names itself costmap, in the namespace costmap.
    costmap = LifecycleNode(
        package="nav2_costmap_2d",
        executable="nav2_costmap_2d",
        name="costmap",
        namespace=f"{namespace}/costmap" if namespace else "costmap",
        parameters=[value("costmap_params_file"), simulated],
        remappings=[(f"/depth_anything/{output}", f"{node}/{output}") for output in OUTPUTS],
        output="screen",
    )
    # It has no bond with its manager, so none is waited for.
    managed = {"node_names": ["costmap/costmap"], "autostart": True, "bond_timeout": 0.0}
    manager = Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager_costmap",
        namespace=namespace,
        parameters=[managed, simulated],
        output="screen",
    )
    return [costmap, manager]


def is_installed(package):
    """Whether a package is there: one that is not would end the launch and orphan the node."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def generate_launch_description():
    """Declare what differs from the included file's defaults; its other arguments stay."""
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
            OpaqueFunction(function=start_costmap),
        ]
    )
