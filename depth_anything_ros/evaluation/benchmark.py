"""Durations that can be compared: interleaved, warm, medians, with the machine beside them."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.errors import SettingError

WARM_UP = 2
"""Rounds that are not counted: caches fill, libraries choose their kernels."""

_LIBRARIES = (
    "depth_anything_ros",
    "numpy",
    "opencv-python-headless",
    "scipy",
    "torch",
    "onnxruntime",
    "openvino",
    "transformers",
)
_INSTRUCTIONS = (
    *("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8"),
    *("asimd", "sve", "bf16", "i8mm"),
)


@dataclass(frozen=True)
class Timing:
    """How long one contender took.

    Attributes:
        durations: Seconds per counted round, in order.
    """

    durations: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """Median in milliseconds."""
        return 1e3 * statistics.median(self.durations)

    @property
    def best_ms(self) -> float:
        """Shortest in milliseconds: what is left when nobody else uses the machine."""
        return 1e3 * min(self.durations)

    def as_dict(self) -> dict[str, float | int]:
        """Plain values, as they stand in JSON."""
        return {
            "median_ms": round(self.median_ms, 3),
            "best_ms": round(self.best_ms, 3),
            "rounds": len(self.durations),
        }


def stopwatch(job: Callable[[], object]) -> Callable[[], float]:
    """Make a contender of a function.

    Args:
        job: What to measure.

    Returns:
        Runs it and returns its duration in seconds.
    """

    def timed() -> float:
        start = time.perf_counter()
        job()
        return time.perf_counter() - start

    return timed


def interleaved(
    contenders: Mapping[str, Callable[[], float]], rounds: int, pause: float = 0.0
) -> Iterator[dict[str, Timing]]:
    """Let contenders take turns, so that whatever slows the machine down slows all of them.

    Args:
        contenders: By name, each runs once and returns its own duration in seconds.
        rounds: Counted rounds; `WARM_UP` more come before.
        pause: Seconds of rest before each turn, for idle threads of the one before to sleep.

    Yields:
        After every round, warm-up included, what is known so far; the last one is the result.

    Raises:
        SettingError: `rounds` is not positive.
    """
    if rounds < 1:
        raise SettingError(f"rounds is {rounds}; it must be at least 1")
    durations: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(WARM_UP + rounds):
        for name, run in contenders.items():
            time.sleep(pause)
            seconds = run()
            if index >= WARM_UP:
                durations[name].append(seconds)
        yield {name: Timing(tuple(each)) for name, each in durations.items() if each}


def machine() -> dict[str, object]:
    """What a reader must know of the machine to judge its figures.

    Returns:
        Processor, its vector instructions, cores, memory, how busy it was, and versions.
    """
    processor, flags = _processor()
    report: dict[str, object] = {
        "processor": processor,
        "instructions": [name for name in _INSTRUCTIONS if name in flags],
        "cores": usable_cores(),
        "memory_gb": _memory_gb(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version for name in _LIBRARIES if (version := _version(name))},
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    torch = sys.modules.get("torch")  # not worth two seconds of import where nothing needs it
    if torch is not None and torch.cuda.is_available():
        report["gpu"] = torch.cuda.get_device_name()
    return report


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_mb() -> float:
    """Most memory this process ever held, in MB (10^6 bytes); NaN where nothing tells."""
    # Not getrusage: there a child starts with what its parent held.
    status = Path("/proc/self/status")
    if not status.is_file():
        return float("nan")
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(fields["VmHWM"].split()[0]) * 1024 / 1e6


def _processor() -> tuple[str, set[str]]:
    """Name and flags of the first processor."""
    info = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    if info.is_file():
        for line in info.read_text().splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, set((fields.get("flags") or fields.get("Features") or "").split())


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None
