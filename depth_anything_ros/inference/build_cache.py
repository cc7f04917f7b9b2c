"""On-disk cache of what takes long to build: exported networks, engines.

An entry is a folder named by what it was made of. It appears in one step, so two processes that
start together do not disturb each other, and it is checked before use, so a damaged one is built
anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from depth_anything_ros.errors import SettingError

logger = logging.getLogger("depth_anything_ros")

_SEAL = "sha256.json"


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
    entry = _entry(name, made_of, root or cache_folder())
    return entry if _intact(entry) else None


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
    if not anew and _intact(entry):
        return entry
    logger.info("building %s; it is kept in %s for the next start", name, root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=root))
    except OSError as error:
        raise SettingError(
            f"the cache folder '{root}' cannot be written ({error.strerror}); set XDG_CACHE_HOME "
            "to one that can, or use backend torch"
        ) from error
    try:
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
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
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


def _seal(folder: Path) -> None:
    """Note the hash of every file; written last, so its presence means the rest is there."""
    hashes = {path.name: file_hash(path) for path in sorted(folder.iterdir())}
    (folder / _SEAL).write_text(json.dumps(hashes), encoding="utf-8")


def _intact(folder: Path) -> bool:
    try:
        hashes = json.loads((folder / _SEAL).read_text(encoding="utf-8"))
        return all(file_hash(folder / name) == digest for name, digest in hashes.items())
    except (OSError, ValueError):
        return False
