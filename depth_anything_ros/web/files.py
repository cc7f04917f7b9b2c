"""The private temporary folder of the demo page: what was uploaded, and what was made of it."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.media import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from depth_anything_ros.formats.point_files import POINT_SUFFIXES

SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES | frozenset(POINT_SUFFIXES)
"""Endings of the files that may be uploaded."""

_LONGEST_NAME = 80


@dataclass
class Entry:
    """An uploaded file, or the folder of a result.

    Attributes:
        path: Where it lies; nothing of the name that the browser gave is in it.
        name: What it was called, without folders and ending.
        id: Its name in requests, which nobody guesses.
    """

    path: Path
    name: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))


class PrivateFolder:
    """Files that only this server reads; the oldest make room for new ones, all go at the end.

    Args:
        most_bytes: Bytes that all of them may have together.
    """

    def __init__(self, most_bytes: int = 4 << 30) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="depth_anything_serve_"))  # mode 0700
        self._most_bytes = most_bytes
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def new_file(self, name: str) -> Entry:
        """A path for an upload, which is not known to `get` before `add`.

        Args:
            name: The name that the browser gives.

        Returns:
            The entry, without a file.

        Raises:
            InputError: Its ending is none of a picture, video or points file.
        """
        base = PurePosixPath(PureWindowsPath(name).name)
        suffix = base.suffix.lower()
        if suffix not in SUFFIXES:
            raise InputError(
                f"'{shown_name(base.name)}' is neither a picture, nor a video, nor a points file "
                "(.csv, .npz) by its ending"
            )
        entry = Entry(self._root, shown_name(base.stem))
        entry.path = self._root / f"{entry.id}{suffix}"
        return entry

    def new_folder(self, name: str) -> Entry:
        """A folder for results, which is not known to `get` before `add`.

        Args:
            name: What the results are called.
        """
        entry = Entry(self._root, shown_name(name))
        entry.path = self._root / entry.id
        entry.path.mkdir()
        return entry

    def add(self, entry: Entry) -> None:
        """Make an entry known, and remove the oldest ones until all fit."""
        with self._lock:
            self._entries[entry.id] = entry
            sizes = {each.id: _size(each.path) for each in self._entries.values()}
            for old in list(self._entries.values())[:-1]:
                if sum(sizes.values()) <= self._most_bytes:
                    break
                del self._entries[old.id], sizes[old.id]
                _remove(old.path)

    def get(self, entry_id: str) -> Entry | None:
        """The entry of an id, None where there is none or it was removed."""
        with self._lock:
            entry = self._entries.get(entry_id)
            if entry is not None:
                self._entries.move_to_end(entry_id)  # in use: not the next to go
            return entry

    def remove(self, entry_id: str) -> None:
        """Remove an entry and its files."""
        with self._lock:
            entry = self._entries.pop(entry_id, None)
        if entry is not None:
            _remove(entry.path)

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._root, ignore_errors=True)


def shown_name(name: str) -> str:
    """A name that can be shown, and be that of a download.

    Args:
        name: Any text.

    Returns:
        It without control characters, quotes and slashes, not longer than 80 characters.
    """
    kept = "".join(each for each in name if each.isprintable() and each not in "\"'\\/<>")
    return kept[:_LONGEST_NAME] or "picture"


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
