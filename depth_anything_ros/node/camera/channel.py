"""One camera's images as frames: taken, decoded, calibrated, completed. It publishes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from std_msgs.msg import Header

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import Frame, RgbImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.rectification import rectify
from depth_anything_ros.node.camera.inputs import CameraInput, CameraSample
from depth_anything_ros.node.camera.report import CameraReport
from depth_anything_ros.node.messages import camera_from_info, decode, nanoseconds
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.runtime.statistics import DropReason
from depth_anything_ros.node.runtime.subscriptions import QosMatcher
from depth_anything_ros.node.sensors.inputs import SensorInputs
from depth_anything_ros.node.setup import CameraSetup
from depth_anything_ros.pipeline import DepthLimits


@dataclass(frozen=True)
class CameraFrame:
    """A frame, the header of its image, and the limits of its depth."""

    frame: Frame
    header: Header
    limits: DepthLimits


class CameraChannel:
    """Subscribes to one camera and makes frames of what comes.

    The executor's thread stores what arrives; `take` and `frame_of` run in the worker's thread.

    Attributes:
        name: Name of the camera, empty for the only one.
        input: What it listens to, or None while it does not.
    """

    def __init__(self, name: str, matcher: QosMatcher, report: CameraReport) -> None:
        """Prepare; nothing is received before `listen`.

        Args:
            name: Name of the camera, empty for the only one.
            matcher: The node's subscriptions.
            report: Counts images and logs what is wrong with them.
        """
        self.name = name
        self.input: CameraInput | None = None
        self._matcher = matcher
        self._report = report
        self._last_answered = 0.0

    def listen(self, parameters: NodeParameters, wake: Callable[[], None]) -> None:
        """Subscribe.

        Args:
            parameters: Reliability and transport.
            wake: Called when something new may make a frame ready.
        """
        self.input = CameraInput(self._matcher, self.name, parameters, self._on_image, wake)

    def stop(self) -> None:
        """Unsubscribe."""
        if self.input is not None:
            self.input.close()
            self.input = None

    def take(
        self, parameters: NodeParameters, sensors: SensorInputs
    ) -> tuple[CameraSample | None, float | None]:
        """Take the newest image, if it is ready.

        Args:
            parameters: How long it waits for its camera_info and points, and how often it is taken.
            sensors: Know whether the points of an image have arrived.

        Returns:
            The messages, or None; and the seconds after which to try again, or None.
        """
        source = self.input
        if source is None:
            return None, None
        if parameters.max_rate and source.has_image:
            rest = self._last_answered + 1 / parameters.max_rate - time.monotonic()
            if rest > 0:
                return None, rest
        return source.take(parameters, sensors.are_complete)

    def frame_of(
        self,
        sample: CameraSample,
        parameters: NodeParameters,
        setup: CameraSetup,
        sensors: SensorInputs,
    ) -> CameraFrame:
        """Decode an image and complete it with what is known of its moment.

        Args:
            sample: The messages.
            parameters: Rectification, region of interest.
            setup: The camera's own files and limits.
            sensors: What is measured around it.

        Returns:
            The frame.

        Raises:
            InputError: The image cannot be used.
        """
        self._last_answered = time.monotonic()
        header = sample.image.header
        rgb = decode(sample.image, parameters.max_image_pixels)
        camera = self._camera_of(sample, rgb, setup.files.calibration)
        if camera is not None and self._is_rectified(parameters):
            camera = camera.rectified()
        rgb, camera = self._prepared(rgb, camera, parameters)
        frame = Frame(rgb, nanoseconds(header.stamp), header.frame_id, camera)
        frame = sensors.complete(frame, self.name, self._report.log)
        if setup.context is not None:
            frame = setup.context.complete(frame)
        return CameraFrame(frame, header, self._limits_of(rgb, parameters, setup.limits))

    def _camera_of(
        self, sample: CameraSample, rgb: RgbImage, calibration: Camera | None
    ) -> Camera | None:
        """The camera of an image, or None (and a word to the user) when it cannot be known."""
        height, width = rgb.shape[:2]
        try:
            if calibration is not None:
                return calibration.fitted(width, height)
            if sample.info is None:
                raise InputError(self._missing_info(sample.image.header.frame_id))
            camera = camera_from_info(sample.info)
            if (camera.width, camera.height) != (width, height):
                raise InputError(
                    f"camera_info is for {camera.width}x{camera.height} but the image is "
                    f"{width}x{height}; make the driver publish the camera_info of its images"
                )
        except InputError as error:
            self._report.log.warn_once(f"depth is published, points are not: {error}")
            return None
        return camera

    def _is_rectified(self, parameters: NodeParameters) -> bool:
        if parameters.rectified != "auto" or self.input is None:
            return parameters.rectified == "true"
        topic = self.input.image_topic.removesuffix("/compressed")
        return topic.rpartition("/")[2].startswith("image_rect")

    def _missing_info(self, frame_id: str) -> str:
        topic = self.input.info_topic if self.input else "camera_info"
        return (
            f"no camera_info on {topic} for frame '{frame_id}'; remap camera_info to the camera's "
            "calibration, or give camera_info_url"
        )

    def _prepared(
        self, rgb: RgbImage, camera: Camera | None, parameters: NodeParameters
    ) -> tuple[RgbImage, Camera | None]:
        """Rectify and crop to the region of interest, by the parameters."""
        wanted = parameters.rectify
        if camera is not None and camera.is_distorted and wanted == "off":
            self._report.log.note_once(
                "rectify is off, so the depth image keeps the lens's distortion: ~/points is right "
                "at every pixel, but depth_image_proc and others that ignore D are not"
            )
        if camera is not None and (wanted == "on" or (wanted == "auto" and camera.is_distorted)):
            rgb, camera = rectify(rgb, camera), camera.rectified()
        x, y, width, height = parameters.roi
        if width:
            rows, columns = rgb.shape[:2]
            if x + width > columns or y + height > rows:
                raise InputError(
                    f"roi {list(parameters.roi)} reaches beyond the image of "
                    f"{columns}x{rows}; change parameter roi"
                )
            rgb = np.ascontiguousarray(rgb[y : y + height, x : x + width])
            camera = camera.cropped(x, y, width, height) if camera is not None else None
        return rgb, camera

    def _limits_of(
        self, rgb: RgbImage, parameters: NodeParameters, limits: DepthLimits
    ) -> DepthLimits:
        """The camera's limits with the mask cut as the image was."""
        if limits.hidden is None:
            return limits
        x, y, width, height = parameters.roi
        hidden = limits.hidden[y : y + height, x : x + width] if width else limits.hidden
        if hidden.shape != rgb.shape[:2]:
            self._report.log.warn_once(
                f"mask_file is {hidden.shape[1]}x{hidden.shape[0]} but the image is "
                f"{rgb.shape[1]}x{rgb.shape[0]}: the mask is not used"
            )
            return replace(limits, hidden=None)
        return replace(limits, hidden=hidden)

    def _on_image(self, replaced: bool) -> None:
        self._report.statistics.receive()
        if replaced:
            self._report.statistics.drop(DropReason.NEWER)
