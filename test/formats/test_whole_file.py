"""Files are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from full_disk import no_file_longer_than

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats import whole_file as module
from depth_anything_ros.formats.media import read_image, write_image
from depth_anything_ros.formats.whole_file import whole_file, whole_folder, write_whole


def test_what_is_written_is_there_with_the_rights_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a.txt", "ä", durable=True)
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa4"
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_whole(path, b"old")
    picture = tmp_path / "a.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    write_image(picture, noise[:8, :8])
    with no_file_longer_than(4096):
        with pytest.raises(OSError, match=r"File too large: '.*/a\.bin'") as caught:
            write_whole(path, bytes(8192), durable=True)
        with pytest.raises(OSError, match=r"File too large: '.*/a\.png'"):
            write_image(picture, noise)
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    np.testing.assert_array_equal(read_image(picture), noise[:8, :8])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.bin", "a.png"]


def test_a_picture_that_no_format_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written as '\.nothing'"):
        write_image(tmp_path / "a.nothing", np.zeros((4, 4, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_its_other_name_cannot_be_foreseen(tmp_path: Path) -> None:
    names = set()
    for _ in range(2):
        with whole_file(tmp_path / "a.mp4") as part:
            assert part.suffix == ".mp4"
            assert part.parent == tmp_path
            names.add(part.name)
    assert len(names) == 2


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "new" / "a") as part:
        (part / "half").write_text("x")
        raise ZeroDivisionError
    assert not list((tmp_path / "new").iterdir())
    with whole_folder(tmp_path / "new" / "a") as part:
        (part / "all").write_text("x")
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "new" / "a"):
        pass
    assert [each.name for each in (tmp_path / "new").rglob("*")] == ["a", "all"]


@pytest.mark.parametrize("call", ["os.open", "os.close", "Path.mkdir"])
def test_ctrl_c_while_a_part_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The signal arrives after the call has done its work and before its caller goes on."""
    owner, name = (Path, "mkdir") if call == "Path.mkdir" else (os, call[3:])
    original = getattr(owner, name)

    def interrupted(*arguments: Any, **options: Any) -> None:
        original(*arguments, **options)
        if list(tmp_path.iterdir()):
            raise KeyboardInterrupt

    writer = whole_folder if owner is Path else whole_file
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(owner, name, interrupted)
        with writer(tmp_path / "a"):
            pass
    assert not list(tmp_path.iterdir())


def test_what_a_killed_program_left_goes_after_a_day(tmp_path: Path) -> None:
    old, fresh, other = (
        tmp_path / ".a.0123456789abcdef.part.txt",
        tmp_path / ".b.0123456789abcdef.part",
        tmp_path / ".notes.part",
    )
    old_folder, written_to = (tmp_path / f".{name}.0123456789abcdef.part" for name in "cd")
    yesterday = time.time() - 2 * 86400
    for path in (old, fresh, other):
        path.write_text("x")
    for folder in (old_folder, written_to):
        folder.mkdir()
        (folder / "half").write_text("x")
    for path in (old, other, old_folder / "half", old_folder, written_to):
        os.utime(path, (yesterday, yesterday))
    module._remove_abandoned.cache_clear()
    write_whole(tmp_path / "a.txt", "x")
    assert not old.exists()
    assert not old_folder.exists()
    assert (written_to / "half").exists()  # a recording that is converted for days
    assert fresh.exists()
    assert other.exists()


def test_no_result_of_imwrite_is_passed_over() -> None:
    """cv2.imwrite says by a boolean alone that it could not write; `write_image` raises."""
    package = Path(module.__file__).parents[1]
    assert not [path for path in package.rglob("*.py") if "cv2.imwrite(" in path.read_text()]


NOT_WHOLE = {
    "benchmark/node/attack.py": "the log of a node under attack",
    "benchmark/node/runner.py": "the log of a node that is measured",
    "formats/bags.py": "a scratch folder",
    "formats/depth_files.py": "given a part by whoever writes a result",
    "formats/ply.py": "given a part by whoever writes a result",
    "cli/support/stereo_job.py": "given a part by whoever writes a result",
    "formats/video.py": "given a part by whoever writes a result",
    "inference/accuracy_gate.py": "a cache entry before it is sealed",
    "inference/build_cache.py": "the seal of a cache entry, before it gets its name",
    "training/run_log.py": "lines are added",
    "web/demo_page.py": "a private scratch folder",
    "web/estimation.py": "a private scratch folder",
    "web/rerun_recorder.py": "whether its library can write there is tried, nothing is written",
}
"""Modules that write without `whole_file`, and why."""


def test_every_writer_writes_whole_files() -> None:
    package = Path(module.__file__).parents[1]
    found = set()
    for path in package.rglob("*.py"):
        for line in path.read_text().splitlines():
            writes = re.search(
                r"write_(text|bytes)\(|open\(.*[\"'](w|a|x)b?[\"']|np\.savez?\(", line
            )
            if writes and not re.search(r"\bpart\b", line):
                found.add(path.relative_to(package).as_posix())
    assert found == set(NOT_WHOLE)
