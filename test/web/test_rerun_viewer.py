"""The viewer's process, with a stand-in for rerun's program; the real one is tried by hand."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from depth_anything_ros.errors import DepthAnythingError, SettingError
from depth_anything_ros.web.rerun_viewer import RerunViewer

# Like the real one a wrapper, whose child listens.
PROGRAM = """
import json, os, pathlib, socket, subprocess, sys, time
notes = pathlib.Path(__file__).parent / "notes.json"
arguments = sys.argv[1:]
if arguments[:2] == ["analytics", "disable"]:
    settings = pathlib.Path(os.environ["XDG_CONFIG_HOME"]) / "off"
    settings.touch()
elif "FAIL" in os.environ:
    sys.exit(3)
elif arguments[0] == "child":
    ports = {int(arguments[i + 1]) for i, a in enumerate(arguments) if a.endswith("-port")}
    listeners = [socket.create_server(("127.0.0.1", port)) for port in ports]
    off = (pathlib.Path(os.environ["XDG_CONFIG_HOME"]) / "off").exists()
    written = notes.with_suffix(".part")
    written.write_text(json.dumps([os.getpid(), off, arguments[1:]]))
    written.rename(notes)
    time.sleep(600)
else:
    subprocess.call([sys.executable, __file__, "child", *arguments])
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rerun_cli that only this test knows; the folder of it."""
    folder = tmp_path / "rerun_cli"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "__main__.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path[1:]]))
    monkeypatch.delitem(sys.modules, "rerun_cli", raising=False)
    return folder


def test_it_listens_on_loopback_without_statistics_and_ends_as_a_whole(program: Path) -> None:
    with RerunViewer(web=True) as viewer:
        notes = program / "notes.json"
        while not notes.exists():
            time.sleep(0.02)
        child, statistics_off, arguments = json.loads(notes.read_text())
        assert statistics_off
        assert arguments[:2] == ["--bind", "127.0.0.1"] and "--serve-web" in arguments
        port = arguments[arguments.index("--port") + 1]
        assert viewer.address == f"rerun+http://127.0.0.1:{port}/proxy"
        assert viewer.url.endswith(f"/?url=rerun%2Bhttp://127.0.0.1:{port}/proxy")
        assert psutil.pid_exists(child)
    ends = time.monotonic() + 60
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ends, "the viewer was left behind"
        time.sleep(0.02)


def test_a_port_in_use_is_said_in_words(program: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=f"port {port} cannot be listened on.*--port"):
            RerunViewer(web=True, web_port=port)


def test_a_viewer_that_does_not_start_is_said_in_words(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(DepthAnythingError, match="without a display use --viewer web"):
        RerunViewer(web=False)
