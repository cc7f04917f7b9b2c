"""One camera of the node: from its newest image to a frame, from its answer to messages."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.camera_yaml import read_camera
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.frames import DepthFrame, Frame, Quality, RgbImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.rectification import rectify
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.node.camera.inputs import CameraInput, CameraSample
from depth_anything_ros.node.camera.objects import ObjectOutput
from depth_anything_ros.node.camera.outputs import CameraOutput, Output
from depth_anything_ros.node.messages import camera_from_info, decode, nanoseconds
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.runtime.diagnostics import (
    SCALE_LEVELS,
    CameraHealth,
    CameraStatistics,
    memory_values,
    scale_values,
    status_name,
)
from depth_anything_ros.node.runtime.throttled_log import ThrottledLog
from depth_anything_ros.node.sensors.inputs import SensorInputs
from depth_anything_ros.node.sensors.transforms import Transforms

_NOT_MEASURING = ("auto", "none", "network")


@dataclasses.dataclass(frozen=True)
class PendingFrame:
    """A frame on its way through the network, and what its answer needs."""

    frame: Frame
    header: Header
    wanted: frozenset[Output]
    parameters: NodeParameters

    @property
    def needs_confidence(self) -> bool:
        """Whether somebody wants to know how far the depth can be trusted."""
        in_cloud = self.parameters.cloud_confidence and Output.POINTS in self.wanted
        masked = self.parameters.min_confidence > 0
        return in_cloud or masked or Output.CONFIDENCE in self.wanted


class CameraChannel:
    """The topics, scaler, counts and memory of one camera.

    The executor's thread stores what arrives; `take` and `publish` run in the worker's thread.

    Attributes:
        name: Name of the camera, empty for the only one.
        scaler: Its way to metres.
        statistics: Its counts.
        last_answer: Its newest answer, or None.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        scaler: MetricScaler,
        transforms: Transforms,
        parameters: NodeParameters,
    ) -> None:
        """Make the publishers; nothing is received before `listen`.

        Args:
            node: The node to publish and subscribe with.
            name: Name of the camera, empty for the only one.
            scaler: Its way to metres.
            transforms: Where frames stand to each other.
            parameters: How it starts.

        Raises:
            InputError: The calibration or mask file cannot be read.
        """
        self.name = name
        self.scaler = scaler
        self.statistics = CameraStatistics()
        self.last_answer: DepthFrame | None = None
        self._node = node
        self._parameters = parameters
        self._had_metres = False
        self._log = ThrottledLog(node.get_logger(), f"{name}: " if name else "")
        self._calibration = _calibration(parameters, name)
        self._mask = _mask(parameters, name)
        self._input: CameraInput | None = None
        self._sensors: SensorInputs | None = None
        self._last_taken = 0.0
        self._output = CameraOutput(node, name, transforms, self._log)
        self._objects = ObjectOutput(node, name, self._log)

    @property
    def problem(self) -> str | None:
        """What went wrong with a recent image, in words."""
        return self._log.recent

    @property
    def input(self) -> CameraInput | None:
        """What it listens to, or None while it does not."""
        return self._input

    def listen(self, sensors: SensorInputs, wake: Callable[[], None]) -> None:
        """Subscribe.

        Args:
            sensors: What is measured around the cameras.
            wake: Called when something new may make a frame ready.
        """
        self._sensors = sensors
        self._objects.listen(wake)
        self._input = CameraInput(
            self._node, self.name, self._parameters, self._on_image, wake, sensors.are_complete
        )

    def stop(self) -> None:
        """Unsubscribe."""
        if self._input is not None:
            self._input.close()
            self._input = None
        self._objects.stop()

    def match(self) -> None:
        """Look again at what the publishers of its topics offer."""
        if self._input is not None:
            self._input.match()
        self._objects.match()

    def close(self) -> None:
        """Unsubscribe and destroy the publishers."""
        self.stop()
        self._output.close()
        self._objects.close()

    def change(self, parameters: NodeParameters, sensors: SensorInputs | None) -> None:
        """Take over new parameters, between two frames.

        Args:
            parameters: The new ones.
            sensors: What is measured around the cameras from now on.

        Raises:
            InputError: The calibration or mask file cannot be read; nothing has changed.
        """
        calibration, mask = _calibration(parameters, self.name), _mask(parameters, self.name)
        self._calibration, self._mask, self._parameters = calibration, mask, parameters
        self._sensors = sensors
        if self._input is not None and sensors is not None:
            self._input.change(parameters, sensors.are_complete)

    def use(self, scaler: MetricScaler) -> None:
        """Scale with another scaler from the next frame on; what was measured is forgotten.

        Args:
            scaler: The new way to metres.
        """
        self.scaler = scaler
        self._had_metres = False

    def take(self, enabled: bool, insist: bool) -> tuple[PendingFrame | None, float | None]:
        """Take the newest image, if it is ready and somebody wants an answer.

        Args:
            enabled: False lets images pass unanswered.
            insist: Answer even when nobody subscribes.

        Returns:
            The frame, or None; and the seconds after which to ask again, or None.

        Raises:
            InputError: The image cannot be used.
        """
        if self._input is None or self._sensors is None:
            return None, None
        parameters = self._parameters
        if parameters.max_rate and self._input.has_image:
            rest = self._last_taken + 1 / parameters.max_rate - time.monotonic()
            if rest > 0:
                return None, rest
        sample, wait = self._input.take()
        if sample is None:
            return None, wait
        wanted = self._output.wanted()
        insist = insist or self._objects.wanted
        if not enabled or not (wanted or insist):
            self.statistics.drop("disabled" if not enabled else "nobody subscribes")
            return None, None
        self._last_taken = time.monotonic()
        header = sample.image.header
        rgb = decode(sample.image)
        camera = self._camera_of(sample, rgb)
        rgb, camera = self._prepared(rgb, camera)
        frame = Frame(rgb, nanoseconds(header.stamp), header.frame_id, camera)
        frame = self._sensors.complete(frame, self.name, self._log)
        return PendingFrame(frame, header, frozenset(wanted), parameters), None

    def publish(self, pending: PendingFrame, answer: DepthFrame) -> DepthFrame:
        """Publish one answer.

        Args:
            pending: What it answers.
            answer: Depth of the frame.

        Returns:
            The answer as it went out: the robot's own body masked, unknown where there is no
            scale.
        """
        self.last_answer = answer
        self._had_metres = self._had_metres or answer.depth_m is not None
        self._explain(answer, pending)
        answer = self._masked(self._without_metres(answer, pending.parameters), pending.parameters)
        kept = self._objects.keep(answer, pending.header)
        sent = self._output.publish(answer, pending.header, pending.parameters, pending.wanted)
        if kept or sent:
            now = self._node.get_clock().now().nanoseconds
            self.statistics.publish((now - pending.frame.stamp) * 1e-9)
        else:
            self.statistics.drop("no metres")
        return answer

    def publish_objects(self) -> None:
        """Publish the objects of answers whose masks have come."""
        self._objects.publish()

    def refuse(self, error: Exception) -> None:
        """Count and explain an image that got no answer.

        Args:
            error: Why.
        """
        if isinstance(error, InputError):
            self.statistics.drop("unusable image")
            self._log.warn(f"image not answered: {error}")
        else:
            self.statistics.drop("error")
            self._log.error(f"image not answered: {type(error).__name__}: {error}")

    def health(self, node: str, model: dict[str, str], stale_after: float) -> CameraHealth:
        """What there is to say about this camera.

        Args:
            node: Full name of the node.
            model: What is known of the network, by name; empty while none is loaded.
            stale_after: Seconds without an image that are worth a warning.
        """
        level, message = self._verdict(model, stale_after)
        state = self.last_answer.scale_state if self.last_answer else None
        return CameraHealth(
            name=status_name(node, self.name),
            level=level,
            message=message,
            hardware_id=model.get("device", ""),
            values={
                **model,
                **self.statistics.values(),
                **(scale_values(state) if state else {}),
                **memory_values(model.get("device", "")),
            },
        )

    def _verdict(self, model: dict[str, str], stale_after: float) -> tuple[bytes, str]:
        """The most important thing to say, and how bad it is."""
        ok, warn, error = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
        if self._input is None:
            return ok, "the node is not active"
        if self._input.incompatible:
            return error, self._input.incompatible
        silence = self.statistics.silence
        if silence is None or silence > stale_after:
            if not self._input.has_publisher:
                return error, (
                    f"nobody publishes {self._input.image_topic}; remap image to the camera's topic"
                )
            if silence is None:
                return warn, f"no image has come on {self._input.image_topic} yet"
            return warn, f"no image on {self._input.image_topic} for {silence:.1f} s"
        if self.problem:
            return warn, self.problem
        if self.last_answer is None:
            return ok, "images come, nobody subscribes to an answer"
        state = self.last_answer.scale_state
        return SCALE_LEVELS[state.quality], state.reason

    def _on_image(self, replaced: bool) -> None:
        self.statistics.receive()
        if replaced:
            self.statistics.drop("newer image came")

    def _camera_of(self, sample: CameraSample, rgb: RgbImage) -> Camera | None:
        """The camera of an image, or None (and a word to the user) when it cannot be known."""
        height, width = rgb.shape[:2]
        try:
            camera = self._calibration
            if camera is not None and (camera.width, camera.height) != (width, height):
                if camera.width * height != camera.height * width:
                    raise InputError(
                        f"camera_info_url is for {camera.width}x{camera.height} but the image is "
                        f"{width}x{height}; give the calibration of this camera"
                    )
                camera = camera.resized(width, height)
            if camera is None:
                if sample.info is None:
                    raise InputError(self._missing_info(sample.image.header.frame_id))
                camera = camera_from_info(sample.info)
                if (camera.width, camera.height) != (width, height):
                    raise InputError(
                        f"camera_info is for {camera.width}x{camera.height} but the image is "
                        f"{width}x{height}; make the driver publish the camera_info of its images"
                    )
        except InputError as error:
            self._log.warn_once(f"depth is published, points are not: {error}")
            return None
        return camera

    def _missing_info(self, frame_id: str) -> str:
        topic = self._input.info_topic if self._input else "camera_info"
        return (
            f"no camera_info on {topic} for frame '{frame_id}'; remap camera_info to the camera's "
            "calibration, or give camera_info_url"
        )

    def _prepared(self, rgb: RgbImage, camera: Camera | None) -> tuple[RgbImage, Camera | None]:
        """Rectify and cut out the region of interest, as the parameters want it."""
        wanted = self._parameters.rectify
        if camera is not None and (wanted == "on" or (wanted == "auto" and camera.is_distorted)):
            rgb, camera = rectify(rgb, camera), camera.rectified()
        x, y, width, height = self._parameters.roi
        if width:
            rows, columns = rgb.shape[:2]
            if x + width > columns or y + height > rows:
                raise InputError(
                    f"roi {list(self._parameters.roi)} reaches beyond the image of "
                    f"{columns}x{rows}; change parameter roi"
                )
            rgb = np.ascontiguousarray(rgb[y : y + height, x : x + width])
            camera = camera.cropped(x, y, width, height) if camera is not None else None
        return rgb, camera

    def _masked(self, answer: DepthFrame, parameters: NodeParameters) -> DepthFrame:
        """Unknown where there is too much doubt or the robot sees itself."""
        least = parameters.min_confidence
        if least and answer.depth_m is not None and answer.confidence is not None:
            depth = np.where(answer.confidence < least, np.float32(np.nan), answer.depth_m)
            answer = dataclasses.replace(answer, depth_m=depth)
        if self._mask is None or answer.depth_m is None:
            return answer
        x, y, width, height = parameters.roi
        body = self._mask[y : y + height, x : x + width] if width else self._mask
        if body.shape != answer.depth_m.shape:
            self._log.warn_once(
                f"mask_file is {body.shape[1]}x{body.shape[0]} but the image is "
                f"{answer.depth_m.shape[1]}x{answer.depth_m.shape[0]}: the mask is not used"
            )
            return answer
        depth = np.where(body, np.float32(np.nan), answer.depth_m)
        return dataclasses.replace(answer, depth_m=depth)

    def _without_metres(self, answer: DepthFrame, parameters: NodeParameters) -> DepthFrame:
        """An answer without scale as `on_invalid` wants it: unknown everywhere, or not at all.

        Where nothing has measured or was asked to measure, there are no metres to speak of.
        """
        measuring = self._had_metres or parameters.scaler not in _NOT_MEASURING
        if answer.depth_m is not None or parameters.on_invalid == "drop" or not measuring:
            return answer
        unknown = np.full(answer.prediction.values.shape, np.nan, np.float32)
        return dataclasses.replace(answer, depth_m=unknown)

    def _explain(self, answer: DepthFrame, pending: PendingFrame) -> None:
        if answer.scale_state.quality is not Quality.INVALID:
            return
        if self._had_metres or pending.parameters.scaler not in _NOT_MEASURING:
            self._log.warn(f"depth is unknown: {answer.scale_state.reason}")
        elif pending.wanted & {Output.DEPTH, Output.POINTS}:
            self._log.warn_once(
                f"no metres on ~/depth/image and ~/points: {answer.scale_state.reason}; "
                f"~/{Output.DISPARITY.value} has the relative depth"
            )


def value_for_camera(text: str, name: str, parameter: str) -> str:
    """What a text parameter says for one camera.

    Args:
        text: One value for every camera, or a YAML table from camera to value.
        name: Name of the camera.
        parameter: Name of the parameter, for the message.

    Returns:
        The value, or an empty text.

    Raises:
        SettingError: The table cannot be read.
    """
    if not text.strip().startswith("{"):
        return text
    try:
        return str(yaml.safe_load(text).get(name, ""))
    except yaml.YAMLError as error:
        raise SettingError(f"{parameter} is '{text}': {error}; write {{camera: value}}") from error


def _calibration(parameters: NodeParameters, name: str) -> Camera | None:
    url = value_for_camera(parameters.camera_info_url, name, "camera_info_url")
    return read_camera(Path(url.removeprefix("file://")).expanduser()) if url else None


def _mask(parameters: NodeParameters, name: str) -> npt.NDArray[np.bool_] | None:
    """Where the robot's own body is: black in the mask picture."""
    path = value_for_camera(parameters.mask_file, name, "mask_file")
    if not path:
        return None
    return np.asarray((read_image(Path(path).expanduser()) < 128).all(axis=2))
