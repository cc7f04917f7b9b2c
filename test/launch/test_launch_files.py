"""The launch files, started for real where ROS 2 with launch and this package is installed."""

from __future__ import annotations

import importlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from ros_harness import DOMAIN
from tiny_networks import write_red_network

from depth_anything_ros.node.doctor.checks import Diagnosis, check_graph

pytest.importorskip("launch_ros", reason="launch_ros comes with a ROS 2 installation")

NAMES = ("depth_anything", "multi_camera", "lidar_fusion", "nav2_costmap", "demo")
Launch = Callable[..., None]


def share() -> Path:
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    try:
        return Path(get_package_share_directory("depth_anything_ros"))
    except PackageNotFoundError:
        pytest.skip("depth_anything_ros is not installed with colcon")


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launch]:
    """Start launch files as a person does; they are stopped with SIGINT after the test."""
    share()
    command = shutil.which("ros2")
    if command is None:
        pytest.skip("ros2 is not installed")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    log = tmp_path / "launch.log"
    running: list[subprocess.Popen[bytes]] = []

    def start(name: str, **arguments: object) -> None:
        given = [f"{key}:={value}" for key, value in arguments.items()]
        with log.open("wb") as sink:
            running.append(
                subprocess.Popen(
                    [str(command), "launch", "depth_anything_ros", f"{name}.launch.py", *given],
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    yield start
    for process in running:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    print(log.read_text(errors="replace"))


def wait_for(condition: Callable[[Diagnosis], bool]) -> Diagnosis:
    """Look at the graph until it is as wanted."""
    until = time.monotonic() + 120
    while not condition(diagnosis := check_graph(seconds=2.0)):
        assert time.monotonic() < until, diagnosis
    return diagnosis


def sentences_of(diagnosis: Diagnosis) -> list[str]:
    return [finding.sentence for finding in diagnosis.findings]


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_described(name: str) -> None:
    sources = importlib.import_module("launch.launch_description_sources")
    path = share() / "launch" / f"{name}.launch.py"
    description = sources.get_launch_description_from_python_launch_file(str(path))
    texts = {each.name: each.description for each in description.get_launch_arguments()}
    assert {"model", "params_file", "image", "rviz", "use_sim_time"} <= set(texts)
    for argument, text in texts.items():
        assert text.endswith("."), f"{argument}: {text}"


def test_one_camera_with_what_was_given_on_top_of_a_preset(launch: Launch, tmp_path: Path) -> None:
    model = write_red_network(tmp_path, "metric_depth")
    extrinsics = "[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]"
    launch(
        "lidar_fusion",
        model=model,
        image="/cam/image_raw",
        points="/velodyne_points",
        sensor_extrinsics=extrinsics,
        namespace="robot1",
    )
    missing = "nobody publishes /cam/image_raw"
    diagnosis = wait_for(lambda seen: any(text.startswith(missing) for text in sentences_of(seen)))
    print(diagnosis)
    assert diagnosis.nodes[0].startswith(
        f"/robot1/depth_anything: active, model {model.stem} on cpu, scaler sparse"
    )


def test_several_cameras(launch: Launch, tmp_path: Path) -> None:
    model = write_red_network(tmp_path, "metric_depth")
    launch("multi_camera", model=model, cameras="left,right", image="image_raw")

    def both_are_missing(seen: Diagnosis) -> bool:
        missing = [text for text in sentences_of(seen) if text.startswith("nobody publishes")]
        topics = [text.split()[2].strip(",;") for text in missing]
        return topics == ["/left/image_raw", "/right/image_raw"]

    print(wait_for(both_are_missing))


def answers(diagnosis: Diagnosis) -> bool:
    """Whether a node is active and images come in."""
    return any(": active" in node and ", 0.00 Hz in" not in node for node in diagnosis.nodes)


def test_demo_with_pictures(launch: Launch, tmp_path: Path) -> None:
    model = write_red_network(tmp_path, "metric_depth")
    cv2.imwrite(str(tmp_path / "picture.png"), np.full((120, 160, 3), 90, np.uint8))
    launch("demo", model=model, images=tmp_path / "picture.png", rviz="false")
    diagnosis = wait_for(answers)
    assert not any("/image" in finding.sentence for finding in diagnosis.findings), diagnosis


def test_demo_with_a_robot_of_two_cameras(launch: Launch, tmp_path: Path) -> None:
    model = write_red_network(tmp_path, "metric_depth")
    launch("demo", model=model, cameras="front,left", rviz="false", seed=3)
    diagnosis = wait_for(answers)
    print(diagnosis)
    assert not any("/image" in finding.sentence for finding in diagnosis.findings), diagnosis
    assert not any("cannot be used" in finding.sentence for finding in diagnosis.findings)


def nodes_of(launch_file: str, /, **arguments: str) -> dict[str, Any]:
    """The nodes that a launch file would start, by executable, with nothing started."""
    launch = importlib.import_module("launch")
    actions = importlib.import_module("launch_ros.actions")
    sources = importlib.import_module("launch.launch_description_sources")
    file = str(share() / "launch" / f"{launch_file}.launch.py")
    description = sources.get_launch_description_from_python_launch_file(file)
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    found: dict[str, Any] = {}
    waiting = list(description.entities)
    while waiting:
        entity = waiting.pop(0)
        if isinstance(entity, actions.Node):
            found[str(entity.node_executable)] = entity
        elif type(entity).__name__ == "LogInfo":
            found.setdefault("said", []).append(
                "".join(part.perform(context) for part in entity.msg)
            )
        else:
            waiting = list(entity.visit(context) or []) + waiting
    return found


def test_optional_parts_that_are_missing_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = importlib.import_module("ament_index_python.packages")

    def missing(package: str) -> str:
        raise packages.PackageNotFoundError(package)

    monkeypatch.setattr(packages, "get_package_prefix", missing)
    found = nodes_of("nav2_costmap", rviz="true")
    assert set(found) == {"depth_node", "said"}
    assert sorted(found["said"]) == [
        "nav2_costmap_2d and nav2_lifecycle_manager not installed: the costmap is left out",
        "rviz2 is not installed, so it is left out",
    ]


@pytest.mark.parametrize(
    ("namespace", "name", "node"),
    [
        ("", "depth_anything", "/depth_anything"),
        ("robot1", "depth_anything", "/robot1/depth_anything"),
        ("robot1", "eyes", "/robot1/eyes"),
    ],
)
def test_the_costmap_listens_to_the_node(
    monkeypatch: pytest.MonkeyPatch, namespace: str, name: str, node: str
) -> None:
    packages = importlib.import_module("ament_index_python.packages")
    here = packages.get_package_prefix("depth_anything_ros")
    monkeypatch.setattr(packages, "get_package_prefix", lambda package: here)
    found = nodes_of("nav2_costmap", rviz="true", namespace=namespace, name=name)
    assert set(found) == {"depth_node", "rviz2", "nav2_costmap_2d", "lifecycle_manager"}
    launch = importlib.import_module("launch")

    def plain(pairs: Any) -> dict[str, str]:
        context = launch.LaunchContext()
        texts = [["".join(p.perform(context) for p in part) for part in pair] for pair in pairs]
        return dict(texts)

    costmap = found["nav2_costmap_2d"]
    assert plain(costmap._Node__remappings) == {
        "/depth_anything/points": f"{node}/points",
        "/depth_anything/clearing_points": f"{node}/clearing_points",
        "/depth_anything/dropoffs": f"{node}/dropoffs",
    }
    shown = plain(found["rviz2"]._Node__remappings)
    points = shown.get("depth_anything/points", "depth_anything/points")
    assert f"/{namespace}/{points}".replace("//", "/") == f"{node}/points"
