"""Files in object stores and on servers, by URL (fsspec: s3://, gs://, http://, sftp://, ...)."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from depth_anything_ros.errors import InputError, require

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

_NOT_STORES = ("http", "https", "rtsp", "rtmp", "ftp", "udp")


def is_url(text: str) -> bool:
    """Whether a text is a URL rather than a path."""
    return bool(_URL.match(text))


def is_stored(text: str) -> bool:
    """Whether a text is the URL of a store whose files are read; web pages and streams are not."""
    protocol = text.partition("://")[0].lower()
    return is_url(text) and protocol not in _NOT_STORES


def files_at(url: str, endings: tuple[str, ...], recursive: bool = False) -> list[str]:
    """The files that a URL names.

    Args:
        url: A file, or a folder.
        endings: Endings of the files of a folder, in lower case.
        recursive: Include subfolders.

    Returns:
        URLs in alphabetical order.

    Raises:
        InputError: It cannot be reached, or names no such file.
    """
    system, path = _opened(url)
    try:
        if system.isfile(path):
            return [url]
        found = system.find(path, maxdepth=None if recursive else 1)
    except Exception as error:  # each store has errors of its own
        raise InputError(f"{url} cannot be listed: {error}") from error
    urls = [system.unstrip_protocol(each) for each in sorted(found)]
    files = [each for each in urls if each.lower().endswith(endings)]
    if not files:
        raise InputError(f"{url} names no file that can be read")
    return files


def name_of(url: str) -> str:
    """The last part of a URL."""
    return PurePosixPath(url.partition("://")[2]).name


@contextmanager
def local_copy(url: str) -> Iterator[Path]:
    """A file of a URL on this machine, for as long as the context lasts.

    Args:
        url: The file.

    Yields:
        Its copy, of the same name.

    Raises:
        InputError: It cannot be fetched.
    """
    system, path = _opened(url)
    with tempfile.TemporaryDirectory(prefix="depth_anything_") as folder:
        copy = Path(folder) / name_of(url)
        try:
            system.get_file(path, str(copy))
        except Exception as error:  # each store has errors of its own
            raise InputError(f"{url} cannot be fetched: {error}") from error
        yield copy


def _opened(url: str) -> tuple[Any, str]:
    fsspec = require("fsspec", "cluster")
    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InputError(f"{url} cannot be opened: {error}") from error
    return system, str(path)
