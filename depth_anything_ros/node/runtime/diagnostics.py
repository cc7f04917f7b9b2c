"""What the node counts, and how it says so on /diagnostics."""

from __future__ import annotations

import importlib
import math
import resource
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from depth_anything_ros.frames import DepthFrame, Quality, ScaleState

_LATENCIES_KEPT = 300
SCALE_LEVELS = {
    Quality.GOOD: DiagnosticStatus.OK,
    Quality.HELD: DiagnosticStatus.WARN,
    Quality.INVALID: DiagnosticStatus.WARN,
}


class CameraStatistics:
    """Counts the frames of one camera. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = 0
        self._published = 0
        self._dropped: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._arrivals: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._departures: deque[float] = deque(maxlen=_LATENCIES_KEPT)

    def receive(self) -> None:
        """Count an image that came in."""
        with self._lock:
            self._received += 1
            self._arrivals.append(time.monotonic())

    def drop(self, reason: str) -> None:
        """Count an image that gets no answer, and why."""
        with self._lock:
            self._dropped[reason] += 1

    def publish(self, latency: float) -> None:
        """Count an answer that went out `latency` seconds after its image's stamp."""
        with self._lock:
            self._published += 1
            self._latencies.append(latency)
            self._departures.append(time.monotonic())

    @property
    def silence(self) -> float | None:
        """Seconds since the last image came in, or None before the first."""
        with self._lock:
            return time.monotonic() - self._arrivals[-1] if self._arrivals else None

    def values(self) -> dict[str, str]:
        """All figures by name, as text."""
        with self._lock:
            latencies = np.array(self._latencies)
            values = {
                "frames_in": str(self._received),
                "frames_out": str(self._published),
                "frames_dropped": str(sum(self._dropped.values())),
                "rate_in_hz": f"{_rate(self._arrivals):.2f}",
                "rate_out_hz": f"{_rate(self._departures):.2f}",
            }
            for reason, count in sorted(self._dropped.items()):
                values[f"dropped ({reason})"] = str(count)
        if len(latencies):
            for percent in (50, 95):
                values[f"latency_p{percent}_ms"] = f"{1e3 * np.percentile(latencies, percent):.1f}"
        return values


def _rate(times: deque[float]) -> float:
    """Events per second over the last ten seconds."""
    recent = [moment for moment in times if moment > time.monotonic() - 10.0]
    if len(recent) < 2:
        return 0.0
    return (len(recent) - 1) / max(recent[-1] - recent[0], 1e-9)


def scale_values(state: ScaleState) -> dict[str, str]:
    """A scale state by name, as text; unknown numbers are left out."""
    numbers = {
        "scale": state.scale,
        "shift": state.shift,
        "inlier_share": state.inlier_share,
        "residual": state.residual,
        "age_s": state.age,
    }
    return {
        "scaler": state.method,
        "scale_quality": state.quality.value,
        "scale_reason": state.reason,
        "inliers": str(state.inliers),
        **{name: f"{value:.6g}" for name, value in numbers.items() if math.isfinite(value)},
    }


def scale_status(name: str, answer: DepthFrame) -> DiagnosticStatus:
    """The scale state of one answer as `~/scale_state` has it.

    Args:
        name: Name of the status.
        answer: Depth of one image.

    Returns:
        OK while the metres are good, WARN when they are held or missing.
    """
    state = answer.scale_state
    stamp = answer.frame.stamp
    values = {**scale_values(state), "stamp": f"{stamp // 10**9}.{stamp % 10**9:09d}"}
    return DiagnosticStatus(
        level=SCALE_LEVELS[state.quality],
        name=name,
        message=f"{state.quality.value}: {state.reason}",
        hardware_id=answer.frame.frame_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def status_name(node: str, camera: str) -> str:
    """Name of a camera's status on /diagnostics: `/depth_anything: depth`, `...: front depth`."""
    return f"{node}: {camera} depth" if camera else f"{node}: depth"


@dataclass(frozen=True)
class CameraHealth:
    """What there is to say about one camera's depth.

    Attributes:
        name: Name of the status.
        level: OK, WARN or ERROR of DiagnosticStatus.
        message: The most important thing, with its remedy.
        hardware_id: Device the network runs on.
        values: Everything that was counted or is known, by name.
    """

    name: str
    level: bytes
    message: str
    hardware_id: str
    values: dict[str, str]

    @classmethod
    def unconfigured(cls, node: str, camera: str) -> CameraHealth:
        """What there is to say while no model is loaded.

        Args:
            node: Full name of the node.
            camera: Name of the camera, empty for the only one.
        """
        message = "no model is loaded: the node is not configured"
        return cls(status_name(node, camera), DiagnosticStatus.WARN, message, "", {})

    def to_status(self) -> DiagnosticStatus:
        """The same as a message."""
        return DiagnosticStatus(
            level=self.level,
            name=self.name,
            message=self.message,
            hardware_id=self.hardware_id,
            values=[KeyValue(key=key, value=value) for key, value in self.values.items()],
        )


class DiagnosticsPublisher:
    """Publishes on /diagnostics, through diagnostic_updater where that is installed."""

    def __init__(self, node: Node, cameras: dict[str, Callable[[], CameraHealth]]) -> None:
        """Start publishing once a second.

        Args:
            node: The node to publish with.
            cameras: By name of the camera, who tells its health.
        """
        self._node = node
        self._cameras = cameras
        # Simulated time may stand still; a robot must be heard all the same.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        try:
            updater = importlib.import_module("diagnostic_updater").Updater(node)
        except ImportError:
            self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
            node.create_timer(1.0, self._publish, clock=steady)
            return
        updater.setHardwareID("depth_anything_ros")
        for name, health in cameras.items():
            task = f"{name} depth" if name else "depth"
            updater.add(task, lambda status, health=health: _fill(status, health()))
        node.create_timer(1.0, updater.force_update, clock=steady)

    def _publish(self) -> None:
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        array.status = [health().to_status() for health in self._cameras.values()]
        self._publisher.publish(array)


def _fill(status: Any, health: CameraHealth) -> Any:
    """Tell a diagnostic_updater status what there is to say."""
    status.hardware_id = health.hardware_id
    status.summary(health.level, health.message)
    for key, value in health.values.items():
        status.add(key, value)
    return status


def memory_values(device: str) -> dict[str, str]:
    """Memory this process uses, in MB: of the machine, and of the CUDA device it runs on.

    Args:
        device: Where the network runs ("cpu", "cuda:0", "mps").

    Returns:
        Figures by name.
    """
    values = {}
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        values["memory_mb"] = f"{pages * resource.getpagesize() / 1e6:.0f}"
    except (OSError, ValueError, IndexError):
        pass  # not Linux
    torch = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda"):
        values["device_memory_mb"] = f"{torch.cuda.memory_reserved(device) / 1e6:.0f}"
    return values
