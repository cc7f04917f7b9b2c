"""See it work without a robot: a simulated one, or your pictures, with the depth node and rviz."""

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

SHARE = get_package_share_directory("depth_anything_ros")

ARGUMENTS = (
    (
        "images",
        "",
        "Image, folder, video or rosbag2 to play in place of the simulated robot.",
    ),
    ("rate", "5.0", "Images per second."),
    (
        "hfov",
        "60.0",
        "With images: degrees of horizontal field of view to assume without a calibration.",
    ),
    ("world", "room", "World the simulated robot drives in: room or street."),
    ("seed", "0", "Decides the world and the way through it."),
    ("cameras", "", "Cameras of the simulated robot, front,left,right; empty: a single one."),
    ("rviz", "true", "Start rviz2, where it is installed, with a view of depth and points."),
    ("rviz_config", f"{SHARE}/config/demo.rviz", "What rviz2 shows."),
)


def start_source(context):
    """Make the node that the images come from."""

    def value(name):
        return LaunchConfiguration(name).perform(context)

    parameters = {"rate": float(value("rate"))}
    if value("images"):
        executable = "image_player"
        parameters["path"] = ParameterValue(value("images"), value_type=str)
        parameters["hfov"] = float(value("hfov"))
        parameters["loop"] = True
    else:
        executable = "simulated_robot"
        parameters["world"] = value("world")
        parameters["seed"] = int(value("seed"))
        if value("cameras"):
            parameters["cameras"] = [name.strip() for name in value("cameras").split(",")]
    return [
        Node(
            package="depth_anything_ros",
            executable=executable,
            name=executable,
            namespace=value("namespace"),
            parameters=[parameters],
            output="screen",
        )
    ]


def generate_launch_description():
    """Declare what differs from the included file's defaults, start it and the source."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(f"{SHARE}/launch/depth_anything.launch.py")
            ),
            OpaqueFunction(function=start_source),
        ]
    )
