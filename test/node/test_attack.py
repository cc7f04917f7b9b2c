"""The attack on the node: the node withstands it, and the attack notices a node that does not."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

pytest.importorskip("rclpy")

from sensor_msgs.msg import CameraInfo, Image

from depth_anything_ros.benchmark.node import attack as module
from depth_anything_ros.benchmark.node.attack import (
    GOOD_EVERY,
    METRES,
    Attack,
    attack,
    local_node,
    remote_node,
)
from depth_anything_ros.cli.main import app
from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.node.messages import floats_to_image


def test_the_node_withstands_every_callback_called_by_itself() -> None:
    with local_node() as target:
        assert {"/image", "/camera_info", "/points", "/odom", "/imu", "/mask"} <= set(target.topics)
        report = attack(target, Attack(math.inf, messages=2500, seed=3))
    assert report["findings"] == []
    assert report["messages"] == 2500
    assert report["answered"] == report["good_frames"] == 2500 // GOOD_EVERY
    assert min(report["by_topic"].values()) > 100


def test_the_node_withstands_the_attack_over_dds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 90.0)  # other tests may have the machine
    with remote_node() as target:
        assert target.process != os.getpid()
        report = attack(target, Attack(math.inf, messages=300, seed=4))
    assert report["findings"] == []
    assert report["messages"] == 300
    assert report["answered"] == report["good_frames"] == 300 // GOOD_EVERY


class Faulty:
    """A node that does everything wrong from its third good frame on."""

    topics: Mapping[str, type] = {"/image": Image, "/camera_info": CameraInfo}
    process = os.getpid()

    def __init__(self, fault: str) -> None:
        self._fault = fault
        self._frames = 0

    def send(self, topic: str, message: Any) -> None:
        pass

    def answer(self, info: CameraInfo, image: Image) -> Image | None:
        self._frames += 1
        time.sleep(0.01)
        header = copy.deepcopy(image.header)
        depth = np.full((image.height, image.width), METRES, np.float32)
        if self._frames > 2:
            if self._fault == "silence":
                return None
            if self._fault == "death":
                raise DepthAnythingError("its process is gone")
            if self._fault == "stamp":
                header.stamp.nanosec ^= 1
            if self._fault == "frame":
                header.frame_id = "map"
            if self._fault == "metres":
                depth[3, 4] = np.nextafter(np.float32(METRES), np.float32(9))
        return floats_to_image(depth, header)

    def use_scaler(self, name: str) -> None:
        pass

    def log(self) -> str:
        if self._fault == "flood":
            return "[WARN] x\n" * 100_000
        if self._fault == "error":
            return "[INFO] [1.0]: [ERROR] quoted\n[ERROR] [123.4] [node]: KeyError: 'x'\n"
        return ""


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("silence", "good frame 3 was not answered"),
        ("death", "the node ended: its process is gone"),
        ("stamp", "good frame 3 was answered with another stamp"),
        ("frame", "good frame 3: map, 32FC1"),
        ("metres", "good frame 3 has other metres than 5"),
        ("flood", "bytes of log per second"),
        ("error", "in the log: [ERROR] [#] [node]: KeyError: 'x'"),
    ],
)
def test_a_faulty_node_is_found(monkeypatch: pytest.MonkeyPatch, fault: str, finding: str) -> None:
    monkeypatch.setattr(module, "PATIENCE", 5.0)
    report = attack(Faulty(fault), Attack(math.inf, messages=30))
    assert any(finding in each for each in report["findings"]), report["findings"]
    assert all("quoted" not in each for each in report["findings"])


def test_the_command_tells_what_happened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "attack.json"
    done = CliRunner().invoke(app, ["attack", "--direct", "--messages", "50", "--json", str(file)])
    assert done.exit_code == 0, done.output
    report = json.loads(file.read_text())
    assert (report["command"], report["direct"], report["messages"]) == ("attack", True, 50)
    assert "50 hostile messages in" in done.stdout
    assert "5 of 5 good frames answered" in done.stdout

    @contextlib.contextmanager
    def faulty() -> Iterator[Faulty]:
        yield Faulty("stamp")

    monkeypatch.setattr(module, "remote_node", faulty)
    done = CliRunner().invoke(app, ["attack", "--messages", "50"])
    assert done.exit_code == 1
    assert str(done.exception) == "; ".join(
        f"good frame {number} was answered with another stamp" for number in (3, 4, 5)
    )


def test_a_leak_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    files: Callable[[], int] = iter(range(10, 10**6)).__next__
    monkeypatch.setattr(psutil.Process, "num_fds", lambda process: files())
    report = attack(Faulty(""), Attack(1e9, messages=1000))
    assert [each for each in report["findings"] if each.startswith("files grew from")]
