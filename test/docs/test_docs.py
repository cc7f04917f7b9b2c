"""The documentation agrees with the code: generated parts, commands, arguments, links, size."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import cv2
import generate
import numpy as np
import pytest
import yaml
from toy_records import toy_records

import depth_anything_ros as da
from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.main import app
from depth_anything_ros.cli.support.command_line import Subcommand
from depth_anything_ros.metric.source import SCALE_SOURCES, SourceRecord
from depth_anything_ros.metric.sources.network import NetworkScaler
from depth_anything_ros.node.sros2_policy import policy
from depth_anything_ros.training.recipe import Recipe
from depth_anything_ros.training.sources import SOURCES, SourceKind
from depth_anything_ros.training.sources.synthetic import SyntheticSource

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "QUALITY_DECLARATION.md", *PAGES]

by_page = pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)


def test_the_table_of_faults_names_files_that_exist() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = page.partition("| kind of fault | boundary | test |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines()[2:]]
    assert len(rows) >= 20
    for kind, boundary, test in rows:
        for cell, folder in ((boundary, ROOT / "depth_anything_ros"), (test, ROOT / "test")):
            named = re.findall(r"`([\w/]+(?:\.py|/))`", cell)
            assert named or folder.name != "test", f"{kind}: no test is named"
            for name in named:
                inside = name.removeprefix("test/")
                found = [each for each in folder.rglob(Path(name).name) if inside in f"{each}/"]
                assert found, f"{kind}: {name} is not in {folder.name}/"


def test_the_access_policy_is_up_to_date() -> None:
    assert generate.POLICY.read_text() == policy(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_parts_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert generate.generated(text) == text, "run `make docs`"


def test_every_part_stands_on_a_page() -> None:
    used = re.findall(r"<!-- generated: (\w+) -->", "".join(page.read_text() for page in PAGES))
    assert sorted(used) == sorted(generate.PARTS)


def test_a_table_escapes_pipes() -> None:
    assert generate.table(("a", "b"), [("x|y", "z")]).splitlines() == [
        "| a | b |",
        "| --- | --- |",
        "| x\\|y | z |",
    ]


def test_meanings_of_settings_are_read_from_docstrings() -> None:
    class Example:
        """A class.

        Attributes:
            one: First line
                and the second.
            two: Another.
        """

    assert generate.attribute_meanings(Example) == {
        "one": "First line and the second.",
        "two": "Another.",
    }
    for kind in generate.RECIPES.values():
        assert all(generate.attribute_meanings(kind).values())


def test_findings_are_read_from_the_code() -> None:
    text = generate.findings()
    assert "| problem | " in text and "| warning | " in text
    assert "\u2039name\u203a has use_sim_time" in text
    assert "nobody publishes /clock" in text


def test_the_readme_is_short_and_has_a_picture() -> None:
    assert README.stat().st_size <= 8192
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README.read_text())
    assert (ROOT / picture).stat().st_size < 300_000


@by_page
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    for target in targets:
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target


def test_the_site_lists_every_page() -> None:
    class Loader(yaml.SafeLoader):
        """Reads mkdocs.yml, whose !!python tags mean nothing here."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    entries = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)["nav"]

    def files(entry: object) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        for inner in entry.values() if isinstance(entry, dict) else []:
            for each in inner if isinstance(inner, list) else [inner]:
                yield from files(each)

    listed = [file for entry in entries for file in files(entry)]
    assert sorted(listed) == [page.name for page in PAGES]


def commands_in(page: Path) -> list[list[str]]:
    """Words of every `depth_anything ...` line in the shell blocks of a page."""
    found = []
    for block in re.findall(r"^[ ]*```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if "depth_anything" in words and "launch" not in words:
                start = words.index("depth_anything")
                if start == 0 or words[start - 1] == "depth_anything_ros":
                    found.append(words[start + 1 :])
            elif words[:1] and "-m depth_anything_ros " in f"{line} ":
                found.append(words[words.index("depth_anything_ros") + 1 :])
    return found


@by_page
def test_commands_have_the_options_they_are_shown_with(page: Path) -> None:
    for words in commands_in(page):
        command: click.Command = app
        context = click.Context(command)
        rest = list(words)
        while isinstance(command, click.Group):
            inner = command.get_command(context, rest.pop(0))
            assert inner is not None, words
            command = inner
        known = {name for parameter in command.params for name in parameter.opts}
        given = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert given <= known, f"depth_anything {' '.join(words)}: {given - known}"


@by_page
def test_launch_arguments_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"ros2 launch depth_anything_ros (\S+\.launch\.py)([^`\n]*)", text)
    base = (ROOT / "launch" / "depth_anything.launch.py").read_text()
    for file, rest in lines:
        source = (ROOT / "launch" / file).read_text() + base
        for argument in re.findall(r"(\w+):=", rest):
            assert f'"{argument}"' in source, f"{file} has no argument {argument}"


@by_page
def test_parameters_that_are_set_exist(page: Path) -> None:
    shown = (ROOT / "config" / "depth_anything.yaml").read_text()
    names = re.findall(r"`(\w+): (?:\w+|\[[^\]]*\])`", page.read_text(encoding="utf-8"))
    recipe = {field.name for field in dataclasses.fields(Recipe)}
    for name in set(names) - recipe - {"synthetic", "kind"}:
        assert re.search(rf"^ +{name}:", shown, re.M), f"there is no parameter {name}"


@pytest.mark.parametrize("page", [README, ROOT / "docs" / "python.md"], ids=lambda page: page.name)
def test_python_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    rgb = np.asarray(cv2.resize(small, (160, 120)), np.uint8)
    cv2.imwrite("photo.jpg", rgb)
    video = cv2.VideoWriter("video.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 10, (160, 120))
    video.write(rgb)
    video.release()
    disparity = da.load("embedded")(rgb).disparity
    assert disparity is not None
    u, v = rng.integers(0, 160, 200), rng.integers(0, 120, 200)
    names: dict[str, object] = {"rgb": rgb, "camera": da.Camera.from_hfov(160, 120, 70)}
    names |= {"u": u, "v": v, "z": 1 / (0.3 * disparity[v, u] + 0.1)}
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    # Official weights would have to be downloaded.
    exec("\n".join(line for line in code.splitlines() if "depth_anything_v2" not in line), names)
    assert (tmp_path / "cloud.ply").stat().st_size > 1000


def test_what_is_registered_is_documented() -> None:
    @click.command("toy")
    @click.option("--speed", help="How fast.")
    def toy(speed: str) -> None:
        """Play."""

    COMMANDS.register(Subcommand("toy", toy, 999))
    SCALE_SOURCES.register(SourceRecord("toy", 999, "a toy's metres", lambda *_: NetworkScaler()))
    SOURCES.register(SourceKind("toy", "pictures of toys", lambda *_: SyntheticSource(16, 16)))
    try:
        with toy_records():
            assert "| `toy` | Answers 7 m everywhere | cpu: fp32 |" in generate.backends()
            assert "| `toy_model` | metric depth | 50 m |" in generate.models()
        assert "### depth_anything toy\n\nPlay." in generate.commands()
        assert "| `--speed TEXT` | How fast. |" in generate.commands()
        assert "| `toy` | a toy's metres |" in generate.scale_sources()
        assert "| `toy` | pictures of toys |" in generate.data_sets()
    finally:
        for registry in (COMMANDS, SCALE_SOURCES, SOURCES):
            registry.remove("toy")
