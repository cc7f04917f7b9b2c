"""Work that browsers ask for: one at a time, in order, with a limit of time and of the queue."""

from __future__ import annotations

import enum
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from depth_anything_ros.errors import DepthAnythingError

logger = logging.getLogger("depth_anything_ros")

_FINISHED_KEPT = 200


class JobState(enum.Enum):
    """How far a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class QueueFullError(DepthAnythingError):
    """As many jobs wait as may; the message says what to do."""


class JobStoppedError(DepthAnythingError):
    """A job was cancelled or took too long."""


Work = Callable[["Job"], Any]
"""What a job does; it calls `Job.report` now and then, and gives its result."""


@dataclass
class Job:
    """One piece of work; written by the worker's thread, read by all.

    Attributes:
        work: What is done.
        id: Its name, which nobody guesses.
        state: How far it is.
        stage: What is being done, for people.
        done: How many parts of it are done.
        total: How many parts it has; 0 where that is not known.
        result: What the work gave.
        error: Why it failed, as a sentence.
        ends: Monotonic time at which it is stopped.
    """

    work: Work
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: JobState = JobState.WAITING
    stage: str = ""
    done: int = 0
    total: int = 0
    result: Any = None
    error: str = ""
    ends: float = float("inf")
    _cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in (JobState.DONE, JobState.FAILED)

    @property
    def out_of_time(self) -> bool:
        """Whether it has taken as long as it may."""
        return time.monotonic() > self.ends

    def report(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Say how far the work is.

        Args:
            stage: What is done next.
            done: How many parts are done.
            total: How many parts there are, 0 where that is not known.

        Raises:
            JobStoppedError: It was cancelled, or its time is over.
        """
        self.stage, self.done, self.total = stage, done, total
        if self._cancelled.is_set():
            raise JobStoppedError("cancelled")
        if self.out_of_time:
            raise JobStoppedError(
                "stopped: it took longer than this server allows; give a smaller picture or a "
                "shorter video"
            )

    def cancel(self) -> None:
        """Stop it at its next report."""
        self._cancelled.set()


class JobQueue:
    """Runs jobs one after the other in a thread of its own.

    Args:
        waiting: How many jobs may wait behind the running one.
        seconds: How long one job may run.
    """

    def __init__(self, waiting: int = 8, seconds: float = 600.0) -> None:
        self._most_waiting = waiting
        self._seconds = seconds
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> Job:
        """Put work at the end of the queue.

        Args:
            work: What to do.

        Returns:
            Its job.

        Raises:
            QueueFullError: Too many jobs wait.
        """
        with self._changed:
            waiting = sum(job.state is JobState.WAITING for job in self._jobs.values())
            if waiting >= self._most_waiting:
                raise QueueFullError(f"{waiting} jobs are waiting already; try again in a minute")
            job = Job(work)
            self._jobs[job.id] = job
            finished = [each.id for each in self._jobs.values() if each.finished]
            for old in finished[: max(0, len(finished) - _FINISHED_KEPT)]:
                del self._jobs[old]
            self._changed.notify()
        return job

    def get(self, job_id: str) -> Job | None:
        """The job of an id, None where there is none."""
        with self._changed:
            return self._jobs.get(job_id)

    def ahead_of(self, job: Job) -> int:
        """How many jobs, waiting or running, come before a waiting one."""
        with self._changed:
            ahead = 0
            for each in self._jobs.values():
                if each is job:
                    break
                ahead += not each.finished
        return ahead if job.state is JobState.WAITING else 0

    def cancel(self, job: Job) -> None:
        """Forget a job; a running one stops at its next report."""
        job.cancel()
        with self._changed:
            self._jobs.pop(job.id, None)

    def close(self) -> None:
        """Stop the running job and the thread."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.cancel()
            self._changed.notify()
        self._thread.join()

    def _next(self) -> Job | None:
        """The next waiting job, once there is one; None when closed."""
        with self._changed:
            while not self._closed:
                for job in self._jobs.values():
                    if job.state is JobState.WAITING:
                        job.state = JobState.RUNNING
                        return job
                self._changed.wait()
        return None

    def _run(self) -> None:
        while (job := self._next()) is not None:
            job.ends = time.monotonic() + self._seconds
            try:
                job.result = job.work(job)
                job.state = JobState.DONE
            except DepthAnythingError as error:
                job.error, job.state = str(error), JobState.FAILED
            except Exception as error:  # the next job has nothing to do with this one
                logger.exception("a job of the page failed")
                job.error = f"it failed inside of the server: {type(error).__name__}: {error}"
                job.state = JobState.FAILED
