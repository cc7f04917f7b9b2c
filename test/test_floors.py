"""Floors of the package: a folder imports only from its own floor and lower ones.

Imports inside of functions count, too: a late import is about time, not about order.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import depth_anything_ros

PACKAGE = Path(depth_anything_ros.__file__).parent
NAME = PACKAGE.name

FLOORS = {
    "errors": 1,
    "installed_commands": 1,
    "registry": 1,
    "frames": 1,
    "settings": 1,
    "geometry": 1,
    "network": 2,
    "formats": 2,
    "synthetic": 2,
    "inference": 3,
    "confidence": 3,
    "metric": 3,
    "": 4,  # the package's own __init__
    "api": 4,
    "pipeline": 4,
    "evaluation": 5,
    "training": 5,
    "node": 6,
    "benchmark": 6,
    "cli": 7,
    "web": 7,
    "__main__": 7,
}
"""Floor of each folder and file of the package."""

ROS = ("rclpy", "tf2_ros", "message_filters", "diagnostic_updater", "cv_bridge", "sensor_msgs_py")
WITH_ROS = ("node", "benchmark.node")


def imports(path: Path, code: str | None = None) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every module that a file imports, anywhere in it."""
    package = list(path.relative_to(PACKAGE.parent).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8") if code is None else code)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for each in node.names:
                yield node.lineno, f"{module}.{each.name}"


def modules() -> Iterator[tuple[Path, str]]:
    """Every file of the package and its dotted name below it ("" for the package itself)."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor_of(module: str) -> int:
    """The floor of a module, or of what only the package's `__init__` has."""
    return FLOORS.get(module.partition(".")[0], FLOORS[""])


def upward(path: Path, module: str) -> list[str]:
    """The imports of a file that go to a higher floor."""
    found = []
    for line, name in imports(path):
        top, _, inner = name.partition(".")
        if top == NAME and inner and floor_of(inner) > floor_of(module):
            found.append(f"{path.relative_to(PACKAGE.parent)}:{line} imports {name}")
    return found


def test_every_folder_and_file_has_a_floor() -> None:
    names = {module.partition(".")[0] for _, module in modules()}
    assert names <= set(FLOORS), "give it a floor in FLOORS"


def test_no_import_goes_up() -> None:
    wrong = [each for path, module in modules() for each in upward(path, module)]
    assert not wrong, "\n".join(wrong)


def test_ros_stays_in_the_rooms_of_the_node() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}:{line} imports {name}"
        for path, module in modules()
        if not module.startswith(WITH_ROS)
        for line, name in imports(path)
        if name.partition(".")[0] in ROS or name.partition(".")[0].endswith("_msgs")
    ]
    assert not wrong, "\n".join(wrong)


def test_an_import_inside_of_a_function_is_found() -> None:
    code = (
        "import numpy\n"
        "def late():\n"
        f"    from {NAME}.metric import fit\n"
        "    from ..node import messages\n"
    )
    found = [name for _, name in imports(PACKAGE / "geometry" / "shape.py", code)]
    assert found == ["numpy", f"{NAME}.metric.fit", f"{NAME}.node.messages"]
