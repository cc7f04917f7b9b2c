"""`depth_anything doctor` names what was broken on purpose, in a real graph with the real node."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_harness import DOMAIN, RELIABLE, Consumer, NodeProcess, eventually
from sensor_msgs.msg import CameraInfo, Image
from tiny_networks import write_red_network

from depth_anything_ros.cli.commands import doctor
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import Cloud
from depth_anything_ros.node.doctor.checks import Diagnosis, check_graph
from depth_anything_ros.node.doctor.findings import Finding, Level
from depth_anything_ros.node.doctor.machine import check_machine
from depth_anything_ros.node.doctor.topics import near_names
from depth_anything_ros.node.messages import cloud_to_message, info_from_camera, rgb_to_image
from depth_anything_ros.node.runtime.shared_memory import FOLDER, leaked_segments

Start = Callable[..., NodeProcess]
CAMERA = Camera(160, 120, 130.0, 131.0, 80.4, 59.2)
PICTURE = np.full((120, 160, 3), 90, np.uint8)
HOLDS_A_SEGMENT = """
import rclpy, sys
rclpy.init(); node = rclpy.create_node("to_be_killed"); print("ready", flush=True); sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def same_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


@contextlib.contextmanager
def repeated(action: Callable[[], object]) -> Iterator[None]:
    """Do something ten times a second in the background."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(0.1):
            action()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def send(consumer: Consumer, info: CameraInfo, seconds: float = 0.0) -> Callable[[], None]:
    """Sends a picture with this camera_info, stamped so many seconds from now."""

    def action() -> None:
        info.header = consumer.header(seconds=seconds)
        consumer.send_messages(rgb_to_image(PICTURE, info.header), info)

    return action


def info_of(consumer: Consumer, camera: Camera = CAMERA) -> CameraInfo:
    return info_from_camera(camera, consumer.header())


def wait_active(consumer: Consumer) -> None:
    consumer.wait(lambda: consumer.state() == "active", 60, "the node never became active")


def silence(consumer: Consumer) -> None:
    """Destroy the consumer's publisher of images."""
    for publisher in list(consumer.node.publishers):
        if publisher.topic_name == "/image":
            consumer.node.destroy_publisher(publisher)


def only(findings: list[Finding], level: Level = Level.PROBLEM) -> Finding:
    """The only finding of a level."""
    chosen = [finding for finding in findings if finding.level is level]
    assert len(chosen) == 1, findings
    print(f"{chosen[0].level.value}: {chosen[0].sentence}\n  remedy: {chosen[0].remedy}")
    return chosen[0]


@pytest.fixture
def metric_model(tmp_path: Path) -> Path:
    return write_red_network(tmp_path, "metric_depth")


def test_a_healthy_node_is_called_healthy(
    start: Start,
    consumer: Consumer,
    metric_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Whatever is wrong with the machine of the test is no matter of the node.
    monkeypatch.setattr("depth_anything_ros.node.doctor.machine.check_machine", list)
    start("depth_node", model=metric_model)
    consumer.subscribe("depth/image")
    consumer.wait_ready()
    with repeated(send(consumer, info_of(consumer))):
        capsys.readouterr()

        def healthy() -> str:
            assert doctor.diagnose()
            return capsys.readouterr().out

        said = eventually(healthy)
        assert "/depth_anything: active, model metric_depth_0 on " in said
        assert "problem" not in said
        assert "healthy" in said.splitlines()[-1]
        assert not doctor.diagnose("elsewhere")
    said = capsys.readouterr().out
    assert "problem: no depth node is in namespace 'elsewhere'" in said
    assert "remedy: there is /depth_anything" in said


def test_without_a_node(consumer: Consumer) -> None:
    def check() -> None:
        diagnosis = check_graph(seconds=0.1)
        assert diagnosis.nodes == []
        finding = only(diagnosis.findings)
        assert f"no depth node answers in domain {DOMAIN}" in finding.sentence
        assert "/consumer" in finding.sentence
        assert "ROS_DOMAIN_ID" in finding.remedy

    eventually(check)


def test_missing_image_names_what_there_is(
    start: Start, consumer: Consumer, metric_model: Path
) -> None:
    silence(consumer)
    consumer.node.create_publisher(Image, "/front/image_raw", RELIABLE)
    consumer.node.create_publisher(Image, "/thermal/picture", RELIABLE)
    start("depth_node", model=metric_model)
    consumer.subscribe("depth/image")
    wait_active(consumer)
    finding = eventually(lambda: only(check_graph(seconds=1.5).findings))
    assert finding.sentence.startswith("nobody publishes /image; there is /front/image_raw")
    assert "image:=/front/image_raw" in finding.remedy


def test_reliability_that_does_not_match(
    start: Start, consumer: Consumer, metric_model: Path
) -> None:
    silence(consumer)
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    images = consumer.node.create_publisher(Image, "image", best_effort)
    start("depth_node", model=metric_model, image_reliability="reliable")
    consumer.subscribe("depth/image")
    wait_active(consumer)

    def mismatch() -> Finding:
        found = [f for f in check_graph(seconds=2).findings if "do not match" in f.sentence]
        assert len(found) == 1, found
        return found[0]

    with repeated(lambda: images.publish(rgb_to_image(PICTURE, consumer.header()))):
        finding = eventually(mismatch)
    assert finding.sentence == (
        "/consumer and /depth_anything do not match on /image: best effort publisher and reliable "
        "subscription"
    )
    assert "image_reliability" in finding.remedy


def test_what_is_wrong_with_a_camera(start: Start, consumer: Consumer, metric_model: Path) -> None:
    start("depth_node", model=metric_model)
    consumer.wait_ready()
    with repeated(send(consumer, info_of(consumer))):
        finding = eventually(
            lambda: only(without_device(check_graph("/depth_anything")), Level.WARNING)
        )
    assert "nobody subscribes to an output of /depth_anything" in finding.sentence
    consumer.subscribe("depth/image")
    with repeated(send(consumer, info_of(consumer), seconds=-5.0)):
        finding = eventually(lambda: late(only(without_device(check_graph()), Level.WARNING)))
    assert "s behind the clock of this machine" in finding.sentence
    with repeated(send(consumer, CameraInfo(width=160, height=120))):
        finding = eventually(lambda: only(check_graph().findings))
    assert "/camera_info has K = 0" in finding.sentence
    with repeated(send(consumer, info_of(consumer, Camera(320, 240, 260.0, 260.0, 160.0, 120.0)))):
        finding = eventually(lambda: only(check_graph().findings))
    assert "/camera_info is for 320x240 but images on /image are 160x120" in finding.sentence


def late(finding: Finding) -> Finding:
    """The finding, which must be that of late stamps."""
    assert finding.sentence.startswith("stamps on /image are 5."), finding
    return finding


def without_device(diagnosis: Diagnosis) -> list[Finding]:
    """All but the advice to use the GPU of the machine that runs the test."""
    return [finding for finding in diagnosis.findings if "GPU" not in finding.sentence]


def test_relative_model_without_scale_and_points_without_place(
    start: Start, consumer: Consumer, tmp_path: Path
) -> None:
    start("depth_node", model=write_red_network(tmp_path, "relative_disparity"))
    consumer.subscribe("depth/image")
    consumer.wait_ready()
    with repeated(send(consumer, info_of(consumer))):
        consumer.wait(lambda: "scale_quality" in consumer.diagnostics, 30, "no answer")
        finding = eventually(lambda: only(check_graph().findings))
        assert "gives relative disparity and scaler auto makes no metres of it" in finding.sentence
        assert "nobody publishes /points" in finding.sentence
        assert "cloud_topics" in finding.remedy
        cloud = Cloud(np.random.default_rng(0).random((1, 50, 3), np.float32))

        def points() -> None:
            consumer.publish("points", cloud_to_message(cloud, consumer.header("lidar")))

        def unusable() -> None:
            sentences = [finding.sentence for finding in check_graph().findings]
            said = [s for s in sentences if s.startswith("points of /points cannot be used: ")]
            assert said, sentences

        with repeated(points):
            eventually(unusable)


def test_several_cameras_and_a_mask(start: Start, consumer: Consumer, metric_model: Path) -> None:
    names = {"left": info_of(consumer), "right": info_of(consumer, Camera(320, 240, 1, 1, 0, 0))}
    images = {name: consumer.node.create_publisher(Image, f"{name}/image", 1) for name in names}
    masks = {name: consumer.node.create_publisher(Image, f"{name}/mask", 1) for name in names}
    infos = {
        name: consumer.node.create_publisher(CameraInfo, f"{name}/camera_info", 1) for name in names
    }

    def send_all() -> None:
        for name, info in names.items():
            info.header = consumer.header()
            infos[name].publish(info)
            for publisher in (images[name], masks[name]):
                publisher.publish(rgb_to_image(PICTURE, info.header))

    start("depth_node", model=metric_model, cameras="[left, right, rear]")
    wait_active(consumer)

    def check() -> None:
        findings = check_graph().findings
        found = [f.sentence for f in findings if f.level is Level.PROBLEM]
        assert [sentence.split(":")[0].split(";")[0] for sentence in found] == [
            "nobody publishes /rear/image",
            "/right/camera_info is for 320x240 but images on /right/image are 160x120",
        ]

    with repeated(send_all):
        eventually(check)


def test_node_that_could_not_start(start: Start, consumer: Consumer, tmp_path: Path) -> None:
    missing = tmp_path / "moved_away.onnx"
    start("depth_node", model=missing, use_sim_time=True)
    consumer.wait(lambda: consumer.state() == "unconfigured", 30, "the node never came up")

    def check() -> None:
        assert [finding.sentence for finding in check_graph(seconds=1).findings] == [
            "/depth_anything has use_sim_time, but nobody publishes /clock: its time stands still",
            f"parameter model of /depth_anything is '{missing}', which is not on this machine",
            "/depth_anything is unconfigured: no model is loaded",
        ]

    eventually(check)


def test_large_images_without_a_profile(
    start: Start,
    consumer: Consumer,
    metric_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start("depth_node", model=metric_model)
    consumer.wait_ready()
    profile = tmp_path / "nothing_special.xml"
    profile.write_text('<dds xmlns="http://www.eprosima.com"><profiles/></dds>')
    for variable in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.setenv(variable, str(profile))
    picture = tmp_path / "large.png"
    cv2.imwrite(str(picture), np.full((480, 640, 3), 90, np.uint8))
    start("image_player", path=picture, loop=True, rate=10.0, hfov=60.0)
    consumer.subscribe("depth/image")
    consumer.answers("depth/image", 1)

    def check() -> None:
        sentences = [f.sentence for f in check_graph().findings if "shared memory" in f.sentence]
        assert [sentence.split(": Fast")[0] for sentence in sentences] == [
            "images on /image have 0.9 MB, but the shared memory of /image_player holds 0.5 MB"
        ]

    eventually(check)


def test_segments_of_a_killed_node_are_told_from_those_in_use() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_SEGMENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    opened = [file.readlink() for file in Path(f"/proc/{process.pid}/fd").iterdir()]
    locks = [path for path in opened if path.name.endswith("_el") and "port" not in path.name]
    segments = {path.with_name(path.name.removesuffix("_el")) for path in locks}
    assert segments, "the middleware in use has no shared memory"
    try:
        assert segments.isdisjoint(leaked_segments(FOLDER))
    finally:
        process.kill()
        process.wait()
    leaked = set(leaked_segments(FOLDER))
    for path in (*segments, *locks):
        path.unlink()
    assert segments <= leaked


def test_full_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(64_000_000, 60_000_000, 4_000_000))
    finding = only(check_machine({}, tmp_path))
    assert f"{tmp_path} has only 4 MB of 64 MB free" in finding.sentence
    assert "--shm-size=1g" in finding.remedy
    (tmp_path / "fastrtps_0123456789abcdef").write_bytes(bytes(3_000_000))
    (tmp_path / "fastrtps_0123456789abcdef_el").touch()
    finding = only(check_machine({}, tmp_path))
    assert "3 MB of it held by nodes that were killed" in finding.sentence


def test_wheels_beside_a_sourced_installation(tmp_path: Path) -> None:
    names = {
        (d.metadata["Name"] or "").replace("_", "-") for d in importlib.metadata.distributions()
    }
    if not names & {"ros-jazzy-rclpy", "ros-kilted-rclpy"}:
        pytest.skip("rclpy is not from PyPI here")
    sourced = {"AMENT_PREFIX_PATH": "/opt/ros/jazzy", "PYTHONPATH": "/home/robot/lib"}
    finding = only(check_machine(sourced, tmp_path / "none"))
    assert "AMENT_PREFIX_PATH also leads to /opt/ros" in finding.sentence
    assert check_machine({"AMENT_PREFIX_PATH": sys.prefix}, tmp_path / "none") == []


class Nearness(NamedTuple):
    name: str
    best: str


@pytest.mark.parametrize(
    "case",
    [
        Nearness("/image", "/image_raw"),
        Nearness("/front/image", "/front/image_raw"),
        Nearness("/camera/color/image_raw", "/camera/camera/color/image_raw"),
    ],
)
def test_nearest_names(case: Nearness) -> None:
    existing = [
        "/rear/thermal",
        "/front/image_raw",
        "/camera/camera/color/image_raw",
        "/image_raw",
        "/map/preview",
    ]
    found = near_names(case.name, existing)
    assert found[0] == case.best
    assert len(found) == 3
