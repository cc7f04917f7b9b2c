"""The queue: one job at a time, in order, with limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.web.jobs import Job, JobQueue, JobState, QueueFullError


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    queue = JobQueue(waiting=2, seconds=600.0)
    yield queue
    queue.close()


def finish(job: Job) -> Job:
    ends = time.monotonic() + 60
    while not job.finished:
        assert time.monotonic() < ends
        time.sleep(0.005)
    return job


def test_one_at_a_time_in_order_and_no_more_wait_than_may(queue: JobQueue) -> None:
    gate, began = threading.Event(), threading.Event()
    running: list[int] = []
    most = []

    def work(job: Job) -> int:
        running.append(1)
        most.append(len(running))
        began.set()
        gate.wait(60)
        job.report("working", 1, 2)
        running.pop()
        return len(most)

    first = queue.submit(work)
    assert began.wait(60)
    second, third = queue.submit(work), queue.submit(work)
    assert [queue.ahead_of(job) for job in (first, second, third)] == [0, 1, 2]
    with pytest.raises(QueueFullError, match="2 jobs are waiting already"):
        queue.submit(work)
    gate.set()
    assert [finish(job).result for job in (first, second, third)] == [1, 2, 3]
    assert most == [1, 1, 1]
    assert (first.stage, first.done, first.total) == ("working", 1, 2)


def test_what_fails_is_a_sentence_and_the_next_job_goes_on(queue: JobQueue) -> None:
    def refuse(job: Job) -> Any:
        raise InputError("the picture is empty")

    def crash(job: Job) -> Any:
        raise ZeroDivisionError("division by zero")

    refused = finish(queue.submit(refuse))
    assert (refused.state, refused.error) == (JobState.FAILED, "the picture is empty")
    crashed = finish(queue.submit(crash))
    assert crashed.error == "it failed inside of the server: ZeroDivisionError: division by zero"
    assert finish(queue.submit(lambda job: 5)).result == 5


def endless(job: Job) -> None:
    while True:
        job.report("still at it")
        time.sleep(0.005)


def test_a_job_is_stopped_when_its_time_is_over() -> None:
    queue = JobQueue(seconds=0.05)
    job = finish(queue.submit(endless))
    assert job.error.startswith("stopped: it took longer than this server allows")
    queue.close()


def test_a_cancelled_job_ends_and_is_forgotten(queue: JobQueue) -> None:
    job, waiting = queue.submit(endless), queue.submit(endless)
    while not job.stage:
        time.sleep(0.005)
    queue.cancel(waiting)
    queue.cancel(job)
    assert queue.get(job.id) is None
    assert finish(queue.submit(lambda job: "next")).result == "next"
    assert (job.error, waiting.state) == ("cancelled", JobState.WAITING)
