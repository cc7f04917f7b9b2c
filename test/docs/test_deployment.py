"""Files for containers, services and CI name what exists, and the same distributions."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest
import yaml

from depth_anything_ros.cli.main import app

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DISTRIBUTIONS = {"humble", "jazzy", "kilted", "rolling"}


def services() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"])


def jobs() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"])


def commands() -> dict[str, list[str]]:
    """What is started, by where it is written."""
    found = {f"compose {name}": shlex.split(each["command"]) for name, each in services().items()}
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    found["Dockerfile"] = re.findall(r'"([^"]+)"', dockerfile.rpartition("CMD ")[2])
    unit = (DEPLOY / "depth_anything.service").read_text()
    found["service"] = shlex.split(re.findall(r"exec (ros2 [^']+)'", unit)[0])
    for line in jobs()["image"]["steps"][-1]["run"].splitlines():
        found["workflow"] = shlex.split(line)[line.split().index("ros2") :]
    return found


@pytest.mark.parametrize("where", sorted(commands()))
def test_what_is_started_exists(where: str) -> None:
    words = commands()[where]
    assert words[:1] == ["ros2"] and words[2] == "depth_anything_ros"
    if words[1] == "launch":
        text = (ROOT / "launch" / words[3]).read_text()
        for argument in words[4:]:
            assert f'"{argument.partition(":=")[0]}"' in text, argument
        return
    assert words[1:4] == ["run", "depth_anything_ros", "depth_anything"]
    command = app.get_command(click.Context(app), words[4])
    assert command is not None
    known = {name for each in command.params for name in each.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_workflow_covers_every_distribution_and_python() -> None:
    for name in ("colcon", "image"):
        assert set(jobs()[name]["strategy"]["matrix"]["ros_distro"]) == DISTRIBUTIONS
    pythons = jobs()["wheels"]["strategy"]["matrix"]["python"]
    lowest = re.findall(r'python_requires=">=([0-9.]+)"', (ROOT / "setup.py").read_text())
    assert pythons[0] == lowest[0]
    text = (DEPLOY / "Dockerfile").read_text()
    assert set(re.findall(r"ROS_DISTRO=([a-z|]+)", text)[0].split("|")) == DISTRIBUTIONS


def test_the_image_is_built_as_images_should_be() -> None:
    """The rules of hadolint that apply: DL3006, DL3008's companions, DL3009, DL3015, DL4006."""
    text = (DEPLOY / "Dockerfile").read_text()
    joined = text.replace("\\\n", " ")
    assert not re.search(r"^FROM \S+:latest", text, re.M)
    assert "pipefail" in text
    for line in joined.splitlines():
        if "apt-get install" in line:
            assert "--no-install-recommends" in line
            assert "apt-get update" in line and "rm -rf /var/lib/apt/lists/*" in line
    pinned = re.findall(r"\^\(([a-z_|]+)\)==", text)[0].split("|")
    versions = (ROOT / "constraints.txt").read_text()
    assert all(re.search(f"^{name}==", versions, re.M) for name in pinned)
    copied = re.findall(r"^COPY (?:--\S+ )?(\S+)", text, re.M)
    assert all((ROOT / each).exists() for each in copied)
    assert not (DEPLOY / "entrypoint.sh").read_text().count("\r")


def test_the_service_stops_launch_by_sigint() -> None:
    unit = (DEPLOY / "depth_anything.service").read_text()
    assert "KillSignal=SIGINT" in unit
    assert services()["robot"]["stop_signal"] == "SIGINT"


def test_a_release_depends_on_no_pip_key() -> None:
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    keys = {each.text or "" for tag in ("exec_depend", "test_depend") for each in package.iter(tag)}
    assert len(keys) > 20
    assert not {key for key in keys if key.endswith("-pip")}
    assert (package.findtext("version") or "") in (ROOT / "setup.py").read_text()
    for tag in ("description", "maintainer", "license"):
        assert package.findtext(tag)
