"""The viewer of rerun as a process of its own: a window, or a page on loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from types import TracebackType

from depth_anything_ros.errors import DepthAnythingError, SettingError, require
from depth_anything_ros.web.rerun_recorder import EXTRA

_LOOPBACK = "127.0.0.1"
_PATIENCE_S = 60.0


class RerunViewer:
    """Starts the viewer; use it in a `with` statement, which ends it.

    It listens on loopback only (by itself it would on all addresses), and the usage statistics
    that it sends unless told otherwise are off, without a change to the user's own settings.

    Args:
        web: A page for a browser in place of a window.
        port: Port of the data; 0 takes a free one.
        web_port: Port of the page; 0 takes a free one.

    Attributes:
        address: Where the data goes, as rerun names it.
        url: The page, empty for a window.

    Raises:
        MissingExtraError: rerun-sdk is not installed.
        SettingError: A port is in use.
        DepthAnythingError: The viewer does not start.
    """

    def __init__(self, web: bool, port: int = 0, web_port: int = 0) -> None:
        require("rerun_cli", EXTRA)
        port, web_port = _free_port(port), _free_port(web_port)
        self.address = f"rerun+http://{_LOOPBACK}:{port}/proxy"
        self.url = f"http://{_LOOPBACK}:{web_port}/?url={self.address.replace('+', '%2B')}"
        command = [sys.executable, "-m", "rerun_cli", "--bind", _LOOPBACK, "--port", str(port)]
        if web:
            command += ["--serve-web", "--web-viewer-port", str(web_port)]
        else:
            self.url = ""
            command.append("--hide-welcome-screen")
        self._settings = tempfile.TemporaryDirectory(prefix="depth_anything_view_")
        # A session of its own: Ctrl-C ends this process first, which then ends the viewer.
        self._process = subprocess.Popen(
            command,
            env=_without_statistics(self._settings.name),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            for each in (port, web_port) if web else (port,):
                self._wait(each)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RerunViewer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the viewer."""
        # The process started here is a wrapper: the viewer itself is another one of its session.
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
                break
        self._settings.cleanup()

    def _wait(self, port: int) -> None:
        """Wait until the viewer listens."""
        ends = time.monotonic() + _PATIENCE_S
        while time.monotonic() < ends:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection((_LOOPBACK, port), 1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise DepthAnythingError(
            f"the viewer of rerun does not start (it has ended with {self._process.poll()}); "
            "without a display use --viewer web, or --viewer none with --record"
        )


def _without_statistics(folder: str) -> dict[str, str]:
    """An environment for rerun in which its usage statistics are off.

    Args:
        folder: An empty folder for its settings.

    Raises:
        DepthAnythingError: Rerun does not take the setting.
    """
    environment = {"RUST_LOG": "error", **os.environ, "XDG_CONFIG_HOME": folder}
    command = [sys.executable, "-m", "rerun_cli", "analytics", "disable"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise DepthAnythingError(f"rerun cannot be set up: {done.stderr.strip()}")
    return environment


def _free_port(port: int) -> int:
    """A port that nobody listens on: the one wanted, or any for 0."""
    try:
        with socket.create_server((_LOOPBACK, port)) as listener:
            found: int = listener.getsockname()[1]
            return found
    except OSError as error:
        raise SettingError(
            f"port {port} cannot be listened on: {error.strerror}; give another --port"
        ) from error
