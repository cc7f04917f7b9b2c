"""Files are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats import whole_file as module
from depth_anything_ros.formats.media import read_image, write_image
from depth_anything_ros.formats.whole_file import whole_file, whole_folder, write_whole


@pytest.fixture
def small_disk() -> Iterator[int]:
    """No file of this process may be longer than so many bytes, as if the disk were full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield 4096
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def test_what_is_written_is_there_with_the_rights_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a.txt", "ä", durable=True)
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa4"
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, small_disk: int) -> None:
    path = tmp_path / "a.bin"
    write_whole(path, b"old")
    with pytest.raises(OSError, match="File too large") as caught:
        write_whole(path, bytes(2 * small_disk), durable=True)
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    picture = tmp_path / "a.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    write_image(picture, noise[:8, :8])
    with pytest.raises(OSError, match="File too large"):
        write_image(picture, noise)
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


def test_what_a_killed_program_left_goes_after_a_day(tmp_path: Path) -> None:
    old, fresh, other = (
        tmp_path / ".a.0123456789abcdef.part.txt",
        tmp_path / ".b.0123456789abcdef.part",
        tmp_path / ".notes.part",
    )
    yesterday = time.time() - 2 * 86400
    for path in (old, fresh, other):
        path.write_text("x")
    for path in (old, other):
        os.utime(path, (yesterday, yesterday))
    module._remove_abandoned.cache_clear()
    write_whole(tmp_path / "a.txt", "x")
    assert not old.exists()
    assert fresh.exists()
    assert other.exists()


def test_no_result_of_imwrite_is_passed_over() -> None:
    """cv2.imwrite says by a boolean alone that it could not write; `write_image` raises."""
    package = Path(module.__file__).parents[1]
    assert not [path for path in package.rglob("*.py") if "cv2.imwrite(" in path.read_text()]
