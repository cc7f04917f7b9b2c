"""On-disk cache of what takes long to build: exported networks, engines.

An entry is a folder named by what it was made of. It appears in one step, so two processes that
start together do not disturb each other, and it is checked before use, so a damaged one is built
anew.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from depth_anything_ros.errors import DepthAnythingError, SettingError

logger = logging.getLogger("depth_anything_ros")

_SEAL = "sha256.json"
_GRACE = 60.0
"""Seconds that a process has to lock the folder that it has made."""

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
_FULL = 1 << 20
"""Free bytes below which a disk counts as full."""


def cache_folder() -> Path:
    """Where entries are kept: XDG_CACHE_HOME, else ~/.cache, and the package's name in it."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "depth_anything_ros"


def find(name: str, made_of: Mapping[str, str], root: Path | None = None) -> Path | None:
    """The folder of a cache entry where it is there and whole.

    Args:
        name: As it was built.
        made_of: Likewise.
        root: Folder of the cache; None for `cache_folder()`.

    Returns:
        The folder, or None.
    """
    root = root or cache_folder()
    entry = _entry(name, made_of, root)
    return entry if _intact(entry) and _owner_problem(root) is None else None


def get_or_build(
    name: str,
    made_of: Mapping[str, str],
    build: Callable[[Path], None],
    root: Path | None = None,
    anew: bool = False,
) -> Path:
    """The folder of a cache entry, built when it is missing or damaged.

    Args:
        name: What it is, the start of the folder's name.
        made_of: Everything the result depends on: hash of the source, sizes, versions.
        build: Writes its files into an empty folder.
        root: Folder of the cache; None for `cache_folder()`.
        anew: Replace an entry that is there.

    Returns:
        The folder; its files must not be changed.

    Raises:
        SettingError: The cache cannot be written.
    """
    root = root or cache_folder()
    entry = _entry(name, made_of, root)
    _prepare(root)
    if not anew and _intact(entry):
        return entry
    logger.info("building %s; it is kept in %s for the next start", name, root)
    with _scratch_folder(root) as scratch:
        with _disk_problems(root):
            build(scratch)
            _seal(scratch)
        if entry.exists() and (anew or not _intact(entry)):
            if not anew:
                logger.warning("%s is damaged; it is replaced", entry)
            shutil.rmtree(entry)
        try:
            scratch.rename(entry)
        except OSError:
            if not _intact(entry):  # else another process was faster, and its entry is as good
                raise
    return entry


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Args:
        path: The file.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def versions(distributions: Sequence[str]) -> dict[str, str]:
    """The installed versions of some distributions, by name; missing ones are left out.

    Args:
        distributions: Names as pip knows them.
    """
    found = {}
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _entry(name: str, made_of: Mapping[str, str], root: Path) -> Path:
    key = hashlib.sha256(json.dumps(dict(made_of), sort_keys=True).encode()).hexdigest()
    return root / f"{name}-{key[:20]}"


def _prepare(root: Path) -> None:
    """Make the cache's folder where it is missing; nobody else may write to it.

    What is in the cache is run (engines are code), so it must be the user's own.
    """
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            root.mkdir(mode=0o700)
        if root.stat().st_uid == os.geteuid() and root.stat().st_mode & 0o077:
            root.chmod(0o700)
        problem = _owner_problem(root)
    except OSError as error:
        raise _unusable(root, error.strerror) from error
    if problem is not None:
        raise _unusable(root, problem)


def _owner_problem(root: Path) -> str | None:
    owner = root.stat().st_uid
    return None if owner == os.geteuid() else f"it belongs to the user with the number {owner}"


def _unusable(root: Path, why: str | None) -> SettingError:
    return SettingError(
        f"the cache folder '{root}' cannot be written ({why}); set XDG_CACHE_HOME to one that can, "
        "or use backend torch"
    )


@contextlib.contextmanager
def _scratch_folder(root: Path) -> Iterator[Path]:
    """A folder to build in; those of builds that were killed go."""
    for old in root.glob(".building-*"):
        _remove_abandoned(old)
    try:
        scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=root))
        lock = os.open(scratch, os.O_RDONLY)
    except OSError as error:
        raise _unusable(root, error.strerror) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held as long as this process lives
        yield scratch
    finally:
        os.close(lock)
        shutil.rmtree(scratch, ignore_errors=True)


def _remove_abandoned(scratch: Path) -> None:
    """Remove a folder of a build whose process has ended."""
    try:
        if time.time() - scratch.stat().st_mtime < _GRACE:
            return
        lock = os.open(scratch, os.O_RDONLY)
    except OSError:
        return  # it has just gone
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(scratch, ignore_errors=True)
    except BlockingIOError:
        pass  # its process builds
    finally:
        os.close(lock)


@contextlib.contextmanager
def _disk_problems(root: Path) -> Iterator[None]:
    """Say that the disk is full or broken; libraries call that anything."""
    try:
        yield
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise _unusable(root, error.strerror) from error
        raise
    except DepthAnythingError:
        raise
    except Exception as error:
        if shutil.disk_usage(root).free < _FULL:
            raise _unusable(root, os.strerror(errno.ENOSPC)) from error
        raise


def _seal(folder: Path) -> None:
    """Note the hash of every file; written last, so its presence means the rest is there."""
    hashes = {path.name: file_hash(path) for path in sorted(folder.iterdir())}
    (folder / _SEAL).write_text(json.dumps(hashes), encoding="utf-8")


def _intact(folder: Path) -> bool:
    """Whether a folder holds exactly the files of its seal, and at least one."""
    try:
        hashes = json.loads((folder / _SEAL).read_text(encoding="utf-8"))
        if not isinstance(hashes, dict):
            return False
        names = {path.name for path in folder.iterdir()} - {_SEAL}
        return (
            bool(names)
            and names == set(hashes)
            and all(file_hash(folder / name) == digest for name, digest in hashes.items())
        )
    except (OSError, ValueError, RecursionError):
        return False
