"""What consumers of the depth ask for: scans, clearing points, confidence, objects."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ros_harness import FRAME_ID, RELIABLE, Consumer, NodeProcess
from sensor_msgs.msg import Image, LaserScan, PointCloud2
from std_msgs.msg import Header
from tiny_networks import OFFSET, SLOPE, red_depth, write_red_network
from visualization_msgs.msg import Marker, MarkerArray

from depth_anything_ros.formats.depth_files import read_depth
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.formats.point_cloud2 import read_xyz
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.metric.uncertainty import UNMEASURED
from depth_anything_ros.node.messages import info_from_camera, rgb_to_image

Start = Callable[..., NodeProcess]
CAMERA = Camera(160, 120, 130.0, 130.0, 79.5, 59.5)
LEVEL = "[0, 0.8, 0, 0.5, -0.5, 0.5, 0.5]"
"""Brings points of a level frame 0.8 m below the camera into the optical frame."""


def depth_of(message: Image) -> npt.NDArray[np.float32]:
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def fields_of(cloud: PointCloud2) -> dict[str, npt.NDArray[np.float32]]:
    """The fields of a cloud, read by the definition of PointCloud2 alone."""
    raw = bytes(cloud.data)
    count = cloud.width * cloud.height
    return {
        field.name: np.array(
            [
                np.frombuffer(raw, "<f4", 1, index * cloud.point_step + field.offset)[0]
                for index in range(count)
            ]
        )
        for field in cloud.fields
    }


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_red_network(tmp_path, "metric_depth")


def kept(consumer: Consumer, kind: type, topic: str) -> list[Any]:
    """Messages of a topic of the depth node that the harness does not know."""
    messages: list[Any] = []
    consumer.node.create_subscription(kind, f"depth_anything/{topic}", messages.append, RELIABLE)
    return messages


def points_of(cloud: PointCloud2) -> npt.NDArray[np.float32]:
    """x, y, z of a cloud, Nx3."""
    layout = [(field.name, field.offset, field.datatype) for field in cloud.fields]
    size = (cloud.width, cloud.height, cloud.point_step, cloud.row_step)
    return np.asarray(read_xyz(cloud.data, layout, *size), np.float32)


def floor_with_a_hole(edge: float, height: float, drop: float) -> npt.NDArray[np.uint8]:
    """What `write_red_network` sees as a floor that lies lower from some metres ahead on."""
    y = (np.arange(120) - 59.5) / 130
    with np.errstate(divide="ignore"):
        floor, lower = (np.where(y > 0, high / y, 9.0) for high in (height, height + drop))
    depth = np.where(floor <= edge, floor, np.minimum(lower, 9.0))
    rgb = np.zeros((120, 160, 3), np.uint8)
    rgb[..., 0] = np.rint((depth[:, None] - OFFSET) / SLOPE * 255)
    return rgb


def test_a_scan_of_a_wall_what_may_be_cleared_and_where_the_ground_ends(
    start: Start, consumer: Consumer, model: Path
) -> None:
    start(
        "depth_node",
        model=model,
        max_range=6.0,
        scan_frame="level",
        scan_min_height=0.5,
        scan_max_height=1.1,
        sensor_extrinsics=f'"{{level: {LEVEL}}}"',
        camera_height=0.8,
    )
    scans = kept(consumer, LaserScan, "scan")
    dropoffs = kept(consumer, PointCloud2, "dropoffs")
    clearing = kept(consumer, PointCloud2, "clearing_points")
    consumer.wait_ready()
    # The left half is a wall at 3 m, the right half is 9 m away: beyond max_range.
    rgb = np.zeros((120, 160, 3), np.uint8)
    rgb[:, :80, 0], rgb[:, 80:, 0] = 64, 255
    near = float(red_depth(rgb)[0, 0])
    consumer.send(rgb, CAMERA)
    consumer.wait(lambda: bool(scans and clearing), 30, "no scan or no clearing points")
    scan: LaserScan = scans[0]
    assert scan.header.frame_id == "level"
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    ranges = np.array(scan.ranges)
    left = (angles > math.radians(3)) & (angles < math.radians(29))
    right = (angles < -math.radians(3)) & (angles > -math.radians(29))
    np.testing.assert_allclose(ranges[left] * np.cos(angles[left]), near, rtol=0.01)
    assert np.isposinf(ranges[right]).all(), "seen to be free up to max_range (REP-117)"
    points = points_of(clearing[0])
    assert len(points) > 100
    np.testing.assert_allclose(points[:, 2], 6.0, rtol=1e-6)
    assert (points[:, 0] > -0.1).all(), "only where depth is beyond the range"
    answered = len(dropoffs)
    consumer.send(floor_with_a_hole(2.5, 0.8, 1.0), CAMERA)
    consumer.wait(lambda: len(dropoffs) > answered, 30, "no drop-offs")
    hole = points_of(dropoffs[-1])
    assert len(hole) > 100
    np.testing.assert_allclose(hole[:, 1], 0.8, atol=0.01)  # on the ground plane
    assert 2.3 < hole[:, 2].min() < 2.8
    assert hole[:, 2].max() <= 6.0


def test_confidence_finds_the_errors_of_a_real_network(
    start: Start, consumer: Consumer, data_dir: Path
) -> None:
    start(
        "depth_node",
        model=data_dir / "fastdepth" / "fastdepth_7.onnx",
        cloud_confidence=True,
        cloud_sigma=True,
    )
    consumer.subscribe("depth/image", "depth/sigma", "confidence/image", "points")
    consumer.wait_ready()
    ratios = []
    for number, name in enumerate(("00000", "00050"), 1):
        rgb = read_image(data_dir / "nyu" / f"rgb_{name}.jpg")
        truth = read_depth(data_dir / "nyu" / f"sync_depth_{name}.png")
        consumer.send(rgb, Camera(640, 480, 518.86, 519.47, 325.58, 253.74))
        confidence = depth_of(consumer.answers("confidence/image", number)[-1])
        depth = depth_of(consumer.answers("depth/image", number)[-1])
        assert confidence.min() >= 0.0
        assert confidence.max() <= 1.0
        error = np.abs(depth / truth - 1)
        known = np.isfinite(error)
        flagged = known & (confidence <= np.quantile(confidence[known], 0.1))
        ratios.append(float(error[flagged].mean() / error[known & ~flagged].mean()))
    print(f"error of the doubtful tenth over that of the rest: {ratios}")
    assert min(ratios) >= 2.0
    cloud = consumer.answers("points", 2)[-1]
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb", "confidence", "sigma"]
    values = np.frombuffer(cloud.data, np.float32).reshape(480, 640, 6)[..., 4:]
    np.testing.assert_array_equal(values[..., 0], confidence)
    sigma = depth_of(consumer.answers("depth/sigma", 2)[-1])
    np.testing.assert_array_equal(values[..., 1], sigma)
    np.testing.assert_allclose(sigma, UNMEASURED * depth, rtol=1e-6)  # a metric network's own
    least = float(np.quantile(confidence, 0.2))
    assert consumer.set_parameters(min_confidence=least).successful
    consumer.send(rgb, Camera(640, 480, 518.86, 519.47, 325.58, 253.74))
    depth = depth_of(consumer.answers("depth/image", 3)[-1])
    confidence = depth_of(consumer.answers("confidence/image", 3)[-1])
    np.testing.assert_array_equal(np.isnan(depth), confidence < np.float32(least))


def test_other_models_vote_as_experts(start: Start, consumer: Consumer, tmp_path: Path) -> None:
    model = write_red_network(tmp_path, "metric_depth")
    same = write_red_network(tmp_path, "metric_depth", heavy_layers=1)
    start("depth_node", model=model, experts=f"[{same}]")
    consumer.subscribe("confidence/image")
    consumer.wait_ready()
    rgb = np.zeros((120, 160, 3), np.uint8)
    rgb[..., 0] = np.linspace(10, 240, 160)
    consumer.send(rgb, CAMERA)
    confidence = depth_of(consumer.answers("confidence/image", 1)[0])
    assert (confidence > 0.999).all(), "experts that say the same leave no doubt"


def test_clouds_are_what_the_message_definition_says(
    start: Start, consumer: Consumer, model: Path
) -> None:
    start("depth_node", model=model, cloud_organized=False, cloud_stride=8, edge_angle_deg=0.0)
    consumer.subscribe("points")
    consumer.wait_ready()
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)
    rgb[..., 0] = np.linspace(10, 240, 160).astype(np.uint8)
    consumer.send(rgb, CAMERA)
    cloud: PointCloud2 = consumer.answers("points", 1)[0]
    assert cloud.header.frame_id == FRAME_ID
    assert len(cloud.data) == cloud.row_step * cloud.height
    fields = fields_of(cloud)
    x, y = np.broadcast_arrays(*ray_table(CAMERA))
    depth = red_depth(rgb)[::8, ::8].ravel()
    np.testing.assert_allclose(fields["z"], depth, atol=1e-5)
    np.testing.assert_allclose(fields["x"], x[::8, ::8].ravel() * depth, atol=1e-5)
    np.testing.assert_allclose(fields["y"], y[::8, ::8].ravel() * depth, atol=1e-5)
    packed = fields["rgb"].view(np.uint32)
    np.testing.assert_array_equal(packed >> 8 & 0xFF, rgb[::8, ::8, 1].ravel())


@pytest.mark.ros_install
def test_clouds_are_read_by_the_ros_reader(start: Start, consumer: Consumer, model: Path) -> None:
    reader = pytest.importorskip("sensor_msgs_py.point_cloud2", reason="sensor_msgs_py is not here")
    start("depth_node", model=model, edge_angle_deg=0.0)
    consumer.subscribe("points")
    consumer.wait_ready()
    rgb = np.full((120, 160, 3), 100, np.uint8)
    consumer.send(rgb, CAMERA)
    cloud = consumer.answers("points", 1)[0]
    theirs = reader.read_points_numpy(cloud, ["x", "y", "z"])
    np.testing.assert_allclose(theirs[:, 2], red_depth(rgb).ravel(), atol=1e-5)


def test_objects_of_a_mask_become_clouds_and_markers(
    start: Start, consumer: Consumer, model: Path
) -> None:
    start("depth_node", model=model)
    points = kept(consumer, PointCloud2, "objects/points")
    markers = kept(consumer, MarkerArray, "objects/markers")
    consumer.wait_ready()
    # Two boards that face the camera, at 3 m and at 5 m, before a wall at 9 m.
    rgb = np.full((120, 160, 3), 255, np.uint8)
    labels = np.zeros((120, 160), np.uint8)
    rgb[40:80, 20:60, 0], labels[40:80, 20:60] = 64, 7
    rgb[30:90, 90:140, 0], labels[30:90, 90:140] = 128, 9
    header = consumer.header()
    consumer.send_messages(rgb_to_image(rgb, header), info_from_camera(CAMERA, header))
    time.sleep(0.3)  # the segmenter is slower than the depth network
    mask = Image(
        header=Header(stamp=header.stamp, frame_id=header.frame_id),
        height=120,
        width=160,
        encoding="mono8",
        step=160,
        data=labels.tobytes(),
    )
    consumer.publish("mask", mask)
    consumer.wait(lambda: bool(points and markers), 30, "no objects")
    fields = fields_of(points[0])
    for label, red, area in ((7, 64, 1600), (9, 128, 3000)):
        distance = 1 + 8 * red / 255
        of_label = fields["label"] == label
        assert 0.9 * area < of_label.sum() <= area
        np.testing.assert_allclose(fields["z"][of_label], distance, rtol=1e-4)
        arrow = next(m for m in markers[0].markers if (m.ns, m.id) == ("grasp", label))
        assert arrow.points[1].z == pytest.approx(distance, rel=1e-3)
        assert arrow.points[0].z < arrow.points[1].z, "the gripper comes from the camera's side"
        box = next(m for m in markers[0].markers if (m.ns, m.id) == ("box", label))
        assert box.type == Marker.CUBE
    seven = next(m for m in markers[0].markers if (m.ns, m.id) == ("box", 7))
    sizes = sorted([seven.scale.x, seven.scale.y, seven.scale.z])
    width = 39 * (1 + 8 * 64 / 255) / 130
    assert sizes[0] < 0.02
    assert sizes[1] == pytest.approx(width, rel=0.06)
    assert sizes[2] == pytest.approx(width, rel=0.06)
