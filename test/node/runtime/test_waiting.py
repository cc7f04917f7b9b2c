"""No callback waits for the network, and the node stops in time whatever it is doing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from ros_harness import Consumer, NodeProcess
from std_srvs.srv import SetBool, Trigger

from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.node.messages import info_from_camera, rgb_to_image

CAMERA = Camera(160, 120, 130.0, 130.0, 79.5, 59.5)
RGB = np.full((120, 160, 3), 90, np.uint8)
SLOW_NODE = Path(__file__).parents[2] / "support" / "slow_node.py"
FOR_EVER = "600"
"""Seconds of a network, or of loading one, for which no test waits."""


def slow(start: Callable[..., NodeProcess], *options: str, **parameters: object) -> NodeProcess:
    return start(str(SLOW_NODE), *options, **parameters)


def test_callbacks_answer_at_once_while_the_network_works(
    start: Callable[..., NodeProcess], consumer: Consumer
) -> None:
    node = slow(start, "--seconds", FOR_EVER, scaler="auto")
    consumer.subscribe("depth/image")
    consumer.wait_ready()
    stop = threading.Event()

    def feed() -> None:
        while not stop.wait(0.1):
            header = consumer.header()
            consumer.send_messages(rgb_to_image(RGB, header), info_from_camera(CAMERA, header))

    feeder = threading.Thread(target=feed)
    feeder.start()
    value = iter(range(1000))

    def change() -> SetParametersAtomically.Request:
        parameter = Parameter("preview_grayscale", value=next(value) % 2 == 0)
        return SetParametersAtomically.Request(parameters=[parameter.to_parameter_msg()])

    calls = {
        "set_parameters_atomically": (SetParametersAtomically, change),
        "scale/freeze": (SetBool, lambda: SetBool.Request(data=False)),
        "scale/reset": (Trigger, Trigger.Request),
        "get_state": (GetState, GetState.Request),
    }
    took: dict[str, list[float]] = {name: [] for name in calls}
    clients = {
        name: consumer.node.create_client(kind, f"/depth_anything/{name}")
        for name, (kind, _) in calls.items()
    }
    try:
        consumer.wait(lambda: "the network works" in node.log, 60, "no image was taken")
        for client in clients.values():
            assert client.wait_for_service(30)
        consumer.settle()
        for _ in range(40):
            for name, (_, request) in calls.items():
                began = time.perf_counter()
                future = clients[name].call_async(request())
                while not future.done() and time.perf_counter() - began < 30:
                    time.sleep(0.0005)
                took[name].append(time.perf_counter() - began)
                assert future.done(), f"{name} waited for the network"
    finally:
        stop.set()
        feeder.join()
    for name, times in took.items():
        print(f"{name}: p50 {np.median(times):.4f} s, p99 {np.percentile(times, 99):.4f} s")
    assert consumer.received["depth/image"] == []


def test_diagnostics_are_said_while_the_network_works(
    start: Callable[..., NodeProcess], consumer: Consumer
) -> None:
    node = slow(start, "--seconds", FOR_EVER, scaler="auto")
    consumer.subscribe("depth/image")
    consumer.wait_ready()
    consumer.send(RGB, CAMERA)
    consumer.wait(lambda: "the network works" in node.log, 60, "no image was taken")
    for _ in range(3):
        consumer.diagnostics = {}
        consumer.wait(lambda: bool(consumer.diagnostics), 30, "diagnostics fell silent")
    assert consumer.received["depth/image"] == []


@pytest.mark.parametrize("moment", ["starting", "loading another", "working"])
def test_it_stops_in_time_and_leaves_nothing(
    start: Callable[..., NodeProcess], consumer: Consumer, moment: str
) -> None:
    if moment == "starting":
        node = slow(start, "--load-seconds", FOR_EVER)
        consumer.wait(lambda: "loading" in consumer.diagnostics.get("message", ""), 30, "not heard")
    else:
        seconds = FOR_EVER if moment == "working" else "0"
        node = slow(start, "--seconds", seconds, scaler="network")
        consumer.subscribe("depth/image")
        consumer.wait_ready()
        consumer.send(RGB, CAMERA)
        consumer.wait(lambda: "the network works" in node.log, 60, "no image was taken")
        if moment == "loading another":
            consumer.answers("depth/image", 1)
            assert consumer.set_parameters(input_size=700).successful
    segments = node.shared_memory()
    assert segments
    began = time.monotonic()
    assert node.stop() == 0
    print(f"stopped in {time.monotonic() - began:.1f} s")
    assert "Traceback" not in node.log
    assert not [path for path in segments if path.exists()]
