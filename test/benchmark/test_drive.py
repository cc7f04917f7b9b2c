"""The drive of the scaling benchmark is exact geometry."""

from __future__ import annotations

import numpy as np

from depth_anything_ros.benchmark.drive import HEIGHT, PERIOD_NS, SCALE, SHIFT, drive
from depth_anything_ros.geometry.camera import ray_table


def test_the_drive_is_exact_geometry() -> None:
    lap = drive(60, 80, points=2000, images=4)
    assert [frame.stamp for _, frame in lap] == [index * PERIOD_NS for index in range(6)]
    ways = [frame.pose[2, 3] for _, frame in lap if frame.pose is not None]
    assert np.sign(np.diff(ways)).tolist() == [1, 1, 1, -1, -1]
    prediction, frame = lap[0]
    assert frame.camera is not None and frame.points is not None and frame.slam is not None
    # The lowest pixels look at the ground: Z = height / y of the ray.
    depth = 1 / (SCALE * prediction.values + SHIFT)
    ground = HEIGHT / ray_table(frame.camera)[1][-5:]
    assert np.median(np.abs(depth[-5:] / ground - 1)) < 0.15
    u, v, z = frame.points.u, frame.points.v, frame.points.z
    share = np.abs(z / depth[np.rint(v).astype(int), np.rint(u).astype(int)] - 1) < 0.4
    assert len(frame.points) == 2000
    assert 0.9 < share.mean() < 1
