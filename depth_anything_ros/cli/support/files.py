"""What the commands write besides depth."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from depth_anything_ros.cli.support.command_line import PATH, option
from depth_anything_ros.errors import SettingError
from depth_anything_ros.formats.whole_file import whole_file

json_option = option("--json", "json_file", type=PATH, help="Write everything to this file, too.")
csv_option = option("--csv", "csv_file", type=PATH, help="Write a row per image to this file, too.")


def check_writable(*paths: Path | None) -> None:
    """Refuse an output that cannot be written before the work for it is done.

    Args:
        paths: Files that will be written, or None; their folders are made if missing.

    Raises:
        SettingError: The text names the file and why.
    """
    for path in paths:
        if path is None:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(f"{path} cannot be written: {error.strerror}") from error
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            reason = "it is a folder" if path.is_dir() else "no permission"
            raise SettingError(f"{path} cannot be written: {reason}")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with a header.

    Args:
        path: The file.
        rows: At least one; all with the same names.
    """
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
