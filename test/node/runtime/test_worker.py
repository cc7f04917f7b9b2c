"""The worker goes on whatever a step raises, and ends when it is told to."""

from __future__ import annotations

import threading
import time

from depth_anything_ros.node.runtime.worker import Worker


def test_a_step_that_raises_is_told_and_the_next_one_runs() -> None:
    told: list[Exception] = []
    ran = threading.Event()
    steps = iter((ValueError("first"), None))

    def step() -> float | None:
        error = next(steps)
        if error is not None:
            raise error
        ran.set()
        return None

    worker = Worker(step, told.append)
    worker.wake()
    while not told:
        time.sleep(0.01)
    worker.wake()
    assert ran.wait(60)
    assert [str(error) for error in told] == ["first"]
    assert worker.stop(60)


def test_it_comes_back_after_the_seconds_a_step_asks_for() -> None:
    times: list[float] = []
    third = threading.Event()

    def step() -> float | None:
        times.append(time.monotonic())
        if len(times) < 3:
            return 0.05
        third.set()
        return None

    worker = Worker(step, lambda error: None)
    worker.wake()
    assert third.wait(60)
    assert worker.stop(60)
    assert len(times) == 3
    assert times[2] - times[0] >= 0.1


def test_a_step_that_is_stuck_does_not_hold_up_the_end() -> None:
    go_on = threading.Event()
    stuck = threading.Event()

    def step() -> float | None:
        stuck.set()
        assert go_on.wait(250)
        return None

    worker = Worker(step, lambda error: None)
    worker.wake()
    assert stuck.wait(60)
    assert not worker.stop(0.1)
    go_on.set()
    assert worker.stop(60)
