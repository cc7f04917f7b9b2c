"""`depth_anything bench` in this process."""

from __future__ import annotations

from click.testing import CliRunner

from depth_anything_ros.cli.main import app


def bench(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["bench", *map(str, arguments)], env={"COLUMNS": "140"})
    assert result.exit_code == 0, result.output + repr(result.exception)
    return str(result.stdout)
