"""A robot's day in short: the depth node while sensors fail, clocks jump and operators act."""

from __future__ import annotations

import contextlib
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from depth_anything_ros.benchmark.node.attack import ros_context, spin
from depth_anything_ros.benchmark.node.runner import running
from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.formats.extrinsics import position_and_quaternion
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import Cloud
from depth_anything_ros.node.messages import (
    cloud_to_message,
    info_from_camera,
    quaternion_message,
    rgb_to_image,
)
from depth_anything_ros.synthetic.robot import Robot

CAMERAS = ("front", "back")

PATIENCE = 30.0
"""Seconds within which a service answers, and images are answered again."""

MOST_DRIFT_PERCENT = 1.0
"""Growth of memory per hour after the warm-up that is still flat; of half an hour or more."""

MOST_GROWTH_MB = 50.0
"""The same for shorter runs, in all."""

MOST_MORE = 4
"""Threads or open files more than after the warm-up that are no leak."""

_HEIGHT, _WIDTH = 120, 160
_PLACES = 8  # that are rendered before the start
_STEP = 0.2  # metres between two of them
_CALM_EVERY = 10  # changes between two looks at what the node holds
_CALM = 2.0  # seconds
_WARM_UP = 0.2  # share of the looks
_START_TIMEOUT = 120.0
_RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
_NODE = "/depth_anything"

_DEFAULTS: dict[str, Any] = {
    "scaler": "sparse",
    "max_rate": 0.0,
    "cloud_stride": 1,
    "cloud_topics": ["points"],
    "min_confidence": 0.0,
    "preview_grayscale": False,
    "on_invalid": "drop",
}
"""Parameters that change, and what they are while the node is looked at."""

_CHANGES: dict[str, tuple[Any, ...]] = {
    "scaler": ("sparse", "auto", "motion", "ground"),
    "max_rate": (0.0, 2.0),
    "cloud_stride": (1, 4),
    "cloud_topics": (["points"], ["points", "more_points"], [""]),
    "min_confidence": (0.0, 0.3),
    "preview_grayscale": (False, True),
    "on_invalid": ("drop", "hold"),
}


@dataclass(frozen=True)
class Soak:
    """How long and with what the node is soaked.

    Attributes:
        seconds: How long; infinity for as long as `changes` take.
        changes: How many changes; None for as many as fit.
        model: Name or file of the network; None for one that answers a constant at once.
        input_sizes: Two sizes of the network's input, which changes between them.
        rate: Images per second of each camera.
        pause: Seconds between two changes.
        seed: Decides the changes.
    """

    seconds: float
    changes: int | None = None
    model: str | None = None
    input_sizes: tuple[int, int] = (140, 168)
    rate: float = 5.0
    pause: float = 1.0
    seed: int = 0


@dataclass
class _Held:
    """What the node holds while nothing is out of order."""

    at: float
    memory_mb: float
    threads: int
    files: int
    subscriptions: int


@dataclass
class _Record:
    changes: Counter[str] = field(default_factory=Counter)
    held: list[_Held] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    longest_silence: float = 0.0


def soak(plan: Soak, progress: Callable[[float], None] = lambda share: None) -> dict[str, Any]:
    """Run the node for a while and change something all the time.

    Cameras, LiDAR and odometry fail and return, simulated time jumps and stands still, services are
    called, the network is loaded anew with another input, parameters change, the lifecycle is
    gone through. After every `_CALM_EVERY` changes all is put in order again and looked at.

    Args:
        plan: How long and with what.
        progress: Called now and then with the elapsed share of the time.

    Returns:
        Figures by name, ready for JSON: `series` has every look at what the node holds, `findings`
        is empty where nothing was found.

    Raises:
        DepthAnythingError: The node does not start.
    """
    record = _Record()
    with _robot_and_node(plan) as (robot, process):
        began = time.monotonic()
        try:
            _drive(plan, record, robot, process.number, began, progress)
        except (psutil.Error, DepthAnythingError) as error:
            record.findings.append(f"after {_last(record)}: {error}")
        seconds = time.monotonic() - began
        log = process.errors.read_text(errors="replace")
        answers = dict(robot.answers)
    if "Traceback" in log:
        record.findings.append(f"a traceback in the log: {log[log.index('Traceback') :][:500]}")
    return {
        "seconds": round(seconds, 1),
        "model": plan.model,
        "seed": plan.seed,
        "changes": dict(record.changes.most_common()),
        "answers": answers,
        "longest_silence_s": round(record.longest_silence, 1),
        "log_bytes": len(log),
        **_judged(record, seconds),
        "series": _series(record.held),
        "findings": record.findings,
    }


def _drive(
    plan: Soak,
    record: _Record,
    robot: _Robot,
    process: int,
    began: float,
    progress: Callable[[float], None],
) -> None:
    draw = random.Random(plan.seed)
    observed = psutil.Process(process)
    changes = _changes(plan, robot, draw)
    count = 0
    _look(record, robot, observed)
    while time.monotonic() - began < plan.seconds and count < (plan.changes or sys.maxsize):
        name = draw.choice(tuple(changes))
        record.changes[name] += 1
        changes[name]()
        time.sleep(draw.uniform(0.5, 1.5) * plan.pause)
        if not observed.is_running() or observed.status() == psutil.STATUS_ZOMBIE:
            raise DepthAnythingError("the node has ended")
        count += 1
        if count % _CALM_EVERY == 0:
            _look(record, robot, observed)
        progress(min((time.monotonic() - began) / plan.seconds, 1.0))
    _look(record, robot, observed)


def _look(record: _Record, robot: _Robot, observed: psutil.Process) -> None:
    """Put everything in order, see that images are answered, and note what the node holds."""
    robot.in_order()
    before = dict(robot.answers)
    since = time.monotonic()
    while any(robot.answers[name] < before[name] + 2 for name in CAMERAS):
        if time.monotonic() - since > PATIENCE:
            silent = [name for name in CAMERAS if robot.answers[name] < before[name] + 2]
            raise DepthAnythingError(f"{', '.join(silent)} silent for {PATIENCE:g} s")
        time.sleep(0.05)
    record.longest_silence = max(record.longest_silence, time.monotonic() - since)
    time.sleep(_CALM)
    with observed.oneshot():
        memory, threads = observed.memory_info().rss / 1e6, observed.num_threads()
    held = _Held(
        time.monotonic(), memory, threads, observed.num_fds(), robot.subscriptions_of_node()
    )
    record.held.append(held)


def _changes(plan: Soak, robot: _Robot, draw: random.Random) -> dict[str, Callable[[], object]]:
    """Everything that may happen, by name."""

    def services(name: str) -> Callable[[], object]:
        return lambda: robot.trigger(f"{draw.choice(CAMERAS)}/scale/{name}")

    def transitions() -> None:
        robot.lifecycle(Transition.TRANSITION_DEACTIVATE)
        if draw.random() < 0.7:
            robot.lifecycle(Transition.TRANSITION_CLEANUP)
            robot.lifecycle(Transition.TRANSITION_CONFIGURE)
        if draw.random() < 0.2:  # what the state does not allow
            robot.lifecycle(Transition.TRANSITION_CLEANUP + 10)
        robot.lifecycle(Transition.TRANSITION_ACTIVATE)

    def parameter() -> None:
        name = draw.choice(tuple(_CHANGES))
        robot.set_parameters({name: draw.choice(_CHANGES[name])})

    return {
        "camera dies or returns": lambda: robot.toggle(draw.choice(CAMERAS)),
        "lidar dies or returns": lambda: robot.toggle("lidar"),
        "odometry stops or returns": lambda: robot.toggle("odometry"),
        "clock jumps": lambda: robot.jump(draw.choice((-3600.0, -5.0, 60.0, 3600.0))),
        "clock stands still": lambda: robot.stand_still(draw.uniform(0.5, 2.0)),
        "outputs are subscribed to or not": robot.toggle_subscriptions,
        "scale/reset": services("reset"),
        "scale/save": services("save"),
        "scale/load": services("load"),
        "scale/freeze": lambda: robot.switch(
            f"{draw.choice(CAMERAS)}/scale/freeze", draw.random() < 0.5
        ),
        "enable": lambda: robot.switch("enable", draw.random() < 0.5),
        "snapshot": lambda: robot.trigger("snapshot"),
        "input_size": lambda: robot.set_parameters({"input_size": draw.choice(plan.input_sizes)}),
        "load_model": lambda: robot.trigger("load_model"),
        "parameter": parameter,
        "refused parameters": lambda: robot.set_parameters(
            {"cloud_topics": ["points", "lost"], "cloud_stride": 0}
        ),
        "lifecycle": transitions,
    }


def _judged(record: _Record, seconds: float) -> dict[str, Any]:
    """Drift of what the node holds, from the looks after the warm-up."""
    held = record.held[int(_WARM_UP * len(record.held)) :]
    if len(held) < 2:
        return {"looks": len(record.held)}
    hours = np.array([(each.at - held[0].at) / 3600 for each in held])
    memory = np.array([each.memory_mb for each in held])
    slope = float(np.polyfit(hours, memory, 1)[0])
    drift = 100 * slope / float(np.median(memory))
    third = max(len(held) // 3, 1)
    growth = statistics.median(memory[-third:]) - statistics.median(memory[:third])
    if seconds >= 1800 and drift > MOST_DRIFT_PERCENT:
        record.findings.append(f"memory grew by {drift:.2f} % per hour")
    if growth > MOST_GROWTH_MB:
        record.findings.append(f"memory grew by {growth:.0f} MB")
    for what in ("threads", "files"):
        first, last = getattr(held[0], what), statistics.median(getattr(e, what) for e in held[-3:])
        if last > first + MOST_MORE:
            record.findings.append(f"{what} grew from {first} to {last:g}")
    counts = sorted({each.subscriptions for each in held})
    if len(counts) > 1:
        record.findings.append(f"the node in order has {counts} subscriptions")
    return {
        "looks": len(record.held),
        "memory_mb": [round(float(value), 1) for value in (memory[0], memory[-1], memory.max())],
        "memory_drift_percent_per_hour": round(drift, 2),
        "threads": [held[0].threads, held[-1].threads],
        "files": [held[0].files, held[-1].files],
        "subscriptions": counts,
    }


def _series(held: list[_Held]) -> list[dict[str, float]]:
    """Every look, by seconds since the first."""
    return [
        {
            **asdict(each),
            "at": round(each.at - held[0].at, 1),
            "memory_mb": round(each.memory_mb, 1),
        }
        for each in held
    ]


def _last(record: _Record) -> str:
    return ", ".join(record.changes) or "the start"


# The robot -----------------------------------------------------------------------------------


class _Robot:
    """Publishes what a robot's sensors see on simulated time, and operates the depth node."""

    def __init__(self, node: Node, rate: float) -> None:
        self.answers = dict.fromkeys(CAMERAS, 0)
        self.parameters: dict[str, Any] = {}
        self._node = node
        self._period = 1.0 / rate
        camera = Camera.from_hfov(_WIDTH, _HEIGHT, 70.0)
        robot = Robot("room", 0, dict.fromkeys(CAMERAS, camera))
        places = [_STEP * number for number in range(_PLACES)]
        self._pictures = {
            name: [robot.photograph(name, place)[0] for place in places] for name in CAMERAS
        }
        self._clouds = [robot.measure(place) for place in places]
        start = np.linalg.inv(robot.pose(0.0))
        self._poses = [position_and_quaternion(start @ robot.pose(place)) for place in places]
        self._camera = camera
        self.extrinsics = _extrinsics(robot)
        self._on = dict.fromkeys((*CAMERAS, "lidar", "odometry"), True)
        self._lock = threading.Lock()
        self._clock_offset = 1000.0
        self._still_until = 0.0
        self._now = 0.0
        self._began = time.monotonic()
        self._tick = 0
        self._publishers: dict[str, Any] = {}
        self._subscriptions: list[Any] = []
        self._clients: dict[str, Any] = {}
        self._clock = node.create_publisher(Clock, "/clock", 10)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        for name in CAMERAS:
            node.create_subscription(
                DiagnosticStatus, f"{_NODE}/{name}/scale_state", self._counter(name), _RELIABLE
            )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(10)

    # What may happen

    def toggle(self, sensor: str) -> None:
        """Let a sensor's driver die, or start it again."""
        with self._lock:
            self._on[sensor] = not self._on[sensor]
            if not self._on[sensor]:
                for topic in [each for each in self._publishers if _of(sensor, each)]:
                    self._node.destroy_publisher(self._publishers.pop(topic))

    def jump(self, seconds: float) -> None:
        """Let simulated time jump, never before 0."""
        with self._lock:
            self._clock_offset = max(self._clock_offset + seconds, 1.0 - self._elapsed())

    def stand_still(self, seconds: float) -> None:
        """Let simulated time stand still for a while."""
        self._still_until = time.monotonic() + seconds

    def toggle_subscriptions(self) -> None:
        """Subscribe to more outputs, or no longer."""
        if self._subscriptions:
            for subscription in self._subscriptions:
                self._node.destroy_subscription(subscription)
            self._subscriptions = []
            return
        for name in CAMERAS:
            for kind, output in (
                (Image, "depth/image"),
                (Image, "depth/preview"),
                (Image, "confidence/image"),
                (PointCloud2, "points"),
            ):
                self._subscriptions.append(
                    self._node.create_subscription(
                        kind, f"{_NODE}/{name}/{output}", lambda message: None, _RELIABLE
                    )
                )

    def trigger(self, name: str) -> Any:
        """Call a service; whether it succeeds depends on what happened before."""
        return self._call(Trigger, name, Trigger.Request())

    def switch(self, name: str, on: bool) -> Any:
        """Call a service that switches something."""
        return self._call(SetBool, name, SetBool.Request(data=on))

    def lifecycle(self, transition: int) -> bool:
        """Ask for a transition."""
        request = ChangeState.Request()
        request.transition.id = transition
        return bool(self._call(ChangeState, "change_state", request).success)

    def set_parameters(self, values: dict[str, Any]) -> bool:
        """Change parameters of the node; whether they are taken."""
        request = SetParametersAtomically.Request()
        request.parameters = [
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]
        answer = self._call(SetParametersAtomically, "set_parameters_atomically", request)
        return bool(answer.result.successful)

    def in_order(self) -> None:
        """Put everything in order: all sensors work, the node is active with its defaults."""
        for sensor, on in list(self._on.items()):
            if not on:
                self.toggle(sensor)
        if not self._subscriptions:
            self.toggle_subscriptions()
        self._still_until = 0.0
        self.switch("enable", True)
        if not self.set_parameters(self.parameters):
            raise DepthAnythingError(f"the node refuses {self.parameters}")

    # What it sees of the node

    def ready(self) -> bool:
        """Whether the node listens to all cameras."""
        return all(self._node.count_subscribers(f"/{name}/image") > 0 for name in CAMERAS)

    def subscriptions_of_node(self) -> int:
        """How many subscriptions the node has; the graph is asked until it says so twice."""
        until = time.monotonic() + PATIENCE
        count = -1
        while time.monotonic() < until:
            topics = self._node.get_subscriber_names_and_types_by_node("depth_anything", "/")
            before, count = (
                count,
                sum(
                    each.node_name == "depth_anything"
                    for topic, _ in topics
                    for each in self._node.get_subscriptions_info_by_topic(topic)
                ),
            )
            if count == before:
                break
            time.sleep(0.5)
        return count

    def _call(self, kind: Any, name: str, request: Any) -> Any:
        if name not in self._clients:
            self._clients[name] = self._node.create_client(kind, f"{_NODE}/{name}")
        client = self._clients[name]
        if not client.wait_for_service(PATIENCE):
            raise DepthAnythingError(f"there is no service {name}")
        # The middleware may lose the first answer of a service that has just been found.
        for _ in range(2):
            future = client.call_async(request)
            until = time.monotonic() + PATIENCE
            while not future.done() and time.monotonic() < until:
                time.sleep(0.005)
            if future.done():
                return future.result()
        raise DepthAnythingError(f"{name} did not answer twice within {PATIENCE:g} s")

    def _counter(self, name: str) -> Callable[[DiagnosticStatus], None]:
        def count(message: DiagnosticStatus) -> None:
            self.answers[name] += 1

        return count

    # What its sensors send

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopped.is_set():
            with self._lock:
                self._send()
            due = max(due + self._period, time.monotonic())
            self._stopped.wait(due - time.monotonic())

    def _send(self) -> None:
        if time.monotonic() >= self._still_until:
            self._now = self._elapsed() + self._clock_offset
        self._tick += 1
        place = self._tick % _PLACES
        nanoseconds = int(self._now * 1e9)
        stamp = Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
        self._clock.publish(Clock(clock=stamp))
        if self._on["odometry"]:
            message = Odometry(header=Header(stamp=stamp, frame_id="odom"))
            message.child_frame_id = "base_link"
            position = message.pose.pose.position
            position.x, position.y, position.z, *quaternion = self._poses[place]
            message.pose.pose.orientation = quaternion_message(quaternion)
            self._publish("odom", message)
        if self._on["lidar"]:
            header = Header(stamp=stamp, frame_id="lidar")
            self._publish("points", cloud_to_message(Cloud(self._clouds[place][None]), header))
        for name in CAMERAS:
            if self._on[name]:
                header = Header(stamp=stamp, frame_id=f"{name}_optical_frame")
                self._publish(f"{name}/camera_info", info_from_camera(self._camera, header))
                self._publish(f"{name}/image", rgb_to_image(self._pictures[name][place], header))

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _publish(self, topic: str, message: CameraInfo | Image | PointCloud2 | Odometry) -> None:
        if topic not in self._publishers:
            self._publishers[topic] = self._node.create_publisher(type(message), topic, _RELIABLE)
        self._publishers[topic].publish(message)


def _of(sensor: str, topic: str) -> bool:
    own = {"lidar": "points", "odometry": "odom"}
    return topic == own[sensor] if sensor in own else topic.startswith(f"{sensor}/")


def _extrinsics(robot: Robot) -> str:
    """Where LiDAR and odometry stand to each camera, for the node's parameter."""
    tables = []
    for name, pose in robot.base_camera.items():
        optical = np.linalg.inv(pose)
        entries = ", ".join(
            f"{topic}: {[round(number, 9) for number in position_and_quaternion(place)]}"
            for topic, place in (("points", optical @ robot.base_lidar), ("odom", optical))
        )
        tables.append(f"{name}: {{{entries}}}")
    return f"{{{', '.join(tables)}}}"


@contextlib.contextmanager
def _robot_and_node(plan: Soak) -> Iterator[tuple[_Robot, Any]]:
    """The robot in this process, and the depth node in its own."""
    with contextlib.ExitStack() as stack:
        scratch = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="depth_anything_soak_"))
        )
        context = stack.enter_context(ros_context())
        node = Node("robot", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        robot = _Robot(node, plan.rate)
        robot.parameters = {**_DEFAULTS, "input_size": plan.input_sizes[0]}
        parameters = {
            "cameras": list(CAMERAS),
            "use_sim_time": True,
            "sensor_extrinsics": f"'{robot.extrinsics}'",
            "scale_file": f"'{{front: {scratch}/front.yaml, back: {scratch}/back.yaml}}'",
            "snapshot_folder": str(scratch / "snapshots"),
            "num_threads": 1,
            **({} if plan.model is None else {"model": plan.model}),
            "scaler": "sparse",
            "input_size": plan.input_sizes[0],
        }
        arguments = ["--network-ms", "0"] if plan.model is None else []
        arguments.append("--ros-args")
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={value}"]
        process = stack.enter_context(running("depth_node", arguments))
        thread = threading.Thread(target=spin, args=(executor,), daemon=True)
        thread.start()
        stack.callback(node.destroy_node)
        stack.callback(thread.join, 10)
        stack.callback(executor.shutdown)
        robot.start()
        stack.callback(robot.stop)
        until = time.monotonic() + _START_TIMEOUT
        while not robot.ready():
            process.check()
            if time.monotonic() > until:
                raise DepthAnythingError("the node does not listen to the cameras")
            time.sleep(0.1)
        yield robot, process
