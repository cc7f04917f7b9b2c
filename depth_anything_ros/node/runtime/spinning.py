"""How the processes of this package run and stop."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from depth_anything_ros.node.runtime.boundary import GuardedNode
from depth_anything_ros.node.runtime.shared_memory import remove_own_segments
from depth_anything_ros.node.start import STOP_SIGNALS, end_on_signals

RCL_ERROR: type[Exception] = RuntimeError
"""What rclpy raises for a command line that it cannot parse: RCLError, which it keeps private."""


def asks_for_help(arguments: list[str] | None) -> bool:
    """Whether a command line asks what the program is.

    Args:
        arguments: Command line; None takes the process's own.
    """
    own = sys.argv if arguments is None else arguments
    before_ros = own[: own.index("--ros-args")] if "--ros-args" in own else own
    return bool({"-h", "--help"} & set(before_ros))


@contextlib.contextmanager
def ros(arguments: list[str] | None = None) -> Iterator[None]:
    """ROS in this process until the block ends; SIGINT and SIGTERM shut it down.

    rclpy's own handlers are not used: they raise KeyboardInterrupt wherever Python happens to be,
    and their thread may trigger a guard condition that the stopping executor has just freed, which
    ends the process by SIGSEGV. Signals that come later, until the process has ended, change
    nothing: a terminal and `ros2 launch` both send one on Ctrl-C.

    Args:
        arguments: Command line with ROS arguments; None takes the process's own.

    Raises:
        RuntimeError: rcl cannot parse the command line, or start.
    """
    end_on_signals()
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)  # Python writes its number to the pipe
    stopper = threading.Thread(target=_shut_down_when_told, args=(reading,), daemon=True)
    stopper.start()
    try:
        yield
    finally:
        os.write(writing, b"\0")
        stopper.join()
        for number in STOP_SIGNALS:  # Python gives others than these back before its own end
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        os.close(writing)
        os.close(reading)


def _shut_down_when_told(reading: int) -> None:
    os.read(reading, 1)
    with contextlib.suppress(Exception):  # the executor that is to be woken has ended itself
        rclpy.try_shutdown()


def spin_until_stopped(node: Node) -> None:
    """Serve a node until ROS is shut down, by a signal (see `ros`) or by the node.

    What a callback raises ends nothing where the node is guarded.

    Args:
        node: The node.
    """
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    try:
        while node.context.ok():
            _spin(executor, node)
    except ExternalShutdownException:
        pass
    finally:
        executor.remove_node(node)
        executor.shutdown(0)


def exit_at_once(status: int) -> NoReturn:
    """End the process though threads are deep in a network, which the interpreter cannot stop.

    Args:
        status: The process's exit status.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    remove_own_segments()
    os._exit(status)


def _spin(executor: SingleThreadedExecutor, node: Node) -> None:
    """Serve a node until something is raised; go on where it is guarded."""
    try:
        executor.spin()
    except ExternalShutdownException:
        raise
    except Exception as error:
        if not isinstance(node, GuardedNode):
            raise
        node.report("a callback failed", error)
