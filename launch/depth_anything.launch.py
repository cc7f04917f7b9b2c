"""Start the depth node for one camera or several, and rviz when asked for."""

import re
from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

SHARE = get_package_share_directory("depth_anything_ros")

DEFAULT_NAME = "depth_anything"
# Given on the command line, these go before what the parameter file says.
PARAMETERS = ("model", "device", "scaler", "fixed_frame", "sensor_extrinsics")
ARGUMENTS = (
    ("namespace", "", "Namespace of the node and its topics."),
    ("name", DEFAULT_NAME, "Name of the node."),
    (
        "params_file",
        f"{SHARE}/config/depth_anything.yaml",
        "YAML file with the node's parameters; what it leaves out has its default.",
    ),
    ("model", "", "Catalogue name or path of a model; empty takes the parameter file's."),
    ("device", "", "auto, cpu, mps, cuda or cuda:N; empty takes the parameter file's."),
    ("scaler", "", "How depth becomes metres (auto, sparse, ...); empty takes the file's."),
    ("fixed_frame", "", "Frame that stands still (odom); empty takes the parameter file's."),
    (
        "sensor_extrinsics",
        "",
        "Where sensors stand to the camera, in place of tf2; empty takes the parameter file's.",
    ),
    ("cameras", "", "Names of several cameras, front,left; empty takes the parameter file's."),
    ("image", "image", "Topic of the images; with cameras, below each camera's name."),
    ("camera_info", "camera_info", "Topic of the calibration; with cameras, below each's name."),
    ("points", "points", "Topic of a LiDAR's points, which may scale the depth."),
    ("use_sim_time", "false", "Take the time from /clock."),
    ("autostart", "true", "Configure and activate at start, without a lifecycle manager."),
    ("log_level", "info", "Log level of the node: debug, info, warn, error or fatal."),
    ("rviz", "false", "Start rviz2, where it is installed, with a view of depth and points."),
    ("rviz_config", f"{SHARE}/config/depth_anything.rviz", "What rviz2 shows."),
)


def start_nodes(context):
    """Make the nodes with the parameters that were really given on top of the file's."""

    def value(name):
        return LaunchConfiguration(name).perform(context)

    def is_true(name):
        return value(name).lower() == "true"

    parameters = {name: is_true(name) for name in ("use_sim_time", "autostart")}
    # As text, or a list in brackets would become an array.
    parameters.update(
        (name, ParameterValue(value(name), value_type=str)) for name in PARAMETERS if value(name)
    )
    cameras = [camera.strip() for camera in value("cameras").split(",") if camera.strip()]
    if cameras:
        parameters["cameras"] = cameras
    remappings = [("points", value("points"))]
    for below in [f"{camera}/" for camera in cameras] or [""]:
        remappings += [
            (f"{below}image", f"{below}{value('image')}"),
            (f"{below}image/compressed", f"{below}{value('image')}/compressed"),
            (f"{below}camera_info", f"{below}{value('camera_info')}"),
        ]
    nodes = [
        LifecycleNode(
            package="depth_anything_ros",
            executable="depth_node",
            name=value("name"),
            namespace=value("namespace"),
            parameters=[value("params_file"), parameters],
            remappings=remappings,
            arguments=["--ros-args", "--log-level", value("log_level")],
            output="screen",
        )
    ]
    if not is_true("rviz"):
        return nodes
    if not is_installed("rviz2"):
        return [*nodes, LogInfo(msg="rviz2 is not installed, so it is left out")]
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=value("namespace"),
        parameters=[{"use_sim_time": is_true("use_sim_time")}],
        remappings=[*remappings, *named_outputs(value("rviz_config"), value("name"))],
        arguments=["-d", value("rviz_config")],
    )
    return [*nodes, rviz]


def is_installed(package):
    """Whether a package is there: one that is not would end the launch and orphan the node."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def named_outputs(rviz_config, name):
    """Remappings of the topics that a view of rviz2 shows, for a node of another name."""
    if name == DEFAULT_NAME:
        return []
    text = Path(rviz_config).read_text(encoding="utf-8")
    shown = sorted(set(re.findall(rf"Value: ({DEFAULT_NAME}/\S+)", text)))
    return [(topic, topic.replace(DEFAULT_NAME, name, 1)) for topic in shown]


def generate_launch_description():
    """Declare the arguments, start the node and, when asked for, rviz."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            OpaqueFunction(function=start_nodes),
        ]
    )
