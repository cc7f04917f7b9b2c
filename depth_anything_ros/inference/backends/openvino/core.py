"""The one OpenVINO core of this process."""

from __future__ import annotations

import functools
from typing import Any

from depth_anything_ros.errors import require


def openvino_core() -> Any:
    """An `openvino.Core`, always the same one, which lasts as long as the process.

    A core that loads the CPU plugin gives the calling thread a stack for signal handlers, and gives
    the stack of before back when it goes; of two cores that go in the order in which they came the
    second one gives back the first one's, whose memory is free by then. Python's handlers run on
    that stack, so the next Ctrl-C ended the process with a segmentation fault (OpenVINO 2026.4).

    Raises:
        MissingExtraError: openvino is not installed.
    """
    require("openvino", "openvino")
    return _core()


@functools.cache
def _core() -> Any:
    return require("openvino", "openvino").Core()
