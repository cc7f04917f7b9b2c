"""The node's log: once or throttled, and of limited length."""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict
from typing import Protocol

from rclpy.impl.rcutils_logger import RcutilsLogger

_REPEAT_AFTER = 10.0
_RECENT = 5.0
_LONGEST = 500
_KINDS_KEPT = 200

_VARIABLE = re.compile(r"'[^']*'|\d+(?:\.\d+)?(?:e[+-]?\d+)?")
"""What differs between two sentences of one kind: numbers, and what stands in quotes."""


class Logger(Protocol):
    """What a `ThrottledLog` needs of a logger."""

    def info(self, message: str) -> bool:
        """Log an information."""
        ...

    def warning(self, message: str) -> bool:
        """Log a warning."""
        ...

    def error(self, message: str) -> bool:
        """Log an error."""
        ...


def one_line(text: str) -> str:
    """A text that may come from a message, made fit for a log: one line, printable, not long."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * _LONGEST]).split())
    return flat if len(flat) <= _LONGEST else f"{flat[:_LONGEST]} ..."


class ThrottledLog:
    """Throttles messages by kind; a new kind is always logged at once.

    Two sentences that differ in numbers and quoted names alone are of one kind.
    """

    def __init__(self, logger: Logger, prefix: str = "") -> None:
        """Prepare.

        Args:
            logger: Where messages go.
            prefix: Put before every sentence (the camera's name).
        """
        self._logger = logger
        self._prefix = prefix
        self._said: OrderedDict[str, float] = OrderedDict()
        self._newest: tuple[str, float] | None = None
        self._noted: set[str] = set()

    @property
    def recent(self) -> str | None:
        """The last message, if it is at most five seconds old."""
        newest = self._newest
        if newest is None or time.monotonic() - newest[1] > _RECENT:
            return None
        return newest[0]

    def info(self, text: str) -> None:
        """Log an information."""
        self._logger.info(self._prefix + one_line(text))

    def note_once(self, text: str) -> None:
        """Log an information, once in the life of the node."""
        kind = _VARIABLE.sub("#", text)
        if kind not in self._noted:
            self._noted.add(kind)
            self._logger.info(self._prefix + one_line(text))

    def warn_once(self, text: str) -> bool:
        """Warn, once in the life of the node; whether it did."""
        return self._warn(text, float("inf"))

    def warn(self, text: str) -> bool:
        """Warn, at most every ten seconds; whether it did."""
        return self._warn(text, _REPEAT_AFTER)

    def error(self, text: str) -> None:
        """Log an error, at most every ten seconds."""
        if self._due(text, _REPEAT_AFTER):
            self._logger.error(self._prefix + one_line(text))

    def _warn(self, text: str, period: float) -> bool:
        due = self._due(text, period)
        if due:
            self._logger.warning(self._prefix + one_line(text))
        return due

    def _due(self, text: str, period: float) -> bool:
        now = time.monotonic()
        line = one_line(text)
        self._newest = (line, now)
        kind = _VARIABLE.sub("#", line)
        said = self._said.get(kind)
        if said is not None and now - said < period:
            return False
        self._said[kind] = now
        self._said.move_to_end(kind)
        while len(self._said) > _KINDS_KEPT:
            self._said.popitem(last=False)
        return True


class RosLogHandler(logging.Handler):
    """Passes log records on to a node's logger, level by level."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._ros_logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        text = one_line(self.format(record))
        # rclpy ties a severity to the calling line, so each level has a line of its own.
        if record.levelno >= logging.ERROR:
            self._ros_logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._ros_logger.warning(text)
        else:
            self._ros_logger.info(text)


def log_through(logger: RcutilsLogger) -> None:
    """Send everything this package logs to a node's log from now on.

    Args:
        logger: The node's logger.
    """
    package = logging.getLogger("depth_anything_ros")
    package.setLevel(logging.INFO)
    package.handlers = [RosLogHandler(logger)]
    package.propagate = False
