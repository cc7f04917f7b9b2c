"""The commands that start nodes, or watch one, and end with Ctrl-C or SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
from ros_harness import DOMAIN, Consumer, NodeProcess
from tiny_networks import write_red_network

from depth_anything_ros.formats.media import read_image

RERUN = """
class Anything:
    def __init__(self, *values, **named): pass

class RecordingStream(Anything):
    def log(self, entity, *parts, static): print("logged", entity, flush=True)
    def disconnect(self): print("closed", flush=True)
    def __getattr__(self, name): return lambda *values, **named: None

class ViewCoordinates:
    RDF = "RDF"

def __getattr__(name): return Anything
"""
"""Stands for rerun's library and says what it is given."""


class Command:
    """A command of depth_anything in a process of its own."""

    def __init__(self, log: Path, arguments: Sequence[object], path: str = "") -> None:
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(DOMAIN),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "COLUMNS": "200",
            "PYTHONPATH": os.pathsep.join([path, os.environ.get("PYTHONPATH", "")]),
        }
        self._log = log
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "depth_anything_ros", *map(str, arguments)],
                env=environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, words: str, meanwhile: Callable[[], object]) -> None:
        until = time.monotonic() + 120
        while words not in self.said:
            assert self._process.poll() is None and time.monotonic() < until, self.said
            meanwhile()
            time.sleep(0.1)

    def wait(self) -> int:
        """Wait for its end; its exit status."""
        return self._process.wait(120)

    def stop(self, number: signal.Signals) -> int:
        """Tell it to stop and wait; its exit status. Nothing that it started goes on."""
        if self._process.poll() is None:
            started = psutil.Process(self._process.pid).children(recursive=True)
            self._process.send_signal(number)
            self._process.wait(120)
            assert not [each for each in started if each.is_running()]
        return self._process.returncode


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Starts a command; it is stopped after the test."""
    running: list[Command] = []

    def start(*arguments: object, path: str = "") -> Command:
        running.append(Command(tmp_path / f"command_{len(running)}.log", arguments, path))
        return running[-1]

    yield start
    for each in running:
        each.stop(signal.SIGTERM)
        print(each.said)


def test_the_demo_shows_metres_of_a_robot(
    run: Callable[..., Command], consumer: Consumer, tmp_path: Path
) -> None:
    consumer.subscribe("depth/image", "points", "depth/preview")
    output = tmp_path / "out"
    demo = run("demo", "--images", "robot", "--seconds", 0, "--output", output)
    # The demo's own recorder may meet the node seconds after this consumer does.
    for name in ("depth/image", "points", "depth/preview"):
        consumer.answers(name, 40, 120)
    assert demo.stop(signal.SIGTERM) == 0
    summary = json.loads((output / "summary.json").read_text())
    assert min(summary[name] for name in ("previews", "depth_images", "clouds")) > 0
    assert summary["abs_rel"] < 0.2
    assert summary["cloud_points"] > 10_000
    assert (output / "cloud.ply").read_bytes().startswith(b"ply\n")
    assert read_image(output / "preview.png").shape[0] == 240
    assert "depth_anything demo" in demo.said and "AbsRel 0." in demo.said
    assert "Traceback" not in demo.said


def test_a_demo_of_nothing_says_why_it_ends(run: Callable[..., Command], tmp_path: Path) -> None:
    demo = run("demo", "--images", tmp_path / "gone", "--output", tmp_path / "out")
    assert demo.wait() == 1
    assert "gone'; give an image, folder" in demo.said
    assert demo.said.rstrip().endswith("error: source stopped early; its last output is above")


def test_a_depth_node_is_viewed_until_ctrl_c(
    run: Callable[..., Command],
    start: Callable[..., NodeProcess],
    consumer: Consumer,
    tmp_path: Path,
) -> None:
    library = tmp_path / "library" / "rerun"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text(RERUN)
    (library / "blueprint.py").write_text(RERUN)
    view = run(
        *("view", "--viewer", "none", "--record", tmp_path / "drive.rrd"), path=str(library.parent)
    )
    view.wait_for("no depth node answers in", lambda: None)
    start("depth_node", model=write_red_network(tmp_path, "metric_depth"), scaler="network")
    picture = np.full((120, 160, 3), 90, np.uint8)
    view.wait_for("logged depth/camera", lambda: consumer.send(picture))
    assert "showing /depth_anything; Ctrl-C ends" in view.said
    assert view.stop(signal.SIGINT) == 0
    assert view.said.rstrip().endswith("closed")
    assert "Traceback" not in view.said
