"""Names of the commands that exist in this installation, for advice that can be followed."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

_PACKAGE = "depth_anything_ros"
_MODULES = {
    "depth_anything": _PACKAGE,
    "depth_node": f"{_PACKAGE}.node.depth_node",
    "image_player": f"{_PACKAGE}.node.tools.image_player",
    "simulated_robot": f"{_PACKAGE}.node.tools.simulated_robot",
}


def own_command(arguments: str = "", program: str = "depth_anything") -> str:
    """How a program of this package is started here.

    pip puts it on the PATH, colcon where only `ros2 run` finds it.

    Args:
        arguments: What comes after it.
        program: "depth_anything", "depth_node", "image_player" or "simulated_robot".

    Returns:
        The command line, without quotes.
    """
    return f"{_start_of(program)} {arguments}".strip()


def ros2_command(arguments: str, otherwise: str) -> str:
    """A command of the ROS 2 command line, or what else serves where that is not installed.

    Args:
        arguments: What comes after `ros2`.
        otherwise: What to do without it.

    Returns:
        The command line in backquotes, or `otherwise`.
    """
    return f"`ros2 {arguments}`" if shutil.which("ros2") else otherwise


def install_command(extra: str) -> str:
    """How the libraries of an extra are installed here.

    Args:
        extra: The pip extra of this package.

    Returns:
        The command line: pip knows the extra where it installed the package, and after colcon
        only the libraries.
    """
    names = _libraries_of(extra)
    if names and _start_of("depth_anything").startswith("ros2 run"):
        return f"pip install {' '.join(names)}"
    return f"pip install {_PACKAGE}[{extra}]"


def _libraries_of(extra: str) -> list[str]:
    """Names of the libraries of an extra, as the package's metadata has them."""
    import importlib.metadata

    try:
        lines = importlib.metadata.requires(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    # "onnx; extra == 'onnx'", with either kind of quote.
    own = [line.partition(";") for line in lines if f"extra=={extra}" in _plain(line)]
    return [f"'{name.strip()}'" if "<" in name or ">" in name else name.strip() for name, *_ in own]


def _plain(line: str) -> str:
    return line.translate(str.maketrans("", "", " \"'"))


def _start_of(program: str) -> str:
    if shutil.which(program):
        return program
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    if any((Path(prefix) / "lib" / _PACKAGE / program).exists() for prefix in prefixes if prefix):
        return f"ros2 run {_PACKAGE} {program}"
    script = Path(sysconfig.get_path("scripts")) / program
    if script.exists():
        return str(script)
    return f"{sys.executable} -m {_MODULES[program]}"
