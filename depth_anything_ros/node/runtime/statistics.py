"""What is counted of a camera's images, and the memory of this process."""

from __future__ import annotations

import enum
import sys
import threading
import time
from collections import Counter, deque

import numpy as np
import psutil

_LATENCIES_KEPT = 300


class DropReason(enum.Enum):
    """Why an image gets no answer."""

    DISABLED = "disabled"
    UNWANTED = "nobody subscribes"
    NEWER = "newer image came"
    UNUSABLE = "unusable image"
    FAILED = "error"
    NO_METRES = "no metres"
    STOPPED = "node stopped"

    @property
    def key(self) -> str:
        """Its name among the figures on /diagnostics."""
        return f"dropped ({self.value})"

    @property
    def is_failure(self) -> bool:
        """Whether the image should have been answered."""
        return self in (DropReason.UNUSABLE, DropReason.FAILED, DropReason.NO_METRES)


class CameraStatistics:
    """Counts the frames of one camera. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = 0
        self._published = 0
        self._dropped: Counter[DropReason] = Counter()
        self._latencies: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._arrivals: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._departures: deque[float] = deque(maxlen=_LATENCIES_KEPT)

    def receive(self) -> None:
        """Count an image that came in."""
        with self._lock:
            self._received += 1
            self._arrivals.append(time.monotonic())

    def drop(self, reason: DropReason) -> None:
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
            for reason in DropReason:
                if reason in self._dropped:
                    values[reason.key] = str(self._dropped[reason])
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


def memory_values(device: str) -> dict[str, str]:
    """Memory this process uses, in MB: of the machine, and of the CUDA device it runs on.

    Args:
        device: Where the network runs ("cpu", "cuda:0", "mps").

    Returns:
        Figures by name.
    """
    values = {"memory_mb": f"{psutil.Process().memory_info().rss / 1e6:.0f}"}
    torch = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda"):
        values["device_memory_mb"] = f"{torch.cuda.memory_reserved(device) / 1e6:.0f}"
    return values
