"""Nodes under test, started and stopped around each test."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from ros_harness import DOMAIN, Consumer, NodeProcess

from depth_anything_ros.node.runtime.fastdds import prefer_shared_memory


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    """A consumer that spins in a thread of its own."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    prefer_shared_memory()
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = Node("consumer", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield Consumer(node)
    executor.shutdown()
    thread.join(60)
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Start nodes of this package by name; all are stopped with SIGINT after the test."""
    running: list[NodeProcess] = []

    def start_node(name: str, *options: str, **parameters: object) -> NodeProcess:
        log = tmp_path / f"{Path(name).stem}_{len(running)}.log"
        room = "" if name == "depth_node" else "tools."
        module = name if name.endswith(".py") else f"depth_anything_ros.node.{room}{name}"
        process = NodeProcess(module, log, options, **parameters)
        running.append(process)
        return process

    yield start_node
    for process in reversed(running):
        process.stop()
        print(process.log)
