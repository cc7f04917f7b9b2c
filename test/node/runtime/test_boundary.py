"""Whatever a callback raises becomes a sentence; the node lives and answers the next image."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import gc
import inspect
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_harness import DOMAIN, Consumer, NodeProcess
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tiny_networks import write_red_network

from depth_anything_ros.errors import CheckpointError
from depth_anything_ros.frames import DepthFrame, Frame, PredictionKind, Quality, ScaleState
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.inference import completion
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.constant_estimator import ConstantEstimator
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.scale_file import SavedScale, save_scale
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.node.camera import snapshot
from depth_anything_ros.node.camera.output import OUTPUTS
from depth_anything_ros.node.depth_node import DepthNode
from depth_anything_ros.node.messages import info_from_camera, rgb_to_image
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.runtime.model_loader import Networks

HOSTILE: tuple[Any, ...] = (
    "~nosuchuser/x",
    "{front: 2001-99-99}",
    "[" * 3000,
    "[1, 2, 3, 0, 0, 0, 1" + "0" * 400 + "]",
    "bad topic\n[FATAL] forged",
    "//x",
    float("nan"),
    float("inf"),
    -(2**62),
    True,
    ["", "bad topic"],
    [1, 2],
    [1.5],
    b"\x00\xff",
)
"""Values that some parameter cannot have."""


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[DepthNode]:
    """An active depth node in this process, with a network that answers 5 m."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    info = ModelInfo("five", "none", "none", PredictionKind.METRIC_DEPTH)
    networks = Networks(LoadedModel(ConstantEstimator(0.0), info))
    made = DepthNode(
        lambda settings, experts: networks,
        context=context,
        parameter_overrides=[
            Parameter("autostart", value=False),
            Parameter("imu_topic", value="imu"),
            Parameter("depth_topics", value=["depth"]),
            Parameter("scan_topics", value=["scan"]),
            Parameter("range_topics", value=["range"]),
        ],
    )
    assert made.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert made.trigger_activate() == TransitionCallbackReturn.SUCCESS
    yield made
    made.close()
    made.destroy_node()
    rclpy.shutdown(context=context)


def test_every_subscription_and_timer_survives_what_it_is_given(node: DepthNode) -> None:
    subscriptions: list[Any] = list(node.subscriptions)
    assert len(subscriptions) >= 10
    for subscription in subscriptions:
        for message in (None, object(), subscription.msg_type()):
            subscription.callback(message)
    for timer in list(node.timers):
        timer.callback()


def test_every_service_answers_what_it_cannot_do(node: DepthNode) -> None:
    services: list[Any] = list(node.services)
    assert len(services) >= 18
    for service in services:
        response = service.srv_type.Response()
        answer = service.callback(None, response)
        if inspect.iscoroutine(answer):
            answer.close()
            continue
        assert answer is response, service.srv_name


def test_a_service_that_fails_says_why(node: DepthNode) -> None:
    async def broken(request: Any, response: Any) -> Any:
        raise ZeroDivisionError("broken")

    for kind in ("sync", "async"):
        callback: Callable[..., Any] = broken
        if kind == "sync":

            def callback(request: Any, response: Any) -> Any:
                raise ZeroDivisionError("broken")

        service = node.create_service(Trigger, f"~/{kind}", callback)
        response = service.callback(Trigger.Request(), Trigger.Response())
        if inspect.iscoroutine(response):
            response = asyncio.run(response)
        assert (response.success, response.message) == (False, "ZeroDivisionError: broken")


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(NodeParameters)])
def test_every_parameter_is_changed_as_a_whole_or_not_at_all(node: DepthNode, name: str) -> None:
    for value in HOSTILE:
        before = whole(node)
        try:
            changes = [Parameter(name, value=value), Parameter("cloud_stride", value=0)]
        except (TypeError, AssertionError):
            continue
        result = node.set_parameters_atomically(changes)
        assert not result.successful
        assert "\n" not in result.reason
        assert whole(node) == before


def whole(node: DepthNode) -> dict[str, Any]:
    """Everything of a node that a parameter may change."""
    names = [field.name for field in dataclasses.fields(NodeParameters)]
    return {
        "parameters": [repr(node.get_parameter(name).value) for name in names],
        "setup": node._setup,
        "settings": node._settings,
        "subscriptions": sorted(each.topic_name for each in node.subscriptions),
    }


def test_a_refused_change_leaves_no_subscription(node: DepthNode, tmp_path: Path) -> None:
    before = whole(node)
    for _ in range(3):
        result = node.set_parameters_atomically(
            [
                Parameter("cloud_topics", value=["extra"]),
                Parameter("mask_file", value=str(tmp_path / "nothing.png")),
            ]
        )
        assert not result.successful
        assert "nothing.png cannot be read" in result.reason
    assert whole(node) == before


def test_nothing_is_kept_of_subscriptions_and_publishers_that_are_gone(node: DepthNode) -> None:
    def change() -> int:
        for topics in (["points", "more"], ["points"]):
            assert node.set_parameters([Parameter("cloud_topics", value=topics)])[0].successful
        for transition in ("deactivate", "cleanup", "configure", "activate"):
            done = getattr(node, f"trigger_{transition}")()
            assert done == TransitionCallbackReturn.SUCCESS, transition
        gc.collect()
        return len(node.default_callback_group.entities)

    change()
    first = change()
    assert [change() for _ in range(3)] == [first] * 3


def test_failed_transitions_say_why(node: DepthNode, monkeypatch: pytest.MonkeyPatch) -> None:
    node.trigger_deactivate()
    said: list[str] = []
    monkeypatch.setattr(node.get_logger(), "error", lambda text: said.append(text))

    def broken() -> None:
        raise OSError("no more sockets")

    monkeypatch.setattr(node, "_activate", broken)
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert said == ["cannot activate: OSError: no more sockets"]
    assert node._health("").message == said[0]
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    monkeypatch.setattr(node, "_configure", broken)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert said[1:] == ["cannot configure: OSError: no more sockets"]
    assert node._health("").message == said[1]
    monkeypatch.undo()
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert "nobody publishes" in node._health("").message


def test_a_load_that_ends_after_cleanup_changes_nothing(node: DepthNode) -> None:
    setup = node._setup
    assert setup is not None
    loaded = setup.networks
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert "cleaned up" in str(node._swap(setup, loaded))
    assert node._setup is None


def image_sender(node: DepthNode, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, str]]:
    """What sends an image, has it answered in this thread, and gives the diagnostics."""
    node._worker.stop(5)
    camera = node._cameras[0]
    monkeypatch.setattr(camera.outputs, "wanted", lambda: frozenset(OUTPUTS))
    callbacks: dict[str, Any] = {each.topic_name: each.callback for each in node.subscriptions}

    def send() -> dict[str, str]:
        header = Header(stamp=node.get_clock().now().to_msg(), frame_id="cam")
        lens = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
        callbacks["/camera_info"](info_from_camera(lens, header))
        callbacks["/image"](rgb_to_image(np.zeros((48, 64, 3), np.uint8), header))
        node._loop.step()
        return node._health("").values

    return send


class _Call:
    """A service call whose response comes at once or, from a coroutine, when its work is done."""

    def __init__(self, answer: Any) -> None:
        self._coroutine = answer if inspect.iscoroutine(answer) else None
        self.response: Trigger.Response | None = None if self._coroutine else answer
        self.step()  # up to where it waits for the disk, or to its end where the disk was faster

    def step(self) -> None:
        if self._coroutine is None or self.response is not None:
            return
        try:
            self._coroutine.send(None)
        except StopIteration as end:
            self.response = end.value

    def wait(self) -> Trigger.Response:
        until = time.monotonic() + 30
        while self.response is None:
            assert time.monotonic() < until, "no answer"
            self.step()
            time.sleep(0.001)
        return self.response


def test_nobody_waits_for_a_slow_disk(
    node: DepthNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While the disk writes a scale and a snapshot, calls are answered and images, too."""
    send = image_sender(node, monkeypatch)
    services = {each.srv_name.removeprefix("~/"): each for each in node.services}
    writes, goes_on = threading.Event(), threading.Event()
    wait_for_disk = os.fsync

    def slow(descriptor: int) -> None:
        writes.set()
        assert goes_on.wait(60)
        wait_for_disk(descriptor)

    def ask(name: str) -> _Call:
        return _Call(services[name].callback(Trigger.Request(), Trigger.Response()))

    path = tmp_path / "scale.yaml"
    save_scale(SavedScale(PredictionKind.METRIC_DEPTH, 2.0), path)
    values = {"scale_file": str(path), "snapshot_folder": str(tmp_path)}
    changes = [Parameter(name, value=value) for name, value in values.items()]
    assert node.set_parameters_atomically(changes).successful
    loading = ask("scale/load")
    assert loading.wait().success
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", slow)
        saving = ask("scale/save")
        assert writes.wait(60)
        snapshot_wanted = ask("snapshot")
        before = int(send()["frames_out"])
        assert int(send()["frames_out"]) == before + 1
        assert ask("scale/reset").wait().success
        assert node.set_parameters([Parameter("cloud_stride", value=2)])[0].successful
        more = [ask("scale/load") for _ in range(8)]  # the thread takes no more than it can do
        refused = [each for each in more if each.response is not None]
        assert len(list(tmp_path.glob("*/state.json"))) == 0
        goes_on.set()
        response = saving.wait()
    assert (response.success, response.message) == (True, "saved")
    written = snapshot_wanted.wait()
    assert written.success and (Path(written.message) / "state.json").exists()
    assert 0 < len(refused) < len(more)
    assert all(each.wait().success for each in more if each not in refused)


class _Completion:
    def complete(self, *maps: np.ndarray) -> np.ndarray:
        return maps[2]


def test_a_change_does_not_wait_for_the_network_of_a_refinement(
    node: DepthNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`refinement: prior` is taken at once; its network is loaded, or downloaded, beside."""
    go_on, asked = threading.Event(), threading.Semaphore(0)

    def load(name: str) -> _Completion:
        asked.release()
        if name != "second":
            assert go_on.wait(60)
            raise CheckpointError(f"there is no {name}")
        return _Completion()

    monkeypatch.setattr(completion, "load_completion", load)
    swapped: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    swap = node._swap
    monkeypatch.setattr(node, "_swap", lambda *arguments: swapped.put(swap(*arguments)))

    def change(**values: Any) -> bool:
        return node.set_parameters_atomically(
            [Parameter(name, value=value) for name, value in values.items()]
        ).successful

    def scaler() -> object:
        assert node._setup is not None
        return node._setup.cameras[""].scaler

    before = scaler()
    assert not change(refinement="prior", prior_model="first", fit_shift="odd")
    assert change(refinement="prior", prior_model="first")
    assert asked.acquire(timeout=60)  # it is being loaded, and the change has been answered
    meanwhile = scaler()
    assert isinstance(meanwhile, LiveScaler) and meanwhile is not before
    go_on.set()
    assert swapped.get(timeout=60) == "the model in use stays: there is no first"
    assert scaler() is meanwhile
    assert change(min_points=7)  # takes effect all the same, and asks for nothing again
    assert scaler() is not meanwhile
    assert change(prior_model="second")
    assert swapped.get(timeout=60) is None
    after = scaler()
    assert change(min_points=8)  # what is loaded is used at once
    assert scaler() is not after
    assert swapped.empty()


@pytest.mark.parametrize(
    ("error", "said"), [(RuntimeError, "CUDA out of memory"), (MemoryError, "")]
)
def test_a_network_without_memory_loses_one_image(
    node: DepthNode, monkeypatch: pytest.MonkeyPatch, error: type[Exception], said: str
) -> None:
    setup = node._setup
    assert setup is not None
    estimator = setup.networks.model.estimator
    send = image_sender(node, monkeypatch)

    with monkeypatch.context() as patch:

        def fail(images: object) -> None:
            raise error(said)  # a new one: its traceback keeps the node

        patch.setattr(estimator, "estimate", fail)
        values = send()
        assert (values["frames_out"], values["dropped (error)"]) == ("0", "1")
        assert node._health("").message.startswith(f"image not answered: {error.__name__}")
    assert send()["frames_out"] == "1"


def test_a_snapshot_on_a_full_disk_leaves_nothing(
    node: DepthNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    frame = Frame(np.zeros((48, 64, 3), np.uint8), stamp=7)
    setup = node._setup
    assert setup is not None
    (prediction,) = setup.networks.model.estimator.estimate([frame.rgb])
    state = ScaleState("test", Quality.GOOD, "")
    answer = DepthFrame(frame, prediction, prediction.values, None, state)

    def full(path: Path, values: object) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "write_metric_png", full)
        with pytest.raises(OSError, match="No space left"):
            snapshot.write_snapshot(tmp_path, "", answer)
        assert list(tmp_path.iterdir()) == []
    names = [snapshot.write_snapshot(tmp_path, "", answer).name for _ in range(2)]
    assert names == ["7", "7_2"]
    assert (tmp_path / "7" / "depth.npy").exists()


def test_requests_that_the_state_does_not_allow_are_refused(
    start: Callable[..., NodeProcess], consumer: Consumer, tmp_path: Path
) -> None:
    node = start("depth_node", model=write_red_network(tmp_path, "metric_depth"), autostart=False)
    consumer.wait(lambda: bool(consumer.diagnostics), 30, "the node is not there")
    assert consumer.state() == "unconfigured"
    for transition in (
        Transition.TRANSITION_ACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_DEACTIVATE,
        99,
    ):
        assert not consumer.change_state(transition)
        assert consumer.state() == "unconfigured"
    assert consumer.change_state(Transition.TRANSITION_CONFIGURE)
    assert node.alive
    assert "Traceback" not in node.log
