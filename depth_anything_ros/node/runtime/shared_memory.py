"""Fast DDS's files in shared memory: owners, sizes and leaks.

Facts read off Fast DDS 2.14 and 3 and checked against them: a participant's data segment is the
file `fastrtps_<16 hex digits>` (from 3 on `fastdds_...`); beside it its owner keeps `..._el` open
and locked (flock) as long as it lives. Bytes 4 and 5 of an endpoint's GUID are the lower half of
the process id, bytes 2 and 3 name the host.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

FOLDER = Path("/dev/shm")

_LOCK = re.compile(r"fast(rtps|dds)_[0-9a-f]{16}_el")
_HOST, _PROCESS = slice(2, 4), slice(4, 6)


def leaked_segments(folder: Path = FOLDER) -> list[Path]:
    """The data segments whose owner is gone, as `kill -9` leaves them.

    Args:
        folder: Where shared memory is mounted.

    Returns:
        Their paths; those of other users are not visible and are left out.
    """
    locks = (path for path in folder.glob("fast*_el") if _LOCK.fullmatch(path.name))
    segments = (_segment(lock) for lock in locks if _is_free(lock))
    return sorted(segment for segment in segments if segment.exists())


def segment_size(gid: Sequence[int], own_gid: Sequence[int]) -> int | None:
    """The largest data segment of the process that an endpoint belongs to.

    Args:
        gid: `endpoint_gid` of the endpoint.
        own_gid: `endpoint_gid` of an endpoint of this process.

    Returns:
        Bytes; None where unknown: another host, container, user or middleware, or a
        process without shared memory.
    """
    if bytes(gid[_HOST]) != bytes(own_gid[_HOST]):
        return None
    lower_half = int.from_bytes(bytes(gid[_PROCESS]), "little")
    sizes = [
        segment.stat().st_size
        for process in psutil.process_iter()
        if process.pid & 0xFFFF == lower_half
        for segment in _segments_of(process)
        if segment.exists()
    ]
    return max(sizes, default=None)


def remove_own_segments() -> None:
    """Delete the segments of this process, which must not use ROS afterwards.

    For an end in haste: Fast DDS deletes them itself when its participant is destroyed in peace.
    """
    for segment in list(_segments_of(psutil.Process())):
        segment.unlink(missing_ok=True)
        segment.with_name(f"{segment.name}_el").unlink(missing_ok=True)


def _segment(lock: Path) -> Path:
    return lock.with_name(lock.name.removesuffix("_el"))


def _is_free(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # its owner lives, has just gone, or is another user
        return False
    return True


def _segments_of(process: psutil.Process) -> Iterator[Path]:
    """The segments whose lock a process keeps open."""
    try:
        opened = [Path(file.path) for file in process.open_files()]
    except (psutil.Error, OSError):  # not readable for us, or gone
        return
    for file in opened:
        if _LOCK.fullmatch(file.name):
            yield _segment(file)
