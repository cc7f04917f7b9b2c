"""The depth node between a camera and a consumer, each a process of its own on real DDS."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from depth_anything_ros.errors import DepthAnythingError

WARM_UP_S = 5.0
"""Seconds after the first answer that do not count: buffers fill, memory settles."""

OUTPUTS = ("depth/image", "depth/camera_info", "points")
"""What the consumer subscribes to."""

MOST_DRIFT_PERCENT = 2.0
"""Growth of memory over a soak that is still flat."""

_FIRST_ANSWER_TIMEOUT = 120.0
_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 20.0
_LAST_COUNT = 1.5  # the node publishes its counts once a second
_SAMPLES_AT_ENDS = 0.1  # share of the samples of memory that make its start and its end
_WORDS_KEPT = 2000
_DOMAINS = 100  # that have their ports below those that Linux hands out
_reserved: list[socket.socket] = []


@dataclass(frozen=True)
class NodeLoad:
    """Load of the node under test.

    Attributes:
        height: Rows of the images.
        width: Columns of the images.
        rate: Images per second.
        points: LiDAR points with each image; 0 for no LiDAR.
        network_ms: Milliseconds of a network that does nothing; None takes a real one.
        outputs: What the consumer subscribes to.
        parameters: Parameters of the depth node, as `name:=value`.
    """

    height: int = 480
    width: int = 640
    rate: float = 30.0
    points: int = 0
    network_ms: float | None = None
    outputs: Sequence[str] = OUTPUTS
    parameters: Sequence[str] = ()


@dataclass(frozen=True)
class Usage:
    """Resources of a process at one moment.

    Attributes:
        at: Seconds of a steady clock.
        cpu_seconds: Of all its threads, since it started.
        memory_mb: Resident, shared memory included, in MB (10^6 bytes).
    """

    at: float
    cpu_seconds: float
    memory_mb: float

    @classmethod
    def of(cls, process: int) -> Usage:
        """What a process has used up to now.

        Args:
            process: Its number.

        Raises:
            DepthAnythingError: There is no such process.
        """
        try:
            observed = psutil.Process(process)
            times = observed.cpu_times()
            memory = observed.memory_info().rss
        except psutil.Error as error:
            raise DepthAnythingError(f"process {process} cannot be observed: {error}") from error
        return cls(time.monotonic(), times.user + times.system, memory / 1e6)


def measure_node(
    load: NodeLoad, seconds: float, progress: Callable[[float], None] = lambda share: None
) -> dict[str, Any]:
    """Run camera, node and consumer, and sum up what happened.

    Args:
        load: Load of the node under test.
        seconds: How long is measured, after the warm-up.
        progress: Called now and then with the elapsed share of the time.

    Returns:
        Figures by name, ready for JSON: see `summed_up`, and `ready_s`, the seconds from the start
        of the node's process until it listened to the camera.

    Raises:
        DepthAnythingError: One of the processes ends early or no answer comes; the text has its
            last words.
    """
    camera_arguments = [
        *("--width", str(load.width), "--height", str(load.height)),
        *("--rate", str(load.rate), "--points", str(load.points)),
    ]
    constant = [] if load.network_ms is None else ["--network-ms", str(load.network_ms)]
    parameters = [part for each in load.parameters for part in ("-p", each)]
    node_arguments = [*constant, "--ros-args", *parameters]
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(running("listener", load.outputs))
        camera = stack.enter_context(running("camera", camera_arguments))
        for each in (listener, camera):
            each.wait_for_line(_START_TIMEOUT)
        started = time.time()
        node = stack.enter_context(running("depth_node", node_arguments))
        for _ in load.outputs:
            listener.wait_for_line(_FIRST_ANSWER_TIMEOUT, node)
        time.sleep(WARM_UP_S)
        first = time.time_ns()
        usage = _watch(node, seconds, progress)
        last = time.time_ns()
        sent = camera.stop()
        time.sleep(_LAST_COUNT)
        network_ms = node.stop()["network_ms"]
        heard = listener.stop()
    return {
        "ready_s": round(sent["listened"] - started, 2),
        **summed_up(sent["sent"], heard, network_ms, usage, (first, last)),
    }


def summed_up(
    sent: Sequence[int],
    heard: dict[str, Any],
    network_ms: Sequence[float],
    usage: Sequence[Usage],
    window: tuple[int, int],
) -> dict[str, Any]:
    """What happened, in figures.

    Args:
        sent: Stamps of all images in nanoseconds.
        heard: What the consumer received (by output, stamp and arrival in nanoseconds) and what
            the node had counted in the end.
        network_ms: Milliseconds of every call of the network.
        usage: Of the node's process, in order.
        window: First and last stamp that counts, in nanoseconds.

    Returns:
        Figures by name. `images` counts over the whole run; `latency_ms` (stamp to received) by
        output and everything else over the window.
    """
    counted = heard["counted"]
    latencies = {
        output: [(arrival - stamp) * 1e-6 for stamp, arrival in times if _within(stamp, window)]
        for output, times in heard["received"].items()
    }
    oldest = max((max(each) for each in latencies.values() if each), default=float("nan"))
    network = statistics.median(network_ms)
    answers = max(map(len, latencies.values()), default=0)
    seconds = usage[-1].at - usage[0].at
    cpu_seconds = usage[-1].cpu_seconds - usage[0].cpu_seconds
    ends = max(1, round(len(usage) * _SAMPLES_AT_ENDS))
    memory = [sample.memory_mb for sample in usage]
    start, end = statistics.median(memory[:ends]), statistics.median(memory[-ends:])
    return {
        "seconds": round(seconds, 1),
        "images": {
            "sent": len(sent),
            "in": int(counted.get("frames_in", 0)),
            "answered": int(counted.get("frames_out", 0)),
            "dropped": int(counted.get("frames_dropped", 0)),
            "why_dropped": {
                name[len("dropped (") : -1]: int(value)
                for name, value in counted.items()
                if name.startswith("dropped (")
            },
            "received": {output: len(times) for output, times in heard["received"].items()},
        },
        "latency_ms": {output: _percentiles(each) for output, each in latencies.items()},
        "network_ms": round(network, 2),
        "oldest_in_network_times": round(oldest / network, 2) if network else None,
        "cpu_percent": round(100 * cpu_seconds / seconds, 1),
        "cpu_ms_per_answer": round(1e3 * cpu_seconds / answers, 2) if answers else None,
        "memory_mb": {
            "start": round(start, 1),
            "end": round(end, 1),
            "most": round(max(memory), 1),
        },
        "memory_drift_percent": round(100 * (end / start - 1), 2),
    }


def _within(stamp: int, window: tuple[int, int]) -> bool:
    return window[0] <= stamp <= window[1]


def _percentiles(latencies: Sequence[float]) -> dict[str, float | int]:
    if not latencies:
        return {"count": 0}
    names = {"p50": 50, "p95": 95, "p99": 99, "most": 100}
    values = {name: round(float(np.percentile(latencies, at)), 2) for name, at in names.items()}
    return {"count": len(latencies), **values}


def _watch(node: _Process, seconds: float, progress: Callable[[float], None]) -> list[Usage]:
    """What the node uses, once a second until the time is over."""
    samples = [Usage.of(node.number)]
    until = samples[0].at + seconds
    while (rest := until - time.monotonic()) > 0:
        time.sleep(min(rest, 1.0))
        samples.append(Usage.of(node.number))
        progress(min(1 - (until - time.monotonic()) / seconds, 1.0))
    return samples


@functools.cache
def domain() -> int:
    """A ROS domain apart from the robot's own nodes and of other benchmarks on this machine."""
    return reserve_domain()


def reserve_domain() -> int:
    """A ROS domain that no other process has reserved; this one keeps it until it ends."""
    for number in range(_DOMAINS):
        found = 1 + (os.getpid() + number) % _DOMAINS
        holder = socket.socket()
        try:
            # DDS itself has the UDP ports from this number on.
            holder.bind(("127.0.0.1", 7400 + 250 * found))
        except OSError:
            holder.close()
        else:
            _reserved.append(holder)
            return found
    raise DepthAnythingError(f"all of {_DOMAINS} ROS domains are in use")


@contextlib.contextmanager
def listening(outputs: Sequence[str] = OUTPUTS) -> Iterator[None]:
    """A consumer of a depth node in a process of its own, on `domain()`.

    Args:
        outputs: What it subscribes to.

    Raises:
        DepthAnythingError: It cannot start; the message has its last output.
    """
    with running("listener", outputs) as listener:
        listener.wait_for_line(_START_TIMEOUT)
        yield


class _Process:
    """A module of this folder, run as a process and read line by line."""

    def __init__(self, module: str, arguments: Sequence[str], errors: Path) -> None:
        self.module = module
        self.errors = errors
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain()),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        }
        with errors.open("wb") as sink:
            # A session of its own: Ctrl-C reaches this process only, which stops them in order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"depth_anything_ros.benchmark.node.{module}", *arguments],
                stdin=subprocess.PIPE,  # closed with this process: see `parent`
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                env=environment,
                start_new_session=True,
            )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._last = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def number(self) -> int:
        return self._process.pid

    def wait_for_line(self, timeout: float, other: _Process | None = None) -> None:
        """Wait until it prints its next line; `other` must not end meanwhile."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            for each in (self, other):
                if each is not None:
                    each.check()
            with contextlib.suppress(queue.Empty):
                self._lines.get(timeout=0.1)
                return
        silent = other or self
        raise DepthAnythingError(
            f"{silent.module} did nothing within {timeout:g} s{silent.last_words()}"
        )

    def check(self) -> None:
        """Raise when it has ended."""
        if self._process.poll() is not None:
            raise DepthAnythingError(f"{self.module} stopped early{self.last_words()}")

    def last_words(self) -> str:
        words = self.errors.read_text(errors="replace").strip()[-_WORDS_KEPT:]
        return f":\n{words}" if words else ""

    def stop(self) -> dict[str, Any]:
        """Interrupt it and read its last output."""
        self.check()
        self.end()
        try:
            report: dict[str, Any] = json.loads(self._last)
        except ValueError as error:
            raise DepthAnythingError(f"{self.module} left no report{self.last_words()}") from error
        return report

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._last = line
            self._lines.put(line)


@contextlib.contextmanager
def running(module: str, arguments: Sequence[str]) -> Iterator[_Process]:
    """A process that has ended when the block has."""
    with tempfile.TemporaryDirectory(prefix="depth_anything_bench_") as scratch:
        process = _Process(module, arguments, Path(scratch) / "errors")
        try:
            yield process
        finally:
            process.end()
