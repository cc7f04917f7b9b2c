"""Attacks the depth node with hostile messages; good frames between them must be answered right."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil
import rclpy
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from depth_anything_ros.benchmark.node.hostile import HEIGHT, WIDTH, HostileMessages
from depth_anything_ros.benchmark.node.runner import domain, running
from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.constant_estimator import ConstantEstimator
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.node.depth_node import DepthNode
from depth_anything_ros.node.messages import info_from_camera, memory_of, nanoseconds, rgb_to_image
from depth_anything_ros.node.runtime.fastdds import prefer_shared_memory
from depth_anything_ros.node.runtime.model_loader import Networks

METRES = 5.0
"""What the network of the attacked node answers."""

GOOD_EVERY = 10
"""Hostile messages between two good frames."""

PATIENCE = 30.0
"""Seconds within which a good frame must be answered."""

MOST_GROWTH_MB = 50.0
"""Growth of memory after the warm-up that is still flat."""

MOST_MORE = 8
"""Threads or open files more than after the warm-up that are no leak."""

MOST_LOG_BYTES = 4000.0
"""Bytes of log per second that are no flood, after `_FIRST_LOG_BYTES`: each sentence once."""

_FIRST_LOG_BYTES = 100_000
_PHASE = 1000  # messages between two scalers
_TRY = 5.0  # a message may get lost on its way; then the frame is sent again
_TIMERS_EVERY = 100
_START_TIMEOUT = 120.0
_SETTLED = 2.0
_SENSORS: Mapping[str, Any] = {
    "imu_topic": "imu",
    "depth_topics": ["depth"],
    "scan_topics": ["scan"],
    "range_topics": ["range"],
}
_CAMERA = Camera(WIDTH, HEIGHT, 50.0, 50.0, 31.5, 23.5)
_TROUBLE = re.compile(r"^(?:\[(?:ERROR|FATAL)\]|Traceback|terminate called).*", re.MULTILINE)
_RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class Attack:
    """How a node is attacked.

    Attributes:
        seconds: How long; infinity for as long as `messages` take.
        messages: How many hostile messages; None for as many as fit.
        seed: Decides the messages.
        rate: Hostile messages per second; 0 for as many as possible.
    """

    seconds: float
    messages: int | None = None
    seed: int = 0
    rate: float = 0.0


class Target(Protocol):
    """A node under attack."""

    @property
    def topics(self) -> Mapping[str, type]:
        """What it listens to: message types by name."""
        ...

    @property
    def process(self) -> int:
        """Number of its process."""
        ...

    def send(self, topic: str, message: Any) -> None:
        """Give it a message."""
        ...

    def answer(self, info: CameraInfo, image: Image) -> Image | None:
        """Give it a good frame; its answer, or None where none comes in `_TRY` seconds."""
        ...

    def use_scaler(self, name: str) -> None:
        """Change its scaler."""
        ...

    def log(self) -> str:
        """All it has logged."""
        ...


@dataclass
class _Sample:
    """What a process holds at one moment."""

    at: float
    memory_mb: float
    threads: int
    files: int


@dataclass
class _Record:
    """What has happened so far."""

    sent: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    repeated: int = 0
    findings: list[str] = field(default_factory=list)
    samples: list[_Sample] = field(default_factory=list)

    def find(self, what: str) -> None:
        """Note something that must not happen, once."""
        if what not in self.findings:
            self.findings.append(what)


def attack(
    target: Target, plan: Attack, progress: Callable[[int], None] = lambda sent: None
) -> dict[str, Any]:
    """Send hostile messages, and good frames between them.

    The scaler changes between `network`, with which every good frame has `METRES`, and `auto`, with
    which sensors may change the metres.

    Args:
        target: The node.
        plan: How it is attacked.
        progress: Called now and then with the number of messages so far.

    Returns:
        Figures by name, ready for JSON; `findings` is empty where nothing was found.
    """
    draw, hostile = random.Random(plan.seed), HostileMessages(plan.seed)
    record = _Record(dict.fromkeys(target.topics, 0))
    observed = psutil.Process(target.process)
    began = time.monotonic()
    count = good = 0
    scaler = ""
    try:
        while time.monotonic() - began < plan.seconds and count < (plan.messages or sys.maxsize):
            if count % _PHASE == 0:
                scaler = "network" if scaler != "network" else "auto"
                target.use_scaler(scaler)
            topic = draw.choice(tuple(target.topics))
            target.send(topic, hostile.draw(target.topics[topic], time.time_ns()))
            record.sent[topic] += 1
            count += 1
            if plan.rate:
                time.sleep(max(began + count / plan.rate - time.monotonic(), 0.0))
            if count % GOOD_EVERY == 0:
                good += 1
                _ask(target, record, good, METRES if scaler == "network" else None)
                _sample(observed, record)
                progress(count)
    except (psutil.Error, DepthAnythingError) as error:
        record.find(f"the node ended: {error}")
    return _summed_up(record, plan, count, good, time.monotonic() - began, target.log())


def _ask(target: Target, record: _Record, number: int, metres: float | None) -> None:
    """Give the node a good frame and look at its answer."""
    began = time.monotonic()
    picture = np.full((HEIGHT, WIDTH, 3), number % 256, np.uint8)
    for again in range(int(PATIENCE / _TRY)):
        header = Header(frame_id="cam")
        header.stamp.sec, header.stamp.nanosec = divmod(time.time_ns(), 10**9)
        answer = target.answer(info_from_camera(_CAMERA, header), rgb_to_image(picture, header))
        record.repeated += again > 0
        if answer is not None:
            break
    else:
        record.find(f"good frame {number} was not answered in {PATIENCE:g} s")
        return
    record.latencies.append(time.monotonic() - began)
    if nanoseconds(answer.header.stamp) != nanoseconds(header.stamp):
        record.find(f"good frame {number} was answered with another stamp")
    if answer.header.frame_id != "cam" or answer.encoding != "32FC1":
        record.find(f"good frame {number}: {answer.header.frame_id}, {answer.encoding}")
    if metres is not None:
        depth = memory_of(answer, (HEIGHT, WIDTH))
        if not np.array_equal(depth, np.full((HEIGHT, WIDTH), metres, np.float32)):
            record.find(f"good frame {number} has other metres than {metres:g}")


def _sample(observed: psutil.Process, record: _Record) -> None:
    now = time.monotonic()
    if record.samples and now - record.samples[-1].at < 0.5:
        return
    with observed.oneshot():
        memory, threads = observed.memory_info().rss / 1e6, observed.num_threads()
    record.samples.append(_Sample(now, memory, threads, observed.num_fds()))


def _summed_up(
    record: _Record, plan: Attack, count: int, good: int, seconds: float, log: str
) -> dict[str, Any]:
    trouble = sorted({re.sub(r"[\d.]+", "#", line) for line in _TROUBLE.findall(log)})
    for line in trouble[:20]:
        record.find(f"in the log: {line[:300]}")
    log_rate = len(log) / max(seconds, 1.0)
    if len(log) > _FIRST_LOG_BYTES + MOST_LOG_BYTES * seconds:
        record.find(f"{log_rate:.0f} bytes of log per second")
    held = _held(record.samples)
    if held:
        growth = held["memory_mb"][1] - held["memory_mb"][0]
        if growth > MOST_GROWTH_MB:
            record.find(f"memory grew by {growth:.0f} MB after the warm-up")
        for what in ("threads", "files"):
            if held[what][1] - held[what][0] > MOST_MORE:
                record.find(f"{what} grew from {held[what][0]:g} to {held[what][1]:g}")
    milliseconds = 1e3 * np.array(record.latencies or [np.nan])
    return {
        "seed": plan.seed,
        "seconds": round(seconds, 1),
        "messages": count,
        "by_topic": record.sent,
        "good_frames": good,
        "answered": len(record.latencies),
        "repeated": record.repeated,
        "latency_ms": {
            f"p{at}": round(float(np.percentile(milliseconds, at)), 2) for at in (50, 95, 99, 100)
        },
        "held": held,
        "log_bytes_per_second": round(log_rate, 1),
        "findings": record.findings,
    }


def _held(samples: Sequence[_Sample]) -> dict[str, tuple[float, float]]:
    """Memory, threads and files after the warm-up (a fifth of the time) and at the end."""
    if not samples:
        return {}
    begin, end = samples[0].at, samples[-1].at
    first = [each for each in samples if 0.2 <= (each.at - begin) / (end - begin or 1.0) <= 0.4]
    last = [each for each in samples if (each.at - begin) / (end - begin or 1.0) >= 0.9]
    return {
        what: (
            round(statistics.median(getattr(each, what) for each in first or samples), 1),
            round(statistics.median(getattr(each, what) for each in last or samples[-1:]), 1),
        )
        for what in ("memory_mb", "threads", "files")
    }


@contextlib.contextmanager
def ros_context() -> Iterator[Context]:
    """ROS in this process, apart from the robot's own nodes."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"  # read by the middleware
    prefer_shared_memory()
    gc.collect()  # parts of an earlier node refer to each other and keep it in the graph
    context = Context()
    # Ctrl-C raises KeyboardInterrupt as everywhere; rclpy would also close the context meanwhile.
    handlers = SignalHandlerOptions.NO
    rclpy.init(context=context, domain_id=domain(), signal_handler_options=handlers)
    try:
        yield context
    finally:
        rclpy.shutdown(context=context)


# The node in a process of its own ------------------------------------------------------------


class _Remote:
    """A node that is reached over DDS."""

    def __init__(self, node: Node, process: int, log: Path) -> None:
        self.process = process
        self.topics: dict[str, type] = {}
        self._node = node
        self._log = log
        self._answers: dict[int, Image] = {}
        self._answered = threading.Condition()
        node.create_subscription(Image, "/depth_anything/depth/image", self._receive, _RELIABLE)
        self._change = node.create_client(
            SetParametersAtomically, "/depth_anything/set_parameters_atomically"
        )
        self._publishers: dict[str, Any] = {}

    def discover(self) -> None:
        """Wait until the node listens, and find out to what."""
        until = time.monotonic() + _START_TIMEOUT
        since = time.monotonic()
        while time.monotonic() < since + _SETTLED or not self._change.service_is_ready():
            _wait(until, "the node does not listen to image")
            listened = self._listened()
            if "/image" not in listened or listened != self.topics:  # they appear one by one
                self.topics, since = listened, time.monotonic()
        self._publishers = {
            topic: self._node.create_publisher(kind, topic, _RELIABLE)
            for topic, kind in self.topics.items()
        }
        while not self._reliable("/image") or not self._reliable("/camera_info"):
            _wait(until, "the node does not listen reliably to image")

    def send(self, topic: str, message: Any) -> None:
        self._publishers[topic].publish(message)

    def answer(self, info: CameraInfo, image: Image) -> Image | None:
        if not psutil.pid_exists(self.process):
            raise DepthAnythingError("its process is gone")
        stamp = nanoseconds(image.header.stamp)
        self.send("/camera_info", info)
        self.send("/image", image)
        with self._answered:
            self._answered.wait_for(lambda: stamp in self._answers, _TRY)
            answer = self._answers.get(stamp)
            self._answers.clear()
        return answer

    def use_scaler(self, name: str) -> None:
        request = SetParametersAtomically.Request()
        request.parameters = [Parameter("scaler", value=name).to_parameter_msg()]
        future = self._change.call_async(request)
        until = time.monotonic() + PATIENCE
        while not future.done():
            _wait(until, "set_parameters_atomically does not answer")
        result = future.result().result
        if not result.successful:
            raise DepthAnythingError(f"scaler {name} is refused: {result.reason}")

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _receive(self, message: Image) -> None:
        with self._answered:
            self._answers[nanoseconds(message.header.stamp)] = message
            self._answered.notify_all()

    def _listened(self) -> dict[str, type]:
        try:
            found = self._node.get_subscriber_names_and_types_by_node("depth_anything", "/")
        except Exception:  # rclpy's own error, which it keeps private: the node is not there yet
            return {}
        return {topic: _message_class(kinds[0]) for topic, kinds in found if topic != "/clock"}

    def _reliable(self, topic: str) -> bool:
        return any(
            each.qos_profile.reliability == ReliabilityPolicy.RELIABLE
            for each in self._node.get_subscriptions_info_by_topic(topic)
        )


@contextlib.contextmanager
def remote_node() -> Iterator[Target]:
    """The depth node in a process of its own, attacked over DDS.

    Raises:
        DepthAnythingError: It does not start; the message has its last words.
    """
    parameters = [f"{name}:={value}" for name, value in _SENSORS.items()]
    arguments = [
        *("--network-ms", "0", "--ros-args"),
        *(part for each in parameters for part in ("-p", each)),
    ]
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(running("depth_node", arguments))
        context = stack.enter_context(ros_context())
        node = Node("attacker", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        thread = threading.Thread(target=spin, args=(executor,), daemon=True)
        thread.start()
        stack.callback(node.destroy_node)
        stack.callback(thread.join, 10)
        stack.callback(executor.shutdown)
        target = _Remote(node, process.number, process.errors)
        target.discover()
        yield target


def spin(executor: SingleThreadedExecutor) -> None:
    """Serve until the executor or its context is shut down."""
    with contextlib.suppress(ExternalShutdownException):
        executor.spin()


def _wait(until: float, complaint: str) -> None:
    if time.monotonic() > until:
        raise DepthAnythingError(complaint)
    time.sleep(0.02)


def _message_class(name: str) -> type:
    """The class of a message type such as "sensor_msgs/msg/Image"."""
    package, _, kind = name.split("/")
    found: type = getattr(importlib.import_module(f"{package}.msg"), kind)
    return found


# The node in this process --------------------------------------------------------------------


class _Kept:
    """Stands for a publisher that has a subscriber, and keeps the last message."""

    is_activated = True

    def __init__(self) -> None:
        self.last: Any = None

    def publish(self, message: Any) -> None:
        self.last = message

    def get_subscription_count(self) -> int:
        return 1


class _Local(DepthNode):
    """A depth node whose callbacks are called one by one; every output has a subscriber."""

    def __init__(self, log: Path, context: Context) -> None:
        self._kept: dict[str, _Kept] = {}
        self._log_file = log
        self._calls = 0
        self.process = os.getpid()
        info = ModelInfo("constant", "none", "none", ConstantEstimator(0.0).kind)
        networks = Networks(LoadedModel(ConstantEstimator(0.0), info))
        overrides = {"autostart": False, **_SENSORS}
        super().__init__(
            lambda settings, experts: networks,
            context=context,
            parameter_overrides=[Parameter(name, value=each) for name, each in overrides.items()],
        )
        self._worker.stop(PATIENCE)  # images are answered where they are sent
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                raise DepthAnythingError(f"the node cannot start: {self.log()}")
        kinds: list[Any] = list(self.subscriptions)
        self.topics = {each.topic_name: each.msg_type for each in kinds}
        self.topics.pop("/clock", None)

    def create_lifecycle_publisher(self, kind: Any, topic: str, *rest: Any, **more: Any) -> Any:
        self._kept[topic] = _Kept()
        return self._kept[topic]

    def destroy_lifecycle_publisher(self, publisher: Any) -> bool:
        return True

    def send(self, topic: str, message: Any) -> None:
        for subscription in list[Any](self.subscriptions):
            if subscription.topic_name == topic:
                subscription.callback(message)
        self._loop.step()
        self._calls += 1
        if self._calls % _TIMERS_EVERY == 0:
            for timer in list[Any](self.timers):
                timer.callback()

    def answer(self, info: CameraInfo, image: Image) -> Image | None:
        self.send("/camera_info", info)
        self.send("/image", image)
        answer: Image | None = self._kept["~/depth/image"].last
        return answer

    def use_scaler(self, name: str) -> None:
        result = self.set_parameters_atomically([Parameter("scaler", value=name)])
        if not result.successful:
            raise DepthAnythingError(f"scaler {name} is refused: {result.reason}")

    def log(self) -> str:
        return self._log_file.read_text(errors="replace")


@contextlib.contextmanager
def local_node() -> Iterator[Target]:
    """The depth node in this process: its callbacks are called without DDS, as fast as they are.

    What this process writes to standard error goes to a file meanwhile.
    """
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="depth_anything_attack_"))
        log = Path(scratch) / "log"
        stack.enter_context(_standard_error_in(log))
        context = stack.enter_context(ros_context())
        node = _Local(log, context)
        stack.callback(node.destroy_node)
        stack.callback(node.close)
        yield node


@contextlib.contextmanager
def _standard_error_in(path: Path) -> Iterator[None]:
    """Send standard error, the log of C libraries too, to a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    with path.open("wb") as sink:
        os.dup2(sink.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
