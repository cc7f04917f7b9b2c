"""Timings: turns, warm-up, medians, the description of the machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from unittest import mock

import numpy as np
import pytest

from depth_anything_ros.benchmark.timing import (
    WARM_UP,
    Cost,
    interleaved,
    machine,
    peak_memory_mb,
    stopwatch,
)
from depth_anything_ros.errors import SettingError


def test_contenders_take_turns_and_only_warm_rounds_count() -> None:
    order = []

    def contender(name: str, costs: list[float]) -> Callable[[], Cost]:
        def run() -> Cost:
            order.append(name)
            seconds = costs.pop(0)
            return Cost(seconds, 2 * seconds)

        return run

    cold = [9.0] * WARM_UP
    rounds = list(
        interleaved(
            {"a": contender("a", [*cold, 0.3, 0.1, 0.2]), "b": contender("b", [*cold, 5, 4, 7])}, 3
        )
    )
    assert order == ["a", "b"] * (WARM_UP + 3)
    assert len(rounds) == WARM_UP + 3
    assert rounds[WARM_UP - 1] == {}
    a, b = rounds[-1]["a"], rounds[-1]["b"]
    assert (a.median_ms, a.best_ms, a.cpu_ms) == pytest.approx((200, 100, 400))
    assert b.as_dict() == {"median_ms": 5000, "best_ms": 4000, "cpu_ms": 10000, "rounds": 3}
    with pytest.raises(SettingError, match="rounds is 0"):
        next(interleaved({}, 0))


def test_the_stopwatch_runs_the_job_once_and_tells_work_from_waiting() -> None:
    runs: list[int] = []
    clocks = {"perf_counter": 10.0, "process_time": 3.0}

    def work_and_wait() -> None:
        runs.append(1)
        clocks["perf_counter"] += 0.05
        clocks["process_time"] += 0.01

    # Real clocks would also count what other threads of the test process do.
    with (
        mock.patch.object(time, "perf_counter", lambda: clocks["perf_counter"]),
        mock.patch.object(time, "process_time", lambda: clocks["process_time"]),
    ):
        cost = stopwatch(work_and_wait)()
    assert runs == [1]
    assert cost == pytest.approx((0.05, 0.01))


def test_the_machine_is_described_in_plain_json() -> None:
    here = json.loads(json.dumps(machine()))
    assert here["cores"] >= 1
    assert here["processor"]
    assert here["versions"]["numpy"] == np.__version__
    assert here["python"].count(".") == 2
    block = np.ones(30_000_000)  # 240 MB
    assert peak_memory_mb() > block.nbytes / 1e6
