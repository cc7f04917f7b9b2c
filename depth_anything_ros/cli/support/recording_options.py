"""Options that name the topics of a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

from depth_anything_ros.cli.support.command_line import gathered, option

if TYPE_CHECKING:
    from depth_anything_ros.formats.recording import Topics

_RECORDING = "Recording"


def _topics(image_topic: str, camera_info_topic: str, points_topic: str) -> Topics:
    from depth_anything_ros.formats.recording import Topics

    return Topics(image_topic, camera_info_topic, points_topic)


topic_options = gathered(
    "topics",
    _topics,
    option(
        "--image-topic",
        default="",
        heading=_RECORDING,
        help="Images; needed where the recording has several cameras.",
    ),
    option(
        "--camera-info-topic",
        default="",
        heading=_RECORDING,
        help="Calibration; by default `camera_info` beside the images.",
    ),
    option(
        "--points-topic",
        default="",
        heading=_RECORDING,
        help="PointCloud2; needed where the recording has several such topics.",
    ),
)
"""Adds the options; the function gets them as `topics`."""
