"""The server itself: where it listens, whom it lets in, how it ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra 'serve')")
pytest.importorskip("uvicorn", reason="uvicorn is not installed (extra 'serve')")

from starlette.applications import Starlette

from depth_anything_ros.errors import SettingError
from depth_anything_ros.web.serving import PageServer

TOKEN = "a-token-of-some-length"


def status(url: str, path: str, host: str | None = None) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    found = connection.getresponse().status
    connection.close()
    return found


def test_it_listens_on_loopback_and_ends_when_told() -> None:
    server = PageServer(Starlette())
    thread = threading.Thread(target=server.serve)
    thread.start()
    assert server.url.startswith("http://127.0.0.1:")
    assert status(server.url, "/") == 404
    assert status(server.url, "/", host="rebound.example") == 403
    server.finish()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("host", "token", "sentence"),
    [
        ("0.0.0.0", None, "--host 0.0.0.0 lets other machines in; give --token"),
        ("0.0.0.0", "short", "the token has 5 characters; give at least 12"),
        ("no.such.host.invalid", TOKEN, "no.such.host.invalid port 0 cannot be listened on"),
    ],
)
def test_addresses_that_are_refused(host: str, token: str | None, sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        PageServer(Starlette(), host, token=token)


def test_a_port_in_use_is_said_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=f"port {port} cannot be listened on.*--port"):
            PageServer(Starlette(), port=port)


def test_other_machines_need_the_token() -> None:
    server = PageServer(Starlette(), "0.0.0.0", token=TOKEN)
    assert server.url.endswith(f"/?token={TOKEN}")
    thread = threading.Thread(target=server.serve)
    thread.start()
    url = f"http://127.0.0.1:{urlsplit(server.url).port}/"
    assert [status(url, "/"), status(url, f"/?token={TOKEN}")] == [401, 303]
    server.finish()
    thread.join(60)


def test_the_command_removes_its_files_when_it_is_terminated(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "depth_anything_ros", "serve", "-m", "embedded", "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "200"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert words[0] == "open"
        assert status(words[1], "/") == 200
        assert len(list(tmp_path.glob("depth_anything_serve_*"))) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not list(tmp_path.iterdir())
