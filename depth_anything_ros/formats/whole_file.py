"""Files and folders that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import functools
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ABANDONED = 24 * 3600.0
"""Seconds after which a part belongs to a program that was killed."""

_PART = re.compile(r"\..+\.[0-9a-f]{16}\.part(\..*)?")
"""Names of parts."""

_SHARED = 0o666
"""Access to a new file, as far as the umask of the process allows it."""


@contextmanager
def whole_file(path: Path, durable: bool = False) -> Iterator[Path]:
    """Write a file under another name and rename it once it is whole.

    An older file stays as it was when writing fails. The other name cannot be foreseen, so that
    nobody who may write to the folder can put a link there.

    Args:
        path: The file.
        durable: Wait until the disk has it, so that it survives a power failure, too.

    Yields:
        An empty file to write to; in the same folder, with the same suffix.

    Raises:
        OSError: The folder or the file cannot be written; it names the file.
    """
    _remove_abandoned(path.parent)
    part = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.part{path.suffix}")
    try:  # before the file is made: Ctrl-C may come between any two lines
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SHARED))
        yield part
        if durable:
            _wait_for_disk(part)
        part.replace(path)
        if durable:
            _wait_for_disk(path.parent)
    except OSError as error:
        if error.errno and error.filename in (None, str(part), part):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes, durable: bool = False) -> None:
    """Write a file that is whole or not there.

    Args:
        path: The file.
        content: Its bytes, or its text, which is written as UTF-8.
        durable: Wait until the disk has it.

    Raises:
        OSError: It cannot be written; an older file stays as it was.
    """
    with whole_file(path, durable) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def part_folder(path: Path) -> Iterator[Path]:
    """A folder to write in beside another file or folder; it goes with what is left in it.

    Args:
        path: What will be made of its content; missing folders above it are made.

    Yields:
        An empty folder, whose name cannot be foreseen.

    Raises:
        OSError: The folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        part.mkdir()
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Write a new folder under another name and rename it once it is whole.

    Args:
        path: The folder, which is not there or empty.

    Yields:
        An empty folder to write to, beside it.

    Raises:
        OSError: The folder cannot be written, or is there already and is not empty.
    """
    with part_folder(path) as part:
        yield part
        part.replace(path)


def _wait_for_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@functools.lru_cache(maxsize=256)  # once per folder: one with many results is slow to list
def _remove_abandoned(folder: Path) -> None:
    """Remove what programs left that were killed while they wrote."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _PART.fullmatch(entry.name):
                continue
            if time.time() - _last_change(Path(entry.path)) < _ABANDONED:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink()


def _last_change(part: Path) -> float:
    """When a file, or anything in a folder, was written last: a folder's own time stands still."""
    return max(path.lstat().st_mtime for path in (part, *part.rglob("*")))
