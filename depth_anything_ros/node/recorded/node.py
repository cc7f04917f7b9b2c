"""The depth node fed from a recording: the same cameras, sensors, scaler and outputs."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from depth_anything_ros.errors import SettingError
from depth_anything_ros.formats.bags import Transform
from depth_anything_ros.inference.frame_context import context_of
from depth_anything_ros.metric.selection import make_scaler
from depth_anything_ros.node.camera.channel import CameraChannel
from depth_anything_ros.node.camera.files import CameraFiles
from depth_anything_ros.node.camera.output import OUTPUTS
from depth_anything_ros.node.camera.publishers import CameraOutputs
from depth_anything_ros.node.camera.report import CameraReport
from depth_anything_ros.node.frame_loop import FrameLoop, NodeCamera
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.recorded.graph import Published, RecordedGraph
from depth_anything_ros.node.recorded.transforms import RecordedTransforms
from depth_anything_ros.node.runtime.file_thread import FileThread
from depth_anything_ros.node.runtime.log import ThrottledLog
from depth_anything_ros.node.runtime.model_loader import Networks
from depth_anything_ros.node.runtime.subscriptions import QosMatcher
from depth_anything_ros.node.sensors.inputs import SensorInputs
from depth_anything_ros.node.sensors.placement import Placement
from depth_anything_ros.node.setup import (
    CameraSetup,
    NodeSetup,
    limits_of,
    scaler_settings_of,
    temporal_filter_of,
)

DEFAULT_OUTPUTS = ("depth/image", "depth/camera_info", "depth/sigma")
"""Outputs that are made unless others are named; those that are not registered are left out."""


@dataclass(frozen=True)
class _Waiting:
    """An image that waits for what is measured around it."""

    topic: str
    type: str
    recorded: int
    cdr: bytes


@dataclass(frozen=True)
class Answered:
    """What the node publishes for an image.

    Attributes:
        recorded: Time at which the image was recorded, in nanoseconds.
        message: The message.
    """

    recorded: int
    message: Published


class _Log:
    """Passes the node's warnings and errors on."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report

    def info(self, message: str) -> bool:
        return True

    def warning(self, message: str) -> bool:
        self._report(message)
        return True

    def error(self, message: str) -> bool:
        self._report(message)
        return True


class RecordedNode:
    """Answers the images of one recording as the depth node does, every one of them.

    Time is that of the recording, so the result does not depend on how fast the machine is. An
    image is answered once everything that was recorded up to `patience` after it is known.

    Args:
        networks: The network, and experts for confidence.
        parameters: The node's parameters.
        topics: Type of every recorded topic, by name.
        remappings: Recorded topics in place of those the node asks for (`image`, `points`, ...).
        outputs: Names of the outputs to make, of the registry `OUTPUTS`.
        name: Full name of the node, below which its outputs are named.
        report: Called with what is wrong.

    Attributes:
        patience: Nanoseconds an image waits: the largest of the node's own waiting times and
            of `points_slop`.
        image_topics: Full names of the topics of images.

    Raises:
        DepthAnythingError: The parameters do not fit together, or to the network.
    """

    def __init__(
        self,
        networks: Networks,
        parameters: NodeParameters,
        topics: Mapping[str, str],
        remappings: Mapping[str, str],
        outputs: Collection[str],
        name: str,
        report: Callable[[str], None],
    ) -> None:
        self.patience = round(
            1e9
            * max(
                parameters.points_slop,
                parameters.points_timeout,
                parameters.camera_info_timeout,
                parameters.tf_timeout,
            )
        )
        # What has not come after this time never will: nothing is left to wait for.
        parameters = replace(
            parameters, points_timeout=0.0, camera_info_timeout=0.0, tf_timeout=0.0, max_rate=0.0
        )
        graph: Any = RecordedGraph(name, topics, remappings, outputs, report)
        self._graph = graph
        self._transforms = RecordedTransforms()
        self._waiting: deque[_Waiting] = deque()
        matcher = QosMatcher(graph)
        placement = Placement(parameters, self._transforms)
        names = [name for name in parameters.cameras if name] or [""]
        self._setup = NodeSetup(
            parameters,
            networks,
            {each: _camera_setup(each, parameters, networks) for each in names},
            placement,
            SensorInputs(matcher, parameters, placement, _nothing),
        )
        self._cameras = []
        for each in names:
            log = ThrottledLog(_Log(report), f"{each}: " if each else "")
            camera = CameraReport(name, each, log)
            channel = CameraChannel(each, matcher, camera)
            self._cameras.append(
                NodeCamera(each, channel, CameraOutputs(graph, each, matcher, log), camera)
            )
            channel.listen(parameters, _nothing)
            self._cameras[-1].outputs.listen(_nothing)
        self._qualities: Counter[str] = Counter()
        self._loop = FrameLoop(graph.get_clock(), lambda: self._setup, FileThread())
        self._loop.use(self._cameras)
        self.image_topics = frozenset(
            camera.channel.input.image_topic
            for camera in self._cameras
            if camera.channel.input is not None
        )

    @property
    def subscribed(self) -> frozenset[str]:
        """Recorded topics that it listens to, besides transforms."""
        return self._graph.subscribed

    def add_transforms(self, transforms: list[Transform], static: bool) -> None:
        """Take in the content of /tf or /tf_static.

        Args:
            transforms: The transforms.
            static: Whether they come from /tf_static.
        """
        self._transforms.add(transforms, static)

    def receive(self, topic: str, kind: str, recorded: int, cdr: bytes) -> Iterator[Answered]:
        """Take in the next message of the recording.

        Args:
            topic: Its topic.
            kind: Its type, as "sensor_msgs/msg/Image".
            recorded: Time it was recorded, in nanoseconds.
            cdr: Its bytes.

        Yields:
            What the node publishes for the images that have waited long enough.
        """
        while self._waiting and recorded - self._waiting[0].recorded > self.patience:
            yield from self._answer(self._waiting.popleft())
        self._graph.set_time(recorded)
        if topic in self.image_topics:
            self._waiting.append(_Waiting(topic, kind, recorded, cdr))
        else:
            self._graph.deliver(topic, kind, cdr)

    def finish(self) -> Iterator[Answered]:
        """Answer the images that still wait.

        Yields:
            What the node publishes for them.
        """
        while self._waiting:
            yield from self._answer(self._waiting.popleft())

    def counts(self) -> dict[str, str]:
        """How many images came, were answered and dropped, and why; per camera where several."""
        return {
            f"{camera.name}/{key}" if camera.name else key: value
            for camera in self._cameras
            for key, value in camera.report.statistics.values().items()
            if key.startswith("frames")
        }

    def qualities(self) -> dict[str, int]:
        """How many answers there are of each quality of their metres."""
        return dict(self._qualities)

    def _answer(self, image: _Waiting) -> Iterator[Answered]:
        before = [camera.report.scale_state for camera in self._cameras]
        self._graph.deliver(image.topic, image.type, image.cdr)
        self._loop.step()
        for camera, state in zip(self._cameras, before, strict=True):
            now = camera.report.scale_state
            if now is not None and now is not state:
                self._qualities[now.quality.value] += 1
        for message in self._graph.take():
            yield Answered(image.recorded, message)


def default_outputs() -> tuple[str, ...]:
    """Names of the outputs that are made unless others are named."""
    return tuple(name for name in OUTPUTS.names() if name in DEFAULT_OUTPUTS)


def check_outputs(names: Collection[str]) -> None:
    """Refuse the names of no outputs.

    Args:
        names: Names of outputs.

    Raises:
        SettingError: There is no output of a name.
    """
    unknown = sorted(set(names) - set(OUTPUTS.names()))
    if unknown:
        raise SettingError(
            f"there is no output {', '.join(unknown)}; use some of {', '.join(OUTPUTS.names())}"
        )


def _camera_setup(name: str, parameters: NodeParameters, networks: Networks) -> CameraSetup:
    files = CameraFiles.read(parameters, name)
    scaler = make_scaler(scaler_settings_of(parameters, name), networks.model.info)
    context = context_of(networks.model.estimator)
    steady = temporal_filter_of(parameters)
    limits = limits_of(parameters, files)
    return CameraSetup(scaler, files, limits, context, temporal_filter=steady)


def _nothing() -> None:
    """Nobody has to be woken: every image is answered in its turn."""
