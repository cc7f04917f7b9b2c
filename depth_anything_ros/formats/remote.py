"""Files in object stores and on servers, by URL (fsspec: s3://, gs://, sftp://, ...)."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from depth_anything_ros.errors import InputError, require

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

_NOT_STORES = ("http", "https", "rtsp", "rtmp", "ftp", "udp")

_METADATA = "metadata.yaml"
"""The file that makes a folder a recording of rosbag2."""

_CHANGES = ("ETag", "etag", "checksum", "LastModified", "last_modified", "mtime", "created")
"""What stores call that which changes with a file; the first one that a store has counts."""


@dataclass(frozen=True)
class Stored:
    """What lies at a URL.

    Attributes:
        url: A file, or the folder of a recording of rosbag2.
        name: Its path below the folder that was listed, or the name of the file.
        version: Changes when the content does.
        is_folder: Whether it is such a folder.
    """

    url: str
    name: str
    version: str
    is_folder: bool = False


def is_url(text: str) -> bool:
    """Whether a text is a URL rather than a path."""
    return bool(_URL.match(text))


def is_stored(text: str) -> bool:
    """Whether a text is the URL of a store whose files are read; web pages and streams are not."""
    protocol = text.partition("://")[0].lower()
    return is_url(text) and protocol not in _NOT_STORES


def stored_at(url: str, endings: tuple[str, ...], recursive: bool = False) -> list[Stored]:
    """What a URL names.

    Args:
        url: A file, or a folder.
        endings: Endings of the files of a folder, in lower case.
        recursive: Include subfolders.

    Returns:
        Files, and folders of recordings, in alphabetical order.

    Raises:
        InputError: It cannot be reached, or names no such file.
    """
    system, path = open_store(url)
    try:
        if system.isfile(path):
            return [Stored(url, name_of(url), _version(system.info(path)))]
        found = dict(system.find(path, maxdepth=None if recursive else 1, detail=True))
    except Exception as error:  # each store has errors of its own
        raise InputError(f"{url} cannot be listed: {error}") from error
    recordings = {_parent(each) for each in found if PurePosixPath(each).name == _METADATA}
    listed: dict[str, Stored] = {}
    for each, about in sorted(found.items()):
        folder = _parent(each)
        in_recording = folder in recordings
        place = folder if in_recording else each
        if not in_recording and not each.lower().endswith(endings):
            continue
        name = str(PurePosixPath(place).relative_to(path)) if place != path else name_of(url)
        version = _version(about)
        if place in listed:
            version = f"{listed[place].version}, {version}"
        listed[place] = Stored(system.unstrip_protocol(place), name, version, in_recording)
    if not listed:
        raise InputError(f"{url} names no file that can be read")
    return [listed[place] for place in sorted(listed)]


def name_of(url: str) -> str:
    """The last part of a URL."""
    return PurePosixPath(url.partition("://")[2]).name


@contextmanager
def local_copy(url: str) -> Iterator[Path]:
    """A file or folder of a URL on this machine, for as long as the context lasts.

    Args:
        url: The file or folder.

    Yields:
        Its copy, of the same name.

    Raises:
        InputError: It cannot be fetched.
    """
    system, path = open_store(url)
    with tempfile.TemporaryDirectory(prefix="depth_anything_") as folder:
        copy = Path(folder) / name_of(url)
        try:
            if system.isfile(path):
                system.get_file(path, str(copy))
            else:
                _fetch_folder(system, path, copy)
        except Exception as error:  # each store has errors of its own
            raise InputError(f"{url} cannot be fetched: {error}") from error
        yield copy


def open_store(url: str) -> tuple[Any, str]:
    """The store of a URL as `fsspec` has it, and the path in it.

    Args:
        url: The URL of a file or folder.

    Raises:
        InputError: There is no such kind of store, or its library is not installed.
    """
    fsspec = require("fsspec", "cluster")
    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InputError(f"{url} cannot be opened: {error}") from error
    return system, str(path)


def _fetch_folder(system: Any, path: str, copy: Path) -> None:
    found = system.find(path)
    if not found:
        raise FileNotFoundError("it is not there")
    for each in found:
        target = copy / PurePosixPath(each).relative_to(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(each, str(target))


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _version(about: Mapping[str, Any]) -> str:
    changes = next((str(about[name]) for name in _CHANGES if about.get(name)), "")
    return f"{about.get('size')} {changes}"
