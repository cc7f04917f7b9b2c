"""What is sent is the same, whoever owns its memory."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import Cloud, build_cloud
from depth_anything_ros.node.messages import cloud_to_message, depth_to_image, memory_of

CAMERA = Camera(80, 60, 70.0, 70.0, 39.5, 29.5)
HEADER = Header(frame_id="camera")


def depths() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    images = [rng.uniform(0.5, 9.0, (60, 80)).astype(np.float32) for _ in range(3)]
    images[1][rng.uniform(size=(60, 80)) < 0.1] = np.nan
    images.append(np.full((60, 80), np.nan, np.float32))
    return images


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_a_kept_message_sends_the_same_depth(encoding: str) -> None:
    kept = Image()
    addresses = set()
    for depth in depths():
        sent = depth_to_image(depth, encoding, HEADER, kept)
        assert sent is kept
        assert sent == depth_to_image(depth, encoding, HEADER)
        addresses.add(sent.data.buffer_info()[0])
    assert len(addresses) == 1, "new memory for an image of the same size"


@pytest.mark.parametrize("organized", [True, False])
def test_a_kept_message_sends_the_same_cloud(organized: bool) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    kept = PointCloud2()
    addresses = set()
    for depth in depths():
        cloud = build_cloud(depth, CAMERA, rgb, organized, memory=partial(memory_of, kept))
        sent = cloud_to_message(cloud, HEADER, kept)
        assert sent is kept
        assert sent == cloud_to_message(build_cloud(depth, CAMERA, rgb, organized), HEADER)
        if organized:
            assert np.shares_memory(np.frombuffer(sent.data, np.uint8), cloud.data), "a copy"
            addresses.add(sent.data.buffer_info()[0])
    assert len(addresses) <= 1, "new memory for a cloud of the same size"


def test_other_sizes_get_other_memory() -> None:
    kept = PointCloud2()
    first = memory_of(kept, (2, 3))
    first[:] = 1
    second = memory_of(kept, (4, 3))
    second[:] = 2
    assert (first == 1).all()
    assert bytes(kept.data) == second.tobytes()
    third = np.arange(6, dtype=np.float32).reshape(1, 2, 3)[:, ::-1]
    assert bytes(cloud_to_message(Cloud(third), HEADER, kept).data) == third.tobytes()
    assert (second == 2).all()
    nothing = Cloud(np.empty((1, 0, 3), np.float32))
    assert len(cloud_to_message(nothing, HEADER, kept).data) == 0
