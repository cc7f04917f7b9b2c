"""Comparable timings: interleaved, warmed up, medians, with a description of the machine."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from depth_anything_ros.errors import SettingError
from depth_anything_ros.inference.build_cache import versions
from depth_anything_ros.inference.cpu import cpu_flags, cpu_info

WARM_UP = 2
"""Rounds that are not counted, in which caches fill and libraries choose kernels."""

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


class Cost(NamedTuple):
    """Cost of one run.

    Attributes:
        seconds: Wall-clock time.
        cpu_seconds: CPU time of all threads of the process.
    """

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Timing:
    """Costs of one contender.

    Attributes:
        costs: Of the counted rounds, in order.
    """

    costs: tuple[Cost, ...]

    @property
    def median_ms(self) -> float:
        """Median duration in milliseconds."""
        return 1e3 * statistics.median(cost.seconds for cost in self.costs)

    @property
    def best_ms(self) -> float:
        """Shortest duration in milliseconds: least disturbed by other processes."""
        return 1e3 * min(cost.seconds for cost in self.costs)

    @property
    def cpu_ms(self) -> float:
        """Median CPU time in milliseconds."""
        return 1e3 * statistics.median(cost.cpu_seconds for cost in self.costs)

    def as_dict(self) -> dict[str, float | int]:
        """Plain values, for JSON."""
        return {
            "median_ms": round(self.median_ms, 3),
            "best_ms": round(self.best_ms, 3),
            "cpu_ms": round(self.cpu_ms, 3),
            "rounds": len(self.costs),
        }


def total(timings: Sequence[Timing]) -> Timing:
    """Sum of timings of contenders that are parts of one task.

    Args:
        timings: Of the same rounds.

    Returns:
        The sum of each round.
    """
    return Timing(
        tuple(
            Cost(sum(cost.seconds for cost in parts), sum(cost.cpu_seconds for cost in parts))
            for parts in zip(*(timing.costs for timing in timings), strict=True)
        )
    )


Contender = Callable[[], Cost]
"""Runs once and returns its cost."""


def stopwatch(job: Callable[[], object]) -> Contender:
    """Make a contender of a function.

    Args:
        job: What to measure.

    Returns:
        A function that runs it once and returns its cost.
    """

    def timed() -> Cost:
        start, cpu = time.perf_counter(), time.process_time()
        job()
        return Cost(time.perf_counter() - start, time.process_time() - cpu)

    return timed


def interleaved(
    contenders: Mapping[str, Contender], rounds: int, pause: float = 0.0
) -> Iterator[dict[str, Timing]]:
    """Run contenders in turn, so that disturbances of the machine affect all of them.

    Args:
        contenders: By name.
        rounds: Counted rounds; `WARM_UP` more come before.
        pause: Seconds of rest before each turn, in which idle threads fall asleep.

    Yields:
        After every round, warm-up included, the timings so far; the last one is the result.

    Raises:
        SettingError: `rounds` is not positive.
    """
    if rounds < 1:
        raise SettingError(f"rounds is {rounds}; it must be at least 1")
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for index in range(WARM_UP + rounds):
        for name, run in contenders.items():
            time.sleep(pause)
            cost = run()
            if index >= WARM_UP:
                costs[name].append(cost)
        yield {name: Timing(tuple(each)) for name, each in costs.items() if each}


def machine() -> dict[str, object]:
    """Description of the machine, for the reader of its figures.

    Returns:
        Processor, its vector instructions, cores, memory, load, and versions.
    """
    report: dict[str, object] = {
        "processor": cpu_info().get("model name") or platform.processor() or platform.machine(),
        "instructions": [name for name in _INSTRUCTIONS if name in cpu_flags()],
        "cores": usable_cores(),
        "memory_gb": _memory_gb(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(_LIBRARIES),
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    torch = sys.modules.get("torch")  # importing it takes two seconds
    if torch is not None and torch.cuda.is_available():
        report["gpu"] = torch.cuda.get_device_name()
    return report


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_mb() -> float:
    """Peak memory of this process in MB (10^6 bytes); NaN where it is not available."""
    # Not getrusage: there a child starts with what its parent held.
    status = Path("/proc/self/status")
    if not status.is_file():
        return float("nan")
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(fields["VmHWM"].split()[0]) * 1024 / 1e6


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None
