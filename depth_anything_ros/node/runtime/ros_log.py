"""What the package says through Python's logging, said through the node's log."""

from __future__ import annotations

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger


class RosLogHandler(logging.Handler):
    """Passes log records on to a node's logger, level by level."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._ros_logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Say one record."""
        text = self.format(record)
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
