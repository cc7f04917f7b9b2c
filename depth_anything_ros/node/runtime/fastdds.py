"""Transport of large messages between processes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

PROFILE = Path(__file__).with_name("fastdds_profile.xml")
"""Fast DDS profile with shared-memory segments that hold a whole cloud."""

_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Where Fast DDS 2 (up to Jazzy) and 3 (from Kilted on) look for the user's profile."""

_SHARED_MEMORY = Path("/dev/shm")
_NEEDED_BYTES = 128 * 1024 * 1024


def prefer_shared_memory() -> str | None:
    """Let this process send through large shared-memory segments; call it before rclpy.init.

    With Fast DDS defaults, depth images and clouds are cut into pieces that get lost: reliable
    ones arrive late or never, best-effort ones hardly ever. Only the sender's segment counts.

    Returns:
        None when all is well, else what stands in the way, for the log. A profile the user has
        chosen and another middleware are left alone.
    """
    if os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") != "rmw_fastrtps_cpp":
        return None
    if any(os.environ.get(variable) for variable in _VARIABLES):
        return None
    if not _SHARED_MEMORY.is_dir():
        return None
    free = shutil.disk_usage(_SHARED_MEMORY).free
    if free < _NEEDED_BYTES:
        return (
            f"/dev/shm has only {free / 1e6:.0f} MB free, so big messages go over the network "
            "stack and may get lost; give the container more (docker run --shm-size=1g), or "
            "delete /dev/shm/fastrtps_* (fastdds_*) left by nodes that were killed"
        )
    for variable in _VARIABLES:
        os.environ[variable] = str(PROFILE)
    return None
