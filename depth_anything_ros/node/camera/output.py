"""What an output of a camera is: a record for each topic, and what its message is made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from std_msgs.msg import Header

from depth_anything_ros.frames import DepthFrame
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.runtime.log import ThrottledLog
from depth_anything_ros.node.sensors.placement import Placement
from depth_anything_ros.registry import Registry

Value = TypeVar("Value")


@dataclass(frozen=True)
class Companion:
    """A topic whose messages an output needs beside the depth of the same stamp.

    Attributes:
        topic: Its name below the camera's namespace.
        message: Its message class.
        meaning: One line for users.
    """

    topic: str
    message: type
    meaning: str


@dataclass
class OutputRequest:
    """One answer to publish; all its outputs share it.

    Attributes:
        answer: Depth of one image.
        header: Header of that image; every output carries its stamp.
        parameters: How the outputs should look.
        camera: Name of the camera, empty for the only one.
        status_name: Name of the scale status.
        placement: Where frames stand to the camera.
        log: For what is missing.
        companions: Messages of the same stamp, by topic.
        memory: What outputs of this camera keep from one answer to the next; see `kept`.
    """

    answer: DepthFrame
    header: Header
    parameters: NodeParameters
    camera: str
    status_name: str
    placement: Placement
    log: ThrottledLog
    companions: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    _shared: dict[str, Any] = field(default_factory=dict)

    def kept(self, name: str, make: Callable[[], Value]) -> Value:
        """Something that an output keeps from one answer of this camera to the next.

        Args:
            name: What it is.
            make: Makes it for the first answer.
        """
        if name not in self.memory:
            self.memory[name] = make()
        value: Value = self.memory[name]
        return value

    def shared(self, name: str, compute: Callable[[], Value]) -> Value:
        """A value that several outputs need, computed once for each answer.

        Args:
            name: What it is.
            compute: Computes it.
        """
        if name not in self._shared:
            self._shared[name] = compute()
        value: Value = self._shared[name]
        return value


def _never(parameters: NodeParameters) -> bool:
    return False


@dataclass(frozen=True)
class Output:
    """A topic of every camera.

    Attributes:
        name: Its name below the node (`~/depth/image`), or below the camera (`~/front/...`).
        rank: Its place in lists.
        message: Its message class.
        meaning: One line for users.
        make: Makes the message, or gives None where the answer has nothing for it. The second
            argument is the last message of this output, whose memory may be written to again.
        needs_confidence: Whether it needs the answer's confidence, with some parameters.
        companion: What it needs beside the depth, or None.
    """

    name: str
    rank: int
    message: Any
    meaning: str
    make: Callable[[OutputRequest, Any], Any]
    needs_confidence: Callable[[NodeParameters], bool] = _never
    companion: Companion | None = None


OUTPUTS: Registry[Output] = Registry("output", "depth_anything_ros.node.camera.outputs")
"""Every output; each is registered by a module of `node/camera/outputs/`."""
