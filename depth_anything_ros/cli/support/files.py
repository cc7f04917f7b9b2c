"""What the commands write besides depth: JSON and CSV."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from depth_anything_ros.cli.support.command_line import PATH, option

json_option = option("--json", "json_file", type=PATH, help="Write everything to this file, too.")
csv_option = option("--csv", "csv_file", type=PATH, help="Write a row per image to this file, too.")


def write_json(path: Path, report: object) -> None:
    """Write JSON with null for numbers that are not finite, which JSON does not have.

    Args:
        path: The file.
        report: What `json` can write.
    """
    text = json.dumps(_without_nan(report), indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with a header.

    Args:
        path: The file.
        rows: At least one; all with the same names.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
