"""Start the depth node for one camera, and rviz when asked for."""

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node

from launch import LaunchDescription

SHARE = get_package_share_directory("depth_anything_ros")

ARGUMENTS = (
    ("namespace", "", "Namespace of the node and its topics."),
    ("name", "depth_anything", "Name of the node."),
    (
        "params_file",
        PathJoinSubstitution([SHARE, "config", "depth_anything.yaml"]),
        "YAML file with the node's parameters.",
    ),
    ("model", "", "Catalogue name or path of a model; empty takes the parameter file's."),
    ("device", "", "auto, cpu, mps, cuda or cuda:N; empty takes the parameter file's."),
    ("image", "image", "Topic of the camera's images."),
    ("camera_info", "camera_info", "Topic of the camera's calibration."),
    ("use_sim_time", "false", "Take the time from /clock."),
    ("autostart", "true", "Configure and activate at start, without a lifecycle manager."),
    ("log_level", "info", "Log level of the node: debug, info, warn, error or fatal."),
    ("rviz", "false", "Start rviz2 with a view of depth and points."),
)


def start_node(context):
    """Make the node with the parameters that were really given on top of the file's."""

    def value(name):
        return LaunchConfiguration(name).perform(context)

    given = {name: value(name) for name in ("model", "device") if value(name)}
    switches = {name: value(name).lower() == "true" for name in ("use_sim_time", "autostart")}
    return [
        LifecycleNode(
            package="depth_anything_ros",
            executable="depth_node",
            name=value("name"),
            namespace=value("namespace"),
            parameters=[value("params_file"), {**switches, **given}],
            remappings=[("image", value("image")), ("camera_info", value("camera_info"))],
            arguments=["--ros-args", "--log-level", value("log_level")],
            output="screen",
        )
    ]


def generate_launch_description():
    """Declare the arguments, start the node and, when asked for, rviz."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            OpaqueFunction(function=start_node),
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", PathJoinSubstitution([SHARE, "config", "depth_anything.rviz"])],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )
