"""Arguments of `depth_anything bench` that are refused."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from depth_anything_ros.cli.main import app


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cloud", "--size", "24"], "'24' is not a size"),
        (["network", "--backend", "tpu"], "'tpu' is not one of"),
        (["network", "--against", "me"], "neither official=PATH nor transformers"),
        (["network", "--against", "transformers:int4"], "neither official=PATH nor transformers"),
        (["report", "page.md", "--only", "speed"], "'speed' is not one of"),
        (["navigation", "--world", "sea"], "'sea' is not one of room, street"),
        (["compute", "--size", "480x640"], "must be multiples of 14"),
        (["compute", "--precision", "half"], "'half' is not one of"),
    ],
)
def test_bad_arguments(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["bench", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert words in result.stderr
