"""Work on many files, spread over workers: the record of an engine, and their registry.

The work is split by file. A worker sets itself up once (it loads the network) and then takes one
file after the other; a file whose worker was lost is given to another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.registry import Registry

ATTEMPTS = 3
"""Workers that one file may cost before it is given up."""

Work = Callable[[Any], Any]
"""Does one file and returns what is reported of it; all of it can be pickled."""

SetUp = Callable[[], Work]
"""Sets a worker up, in its own process; it can be pickled."""


@dataclass(frozen=True)
class Outcome:
    """What came of one file.

    Attributes:
        item: The file, as it was given.
        result: What the work returned; None where it failed.
        error: Why it failed, as a sentence; empty where it did not.
        attempts: Workers that were given it.
    """

    item: Any
    result: Any = None
    error: str = ""
    attempts: int = 1


@dataclass(frozen=True)
class Engine:
    """A way to spread work.

    Attributes:
        name: The word that selects it.
        rank: Its place in lists.
        meaning: What it is, in one line.
        run: Does the work: how workers are set up, the files, and the number of workers (0 leaves
            it to the engine). It yields an outcome per file, in the order they are done, and
            raises what keeps workers from being set up.
    """

    name: str
    rank: int
    meaning: str
    run: Callable[[SetUp, Sequence[Any], int], Iterator[Outcome]]


ENGINES: Registry[Engine] = Registry("engine", "depth_anything_ros.cli.engines")
"""Every engine; each is registered by a module of `cli/engines/`."""


def attempt(work: Work, item: Any) -> Outcome:
    """Do one file in this process.

    Args:
        work: The work.
        item: The file.

    Returns:
        The outcome; an error is part of it.
    """
    try:
        return Outcome(item, work(item))
    except DepthAnythingError as error:
        return Outcome(item, error=str(error))
    except Exception as error:  # one file must not end the others
        return Outcome(item, error=f"{type(error).__name__}: {error}")


def lost(item: Any, attempts: int) -> Outcome:
    """The outcome of a file that has cost too many workers."""
    return Outcome(
        item,
        error=f"{attempts} workers ended while they worked on it; is there memory enough?",
        attempts=attempts,
    )
