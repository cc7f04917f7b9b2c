"""Where sensors and frames stand to a camera: from the parameters, else from tf2."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.extrinsics import extrinsics_of
from depth_anything_ros.formats.yaml_text import load_yaml
from depth_anything_ros.frames import Frame
from depth_anything_ros.node.messages import nanoseconds
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.sensors.transforms import Matrix, TransformLookup


class Placement:
    """Looks up poses of frames and sensors; thread-safe.

    Attributes:
        transforms: TransformLookup of tf2.
    """

    def __init__(self, parameters: NodeParameters, transforms: TransformLookup) -> None:
        """Read the extrinsics that the parameters give.

        Args:
            parameters: `sensor_extrinsics`, `fixed_frame`, `tf_timeout`.
            transforms: TransformLookup of tf2.

        Raises:
            SettingError: `sensor_extrinsics` cannot be read.
        """
        self.transforms = transforms
        self._given = read_extrinsics(parameters.sensor_extrinsics)
        self._fixed_frame = parameters.fixed_frame
        self._timeout = parameters.tf_timeout

    def configured(self, camera: str, name: str) -> Matrix | None:
        """Where a sensor or frame stands to a camera, as the parameters give it.

        Args:
            camera: Name of the camera, empty for the only one.
            name: Topic of a sensor, or a frame.

        Returns:
            4x4 float64 into the optical frame, or None when it is not given.
        """
        return (self._given.get(camera) or self._given.get("") or {}).get(name)

    def to_camera(self, topic: str, message: Any, frame: Frame, camera: str) -> Matrix:
        """The transform from a sensor's frame to the optical frame at the image's time.

        Args:
            topic: Topic of the sensor, as in the parameters.
            message: A stamped message of it.
            frame: The image.
            camera: Name of the camera.

        Returns:
            4x4 float64.

        Raises:
            TransformError: It is not known.
        """
        known = self._fixed(camera, topic)
        if known is not None:
            return known
        header = message.header
        if header.frame_id == frame.frame_id:
            return np.eye(4)
        if not self._fixed_frame:
            return self.transforms.lookup(
                frame.frame_id, header.frame_id, frame.stamp, self._timeout
            )
        return self.transforms.lookup_moved(
            frame.frame_id,
            frame.stamp,
            header.frame_id,
            nanoseconds(header.stamp),
            self._fixed_frame,
            self._timeout,
        )

    def accounts_for_motion(self, camera: str, topic: str) -> bool:
        """Whether `to_camera` moves points from their time to the image's.

        Args:
            camera: Name of the camera.
            topic: Topic of the sensor, as in the parameters.
        """
        return bool(self._fixed_frame) and self._fixed(camera, topic) is None

    def _fixed(self, camera: str, topic: str) -> Matrix | None:
        """What the parameters give for a sensor, or for all."""
        known = self.configured(camera, topic)
        return self.configured(camera, "") if known is None else known

    def from_camera(self, target: str, frame: Frame, camera: str) -> Matrix:
        """The transform from the optical frame to another frame at the image's time.

        Args:
            target: The other frame.
            frame: The image.
            camera: Name of the camera.

        Returns:
            4x4 float64.

        Raises:
            TransformError: It is not known.
        """
        known = self.configured(camera, target)
        if known is not None:
            return np.asarray(np.linalg.inv(known), np.float64)
        return self.transforms.lookup(target, frame.frame_id, frame.stamp, self._timeout)


@functools.lru_cache(maxsize=8)
def read_extrinsics(text: str) -> dict[str, dict[str, Matrix]]:
    """Read the parameter `sensor_extrinsics`.

    Args:
        text: YAML: 7 numbers (x y z in metres, qx qy qz qw) that bring points of every sensor into
            the optical frame; or a table from topic to 7 numbers; or, for several cameras, a table
            from camera to such a table. Empty for none.

    Returns:
        4x4 float64 by camera, then by topic as named in the parameters; the empty name stands for
        every camera or every sensor.

    Raises:
        SettingError: The text is something else.
    """
    if not text.strip():
        return {}
    try:
        content = load_yaml(text)
        by_topic = content if isinstance(content, dict) else {"": content}
        nested = all(isinstance(value, dict) for value in by_topic.values())
        by_camera = by_topic if nested else {"": by_topic}
        return {
            str(camera): {
                str(topic): extrinsics_of(numbers, str(topic)) for topic, numbers in table.items()
            }
            for camera, table in by_camera.items()
        }
    except (
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        InputError,
    ) as error:
        raise SettingError(
            f"sensor_extrinsics is '{text}': {error}; write [x, y, z, qx, qy, qz, qw], "
            "{topic: [...]} or {camera: {topic: [...]}}"
        ) from error
