"""Files in stores, by URL: in fsspec's memory and in a folder behind file://."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats import results
from depth_anything_ros.formats.inputs import Kind, find_inputs
from depth_anything_ros.formats.remote import local_copy, stored_at
from depth_anything_ros.formats.result_folder import ResultFolder

FILES = {"b.png": b"bb", "a.jpg": b"a", "notes.txt": b"n", "sub/c.png": b"c"}
BAG = {"drive/metadata.yaml": b"m", "drive/drive_0.mcap": b"0", "drive/drive_1.mcap": b"1"}


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a folder of a store that holds `FILES` and `BAG`."""
    url = "memory://bucket/data" if request.param == "memory" else f"file://{tmp_path}/data"
    system, root = fsspec.core.url_to_fs(url)
    for name, content in (FILES | BAG).items():
        path = f"{root}/{name}"
        system.makedirs(path.rpartition("/")[0], exist_ok=True)
        system.pipe_file(path, content)
    yield url
    system.rm(root, recursive=True)


def test_pictures_are_listed_below_their_folder(store: str) -> None:
    assert [each.name for each in stored_at(store, (".png", ".jpg"))] == ["a.jpg", "b.png"]
    found = {each.name: each.is_folder for each in stored_at(store, (".png",), recursive=True)}
    assert found == {"b.png": False, "drive": True, "sub/c.png": False}
    (one,) = stored_at(f"{store}/b.png", (".png",))
    assert one.name == "b.png"
    with pytest.raises(InputError, match="names no file that can be read"):
        stored_at(f"{store}/nothing", (".png",))


def test_a_folder_with_metadata_is_one_recording(store: str) -> None:
    for url in (f"{store}/drive", f"{store}/drive/"):
        (one,) = find_inputs([url])
        assert (one.kind, one.name, one.path.name) == (Kind.RECORDING, "drive", "drive")
        with one.fetched() as here:
            assert {path.name: path.read_bytes() for path in here.path.iterdir()} == {
                "metadata.yaml": b"m", "drive_0.mcap": b"0", "drive_1.mcap": b"1",
            }  # fmt: skip
    (one,) = find_inputs([f"{store}/drive/drive_1.mcap"])
    assert (one.kind, one.name) == (Kind.RECORDING, "drive_1")


def test_a_changed_file_has_another_version(store: str) -> None:
    (before,) = stored_at(f"{store}/b.png", (".png",))
    (same,) = stored_at(f"{store}/b.png", (".png",))
    system, path = fsspec.core.url_to_fs(f"{store}/b.png")
    system.pipe_file(path, b"another")
    (after,) = stored_at(f"{store}/b.png", (".png",))
    assert before.version == same.version != after.version


def test_what_is_not_there_is_named(store: str) -> None:
    with (
        pytest.raises(InputError, match=r"gone.png cannot be fetched"),
        local_copy(f"{store}/gone.png"),
    ):
        pass
    with pytest.raises(InputError, match="nostore://a/b cannot be opened"):
        find_inputs(["nostore://a/b"])
    with pytest.raises(SettingError, match="is not the URL of a store"):
        ResultFolder("http://host/results").make()


def write(folder: ResultFolder, name: str, content: str, request: str = "1") -> None:
    with folder.writing(name) as here:
        results.write_results(
            here / name, {"_a.txt": lambda path: path.write_text(content)}, {}, request
        )


def test_results_are_stored_whole_and_known_again(store: str) -> None:
    folder = ResultFolder(f"{store}/out")
    folder.make()
    assert not folder.is_done("deep/x", "1")
    write(folder, "deep/x", "first")
    assert folder.is_done("deep/x", "1") and not folder.is_done("deep/x", "2")
    assert folder.names("deep") == ["x.json", "x_a.txt"]
    with folder.reading("deep/x_a.txt") as here:
        assert here.read_text() == "first"
    write(folder, "deep/x", "second", "2")  # its own files may be replaced
    assert folder.is_done("deep/x", "2") and not folder.is_done("deep/x", "1")
    with pytest.raises(ZeroDivisionError), folder.writing("deep/y"):
        _ = 1 / 0
    assert folder.names("deep") == ["x.json", "x_a.txt"]


def test_files_of_others_are_not_replaced(store: str) -> None:
    folder = ResultFolder(f"{store}/out")
    with folder.writing_file("x_a.txt") as part:
        part.write_text("mine")
    with pytest.raises(InputError, match=r"x_a.txt in .*/out would be replaced"):
        write(folder, "x", "other")
    with folder.reading("x_a.txt") as here:
        assert here.read_text() == "mine"


def test_a_result_that_is_being_replaced_is_not_called_complete(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ResultFolder(f"{store}/out")
    write(folder, "x", "first")
    system, _ = fsspec.core.url_to_fs(store)
    put = type(system).put_file

    def broken(self: object, source: str, target: str, **more: object) -> None:
        if target.endswith(".txt"):
            raise OSError("the line is down")
        put(self, source, target, **more)

    monkeypatch.setattr(type(system), "put_file", broken)
    with pytest.raises(InputError, match=r"x_a.txt cannot be stored: the line is down"):
        write(folder, "x", "second")
    assert not folder.is_done("x", "1")


def test_where_a_run_was_stopped_is_noted_and_forgotten(store: str) -> None:
    folder = ResultFolder(f"{store}/out")
    folder.write_stopped_run({"a"}, {"b"})
    assert folder.names("") == ["depth_anything_run.json"]
    folder.forget_stopped_run()
    folder.forget_stopped_run()
    assert folder.names("") == []
