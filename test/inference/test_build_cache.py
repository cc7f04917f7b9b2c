"""What is built is kept, shared by processes that start together, and rebuilt when damaged."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from depth_anything_ros.errors import SettingError
from depth_anything_ros.inference.build_cache import cache_folder, find, get_or_build, versions


class Builder:
    """Counts how often it builds."""

    def __init__(self, wait: Callable[[], object] = lambda: None) -> None:
        self.times = 0
        self._wait = wait

    def __call__(self, folder: Path) -> None:
        self.times += 1
        self._wait()
        (folder / "engine").write_bytes(bytes(range(256)))
        (folder / "notes").write_text("as built")


def test_an_entry_is_built_once_for_what_it_is_made_of(tmp_path: Path) -> None:
    build = Builder()
    first = get_or_build("net", {"weights": "a", "openvino": "1"}, build, tmp_path)
    assert first.name.startswith("net-")
    assert get_or_build("net", {"openvino": "1", "weights": "a"}, build, tmp_path) == first
    assert build.times == 1
    assert get_or_build("net", {"weights": "a", "openvino": "2"}, build, tmp_path) != first
    assert get_or_build("net", {"weights": "b", "openvino": "1"}, build, tmp_path) != first
    assert build.times == 3
    assert len(list(tmp_path.iterdir())) == 3


SEALS = {
    "unsealed": "{",
    "empty seal": "{}",
    "empty file": "",
    "other JSON": '["engine"]',
    "a number": "7",
    "numbers for hashes": '{"engine": 7, "notes": 8}',
    "deep JSON": "[" * 5000,
    "one file not sealed": None,
}


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", *SEALS])
def test_a_damaged_entry_is_built_anew(tmp_path: Path, damage: str) -> None:
    build = Builder()
    entry = get_or_build("net", {}, build, tmp_path)
    engine = entry / "engine"
    if damage == "cut":
        engine.write_bytes(engine.read_bytes()[:100])
    elif damage == "changed":
        engine.write_bytes(bytes(256))
    elif damage == "missing":
        engine.unlink()
    elif damage == "one file not sealed":
        (entry / "more").write_text("x")
    else:
        (entry / "sha256.json").write_text(SEALS[damage] or "")
    assert get_or_build("net", {}, build, tmp_path) == entry
    assert build.times == 2
    assert engine.read_bytes() == bytes(range(256))
    assert [path.name for path in tmp_path.iterdir()] == [entry.name]


def test_two_that_start_together_both_get_a_whole_entry(tmp_path: Path) -> None:
    barrier = threading.Barrier(2)
    build = Builder(barrier.wait)  # both are in the middle of building
    found: list[bytes] = []

    def start() -> None:
        found.append((get_or_build("net", {}, build, tmp_path) / "engine").read_bytes())

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert build.times == 2
    assert found == [bytes(range(256))] * 2
    assert len(list(tmp_path.iterdir())) == 1


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        get_or_build("net", {}, fail, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_was_killed_is_removed_and_a_running_one_is_not(tmp_path: Path) -> None:
    killed, running = tmp_path / ".building-killed", tmp_path / ".building-running"
    for folder in (killed, running):
        folder.mkdir()
        (folder / "half").write_text("x")
        os.utime(folder, (0, 0))
    lock = os.open(running, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    get_or_build("net", {}, Builder(), tmp_path)
    os.close(lock)
    assert not killed.exists()
    assert running.exists()
    get_or_build("other", {}, Builder(), tmp_path)
    assert not running.exists()


PROCESS = """
import sys, time
from pathlib import Path
from depth_anything_ros.inference.build_cache import get_or_build

def build(folder):
    print("building", flush=True)
    sys.stdin.readline()
    (folder / "engine").write_bytes(b"engine")

print(get_or_build("net", {}, build, Path(sys.argv[1])))
"""


def test_two_processes_that_start_together_share_an_entry(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, tmp_path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
    found = {process.communicate("go\n", timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert found == {str(each) for each in tmp_path.iterdir()}
    assert (Path(found.pop()) / "engine").read_bytes() == b"engine"


@pytest.mark.parametrize("of_ours", [True, False])
def test_a_full_disk_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_ours: bool
) -> None:
    def build(folder: Path) -> None:
        if of_ours:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
        raise RuntimeError("basic_ios::clear: iostream error")

    with pytest.raises(SettingError, match=r"cannot be written \(No space left on device\)"):
        get_or_build("net", {}, build, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nobody_else_may_write_to_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cache"
    entry = get_or_build("net", {}, Builder(), root)
    assert root.stat().st_mode & 0o777 == 0o700
    root.chmod(0o777)
    get_or_build("net", {}, Builder(), root)
    assert root.stat().st_mode & 0o777 == 0o700
    assert find("net", {}, root) == entry
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    assert find("net", {}, root) is None
    with pytest.raises(SettingError, match=f"belongs to the user with the number {other - 1}"):
        get_or_build("net", {}, Builder(), root)


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingError, match=r"cannot be written.*XDG_CACHE_HOME"):
        get_or_build("net", {}, Builder(), tmp_path / "file" / "cache")


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "depth_anything_ros"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "depth_anything_ros"


def test_versions_leaves_out_what_is_not_installed() -> None:
    assert list(versions(["numpy", "no-such-distribution"])) == ["numpy"]
