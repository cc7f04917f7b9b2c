"""What is built is kept, shared by processes that start together, and rebuilt when damaged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from depth_anything_ros.errors import SettingError
from depth_anything_ros.inference.build_cache import cache_folder, get_or_build, versions


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


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "unsealed"])
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
    else:
        (entry / "sha256.json").write_text("{")
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
