"""What the node counts, and how it says so on /diagnostics."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from depth_anything_ros.frames import DepthFrame, Quality, ScaleState

_LATENCIES_KEPT = 300
_LEVELS = {
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
        level=_LEVELS[state.quality],
        name=name,
        message=f"{state.quality.value}: {state.reason}",
        hardware_id=answer.frame.frame_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def camera_status(
    name: str, model: dict[str, str], statistics: CameraStatistics, state: ScaleState | None
) -> DiagnosticStatus:
    """The state of one camera's depth as a diagnostic status.

    Args:
        name: Name of the status.
        model: What is known of the network, by name.
        statistics: Its counts.
        state: Scale state of its last answer, or None before the first.

    Returns:
        OK while metres are good, WARN when they are held or missing.
    """
    level, text = DiagnosticStatus.OK, "waiting for the first image"
    if not model:
        level, text = DiagnosticStatus.WARN, "no model is loaded: the node is not configured"
    if state is not None:
        level, text = _LEVELS[state.quality], state.reason
    values = {**model, **statistics.values(), **(scale_values(state) if state else {})}
    return DiagnosticStatus(
        level=level,
        name=name,
        message=text,
        hardware_id=model.get("device", ""),
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
