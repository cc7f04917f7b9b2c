"""The depth node over real DDS with a network whose answer is known exactly."""

from __future__ import annotations

import array
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from lifecycle_msgs.msg import Transition
from ros_harness import FRAME_ID, Consumer, NodeProcess
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from tiny_networks import red_depth, write_red_network

from depth_anything_ros.geometry.camera import Camera, project
from depth_anything_ros.node.messages import info_from_camera, nanoseconds, rgb_to_image

Start = Callable[..., NodeProcess]
SLOW_NODE = Path(__file__).parents[1] / "support" / "slow_node.py"
CAMERA = Camera(160, 120, 130.0, 131.0, 80.4, 59.2)


def picture(seed: int = 0, width: int = 160, height: int = 120) -> npt.NDArray[np.uint8]:
    ramp = np.linspace(20, 235, width)[None, :] + 10 * np.sin(np.arange(height) + seed)[:, None]
    return np.stack([ramp, ramp[:, ::-1], np.full_like(ramp, 60 + seed)], axis=2).astype(np.uint8)


def depth_of(message: Image) -> npt.NDArray[np.float32]:
    assert message.encoding == "32FC1"
    assert message.step == 4 * message.width
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def points_of(message: PointCloud2) -> npt.NDArray[np.float32]:
    assert message.row_step == message.point_step * message.width
    channels = message.point_step // 4
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width, channels)


@pytest.fixture
def metric_model(tmp_path: Path) -> Path:
    return write_red_network(tmp_path, "metric_depth")


@pytest.fixture
def relative_model(tmp_path: Path) -> Path:
    return write_red_network(tmp_path, "relative_disparity")


def test_every_output_answers_the_image(
    start: Start, consumer: Consumer, metric_model: Path
) -> None:
    start("depth_node", model=metric_model)
    consumer.subscribe("depth/image", "depth/camera_info", "points", "depth/preview")
    consumer.wait_ready()
    rgb = picture()
    stamp = consumer.send(rgb, CAMERA)
    depth = consumer.answers("depth/image", 1)[0]
    info: CameraInfo = consumer.answers("depth/camera_info", 1)[0]
    cloud: PointCloud2 = consumer.answers("points", 1)[0]
    preview: Image = consumer.answers("depth/preview", 1)[0]
    for message in (depth, info, cloud, preview):
        assert nanoseconds(message.header.stamp) == stamp
        assert message.header.frame_id == FRAME_ID
    values = depth_of(depth)
    np.testing.assert_allclose(values, red_depth(rgb), atol=1e-5)
    assert (info.width, info.height) == (depth.width, depth.height) == (160, 120)
    np.testing.assert_array_equal(info.k.reshape(3, 3), CAMERA.k)
    np.testing.assert_array_equal(info.p.reshape(3, 4)[:, :3], CAMERA.k)
    points = points_of(cloud)
    assert points.shape == (120, 160, 4)
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb"]
    u, v, z = project(CAMERA, points[..., :3].reshape(-1, 3))
    columns, rows = np.meshgrid(np.arange(160), np.arange(120))
    assert np.abs(u - columns.ravel()).max() <= 1e-3
    assert np.abs(v - rows.ravel()).max() <= 1e-3
    np.testing.assert_array_equal(z.astype(np.float32), values.ravel())
    packed = points[..., 3].copy().view(np.uint32)
    np.testing.assert_array_equal(packed >> 16 & 0xFF, rgb[..., 0])
    np.testing.assert_array_equal(packed & 0xFF, rgb[..., 2])
    assert (preview.encoding, preview.width, preview.height) == ("rgb8", 160, 120)


def test_relative_disparity_never_leaves_as_metres(
    start: Start, consumer: Consumer, relative_model: Path
) -> None:
    node = start("depth_node", model=relative_model)
    consumer.subscribe(*("depth/image", "points", "disparity/image", "depth/preview"))
    consumer.wait_ready()
    for seed in range(3):
        rgb = picture(seed)
        consumer.send(rgb, CAMERA)
        disparity = consumer.answers("disparity/image", seed + 1)[seed]
        np.testing.assert_allclose(depth_of(disparity), red_depth(rgb), atol=1e-5)
    consumer.answers("depth/preview", 3)
    for message in consumer.answers("depth/image", 3):
        assert np.isnan(depth_of(message)).all()
    for message in consumer.answers("points", 3):
        assert np.isnan(points_of(message)[..., :3]).all()
    assert consumer.set_parameters(on_invalid="drop").successful
    consumer.send(picture(3), CAMERA)
    consumer.answers("depth/preview", 4)
    assert consumer.set_parameters(on_invalid="nan").successful
    stamp = consumer.send(picture(4), CAMERA)
    for output in ("depth/image", "points"):  # the next one after the three
        assert nanoseconds(consumer.answers(output, 4)[3].header.stamp) == stamp
    assert node.log.count("no metres on ~/depth/image") == 1


def test_fixed_scale_makes_metres_of_disparity(
    start: Start, consumer: Consumer, relative_model: Path
) -> None:
    start("depth_node", model=relative_model, scaler="fixed", scale=0.05, shift=0.01)
    consumer.subscribe("depth/image")
    consumer.wait_ready()
    rgb = picture()
    consumer.send(rgb)
    depth = depth_of(consumer.answers("depth/image", 1)[0])
    np.testing.assert_allclose(depth, 1 / (0.05 * red_depth(rgb) + 0.01), rtol=1e-5)
    assert consumer.set_parameters(scale=0.1, shift=0.0).successful
    consumer.send(rgb)
    depth = depth_of(consumer.answers("depth/image", 2)[1])
    np.testing.assert_allclose(depth, 10 / red_depth(rgb), rtol=1e-5)


def test_limits_and_millimetres(start: Start, consumer: Consumer, metric_model: Path) -> None:
    start("depth_node", model=metric_model, min_range=3.0, max_range=6.0)
    consumer.subscribe("depth/image", "points")
    consumer.wait_ready()
    rgb = picture()
    truth = red_depth(rgb)
    consumer.send(rgb, CAMERA)
    depth = depth_of(consumer.answers("depth/image", 1)[0])
    inside = (truth >= 3) & (truth <= 6)
    np.testing.assert_allclose(depth[inside], truth[inside], atol=1e-5)
    assert np.isneginf(depth[truth < 2.99]).all()
    assert np.isposinf(depth[truth > 6.01]).all()
    cloud = points_of(consumer.answers("points", 1)[0])
    np.testing.assert_array_equal(np.isfinite(cloud[..., 2]), np.isfinite(depth))
    assert consumer.set_parameters(depth_encoding="16UC1", cloud_organized=False).successful
    consumer.send(rgb, CAMERA)
    message = consumer.answers("depth/image", 2)[1]
    assert message.encoding == "16UC1"
    millimetres = np.frombuffer(message.data, np.uint16).reshape(truth.shape)
    np.testing.assert_allclose(millimetres[inside] / 1000, truth[inside], atol=6e-4)
    assert (millimetres[~np.isfinite(depth)] == 0).all()
    dense: PointCloud2 = consumer.answers("points", 2)[1]
    assert dense.is_dense
    assert points_of(dense).shape == (1, int(np.isfinite(depth).sum()), 4)


def test_what_nobody_wants_is_not_computed(
    start: Start, consumer: Consumer, metric_model: Path
) -> None:
    start("depth_node", model=metric_model)
    consumer.wait_ready()
    for number in ("1", "2", "3"):
        consumer.send(picture(int(number)), CAMERA)
        consumer.wait(partial(unwanted, consumer, number), 30, "it is not counted")
    assert consumer.diagnostics["frames_out"] == "0"
    consumer.subscribe("depth/image")
    consumer.wait_ready()
    consumer.send(picture(9), CAMERA)
    consumer.answers("depth/image", 1)


def unwanted(consumer: Consumer, number: str) -> bool:
    return consumer.diagnostics.get("dropped (nobody subscribes)") == number


def test_a_newer_image_replaces_a_waiting_one(start: Start, consumer: Consumer) -> None:
    start(str(SLOW_NODE), "--seconds", "1.0", scaler="network")
    consumer.subscribe("depth/image")
    consumer.wait_ready()
    stamps: list[int] = []
    until = time.monotonic() + 120
    while int(consumer.diagnostics.get("dropped (newer image came)", "0")) < 2:
        assert time.monotonic() < until, "nothing is dropped"
        stamps.append(consumer.send(picture(len(stamps))))
        time.sleep(0.1)
    consumer.wait(
        lambda: any(
            nanoseconds(message.header.stamp) == stamps[-1]
            for message in consumer.received["depth/image"]
        ),
        60,
        "the newest image was not answered",
    )
    answered = [nanoseconds(m.header.stamp) for m in consumer.received["depth/image"]]
    assert answered == sorted(set(answered)), "an image was answered twice or out of order"
    assert set(answered) <= set(stamps)
    consumer.wait(
        lambda: consumer.diagnostics.get("frames_out") == str(len(answered)),
        30,
        f"{len(answered)} answers came but diagnostics say {consumer.diagnostics}",
    )
    counts = consumer.diagnostics
    assert int(counts["frames_in"]) == len(answered) + int(counts["frames_dropped"])
    assert int(counts["dropped (newer image came)"]) == int(counts["frames_dropped"]) > 0


def broken_images(header: object) -> dict[str, Image]:
    good = rgb_to_image(picture(), header)

    def changed(**fields: object) -> Image:
        message = Image(
            header=header,
            height=good.height,
            width=good.width,
            encoding=good.encoding,
            step=good.step,
            data=good.data,
        )
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    return {
        "encoding 'hologram8'": changed(encoding="hologram8"),
        "short data": changed(data=array.array("B", good.data[: len(good.data) // 2])),
        "zero size": changed(width=0, height=0, step=0, data=array.array("B")),
        "small step": changed(step=10),
    }


def complained(node: NodeProcess, times: int) -> bool:
    return node.log.count("image not answered") == times


def test_bad_images_are_refused_and_the_next_good_one_answered(
    start: Start, consumer: Consumer, metric_model: Path
) -> None:
    node = start("depth_node", model=metric_model)
    consumer.subscribe("depth/image")
    consumer.wait_ready()
    expected = ("'hologram8' is not known", "data has 28800 bytes", "0x0", "step is 10")
    for number, (name, message) in enumerate(broken_images(consumer.header()).items(), 1):
        consumer.send_messages(message)
        consumer.wait(
            partial(complained, node, number), 30, f"{name}: the node did not say what is wrong"
        )
        words = node.log.rsplit("image not answered", 1)[1]
        print(f"{name}: {words.strip()}")
        assert expected[number - 1] in words
        rgb = picture(number)
        stamp = consumer.send(rgb)
        answer = consumer.answers("depth/image", number)[-1]
        assert nanoseconds(answer.header.stamp) == stamp
        np.testing.assert_allclose(depth_of(answer), red_depth(rgb), atol=1e-5)
    assert node.alive
    assert "Traceback" not in node.log


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("zero K", "not calibrated"),
        ("other size", "camera_info is for 80x60 but the image is 160x120"),
        ("none", "no camera_info on /camera_info"),
    ],
)
def test_without_a_usable_camera_info_depth_comes_but_no_cloud(
    start: Start, consumer: Consumer, metric_model: Path, case: str, words: str
) -> None:
    node = start("depth_node", model=metric_model, camera_info_timeout=0.05)
    consumer.subscribe("depth/image", "points", "depth/camera_info")
    consumer.wait_ready()
    for count in range(1, 4):
        header = consumer.header()
        info = None
        if case == "zero K":
            info = CameraInfo(header=header, width=160, height=120)
        elif case == "other size":
            info = info_from_camera(CAMERA.resized(80, 60), header)
        rgb = picture(count)
        consumer.send_messages(rgb_to_image(rgb, header), info)
        depth = consumer.answers("depth/image", count)[-1]
        np.testing.assert_allclose(depth_of(depth), red_depth(rgb), atol=1e-5)
    consumer.wait(lambda: words in node.log, 30, "no word of it")
    assert node.log.count(words) == 1
    assert consumer.received["points"] == []
    assert consumer.received["depth/camera_info"] == []
    consumer.send(picture(), CAMERA)
    consumer.answers("points", 1)
    assert node.alive


def test_images_wait_for_their_camera_info(
    start: Start, consumer: Consumer, metric_model: Path
) -> None:
    start("depth_node", model=metric_model, camera_info_timeout=10.0)
    consumer.subscribe("depth/image", "points")
    consumer.wait_ready()
    header = consumer.header()
    consumer.send_messages(rgb_to_image(picture(), header))
    consumer.settle()
    assert consumer.received["depth/image"] == []
    consumer._infos.publish(info_from_camera(CAMERA, header))
    consumer.answers("points", 1)


def test_a_wrong_model_path_can_be_mended_while_the_node_runs(
    start: Start, consumer: Consumer, metric_model: Path, tmp_path: Path
) -> None:
    node = start("depth_node", model=tmp_path / "nowhere.onnx")
    consumer.wait(lambda: "cannot configure" in node.log, 30, "the node said nothing")
    assert "nowhere.onnx' does not exist" in node.log
    assert consumer.state() == "unconfigured"
    assert consumer.set_parameters(model=str(metric_model)).successful
    assert consumer.change_state(Transition.TRANSITION_CONFIGURE)
    assert consumer.state() == "inactive"
    consumer.subscribe("depth/image")
    assert consumer.change_state(Transition.TRANSITION_ACTIVATE)
    consumer.wait_ready()
    consumer.send(picture())
    consumer.answers("depth/image", 1)


def test_the_lifecycle_stops_frees_and_starts_again(
    start: Start, consumer: Consumer, metric_model: Path
) -> None:
    node = start("depth_node", model=metric_model, autostart=False)
    assert consumer.state() == "unconfigured"
    consumer.subscribe("depth/image")
    for round_ in range(2):
        assert consumer.change_state(Transition.TRANSITION_CONFIGURE)
        assert consumer.change_state(Transition.TRANSITION_ACTIVATE)
        consumer.wait_ready()
        consumer.send(picture())
        consumer.answers("depth/image", round_ + 1)
        assert consumer.change_state(Transition.TRANSITION_DEACTIVATE)
        consumer.wait(
            lambda: consumer.node.count_subscribers("/image") == 0, 30, "image is still subscribed"
        )
        consumer.send(picture())
        assert consumer.change_state(Transition.TRANSITION_CLEANUP)
        assert consumer.state() == "unconfigured"
        assert len(consumer.received["depth/image"]) == round_ + 1
    assert node.stop() == 0
    assert "Traceback" not in node.log


def test_parameters_are_checked_together_and_explained(
    start: Start, consumer: Consumer, metric_model: Path
) -> None:
    start("depth_node", model=metric_model)
    consumer.wait_ready()
    refused = consumer.set_parameters(min_range=5.0, max_range=2.0, cloud_stride=4)
    assert not refused.successful
    assert "max_range is 2 m but min_range is 5 m" in refused.reason
    assert consumer.get_parameter("cloud_stride").integer_value == 1
    assert consumer.set_parameters(min_range=1.0, max_range=2.0, cloud_stride=4).successful
    refused = consumer.set_parameters(depth_encoding="8UC1")
    assert "depth_encoding is '8UC1'; use one of 32FC1, 16UC1" in refused.reason
    assert not consumer.set_parameters(cloud_stride=0).successful
    assert not consumer.set_parameters(autostart=False).successful
    refused = consumer.set_parameters(scaler="fixed")
    assert "scaler is 'fixed' but scale is 0" in refused.reason
    described = consumer.describe_parameter("cloud_stride")
    assert described.description
    assert described.integer_range[0].from_value == 1


def test_an_impossible_start_parameter_is_one_clear_line(start: Start, metric_model: Path) -> None:
    node = start("depth_node", model=metric_model, depth_encoding="8UC1")
    assert node.wait(30) == 1
    assert "depth_encoding is '8UC1'; use one of 32FC1, 16UC1" in node.log
    assert "Traceback" not in node.log


def offered(consumer: Consumer, topic: str) -> list[str]:
    """Reliability of each publisher of a topic that discovery has seen."""
    found = consumer.node.get_publishers_info_by_topic(topic)
    return [publisher.qos_profile.reliability.name for publisher in found]


def test_quality_of_service_can_be_overridden(
    start: Start, consumer: Consumer, metric_model: Path
) -> None:
    start(
        "depth_node",
        model=metric_model,
        **{"qos_overrides./depth_anything/depth/image.publisher.reliability": "best_effort"},
    )
    wanted = {
        "/depth_anything/depth/image": ["BEST_EFFORT"],
        "/depth_anything/points": ["RELIABLE"],
    }
    consumer.wait(
        lambda: {topic: offered(consumer, topic) for topic in wanted} == wanted,
        30,
        "the outputs do not offer what was asked",
    )
