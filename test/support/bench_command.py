"""`depth_anything bench` in this process."""

from __future__ import annotations

from click.testing import CliRunner

from depth_anything_ros.cli.main import app
from depth_anything_ros.cli.support.terminal import STDOUT

_WIDTH = 140
"""Columns of the terminal: no word of a table is cut, however long a slow machine's figures are."""


def bench(*arguments: object) -> str:
    width = STDOUT.width
    STDOUT.width = _WIDTH
    try:
        result = CliRunner().invoke(app, ["bench", *map(str, arguments)])
    finally:
        STDOUT.width = width
    assert result.exit_code == 0, result.output + repr(result.exception)
    return str(result.stdout)
