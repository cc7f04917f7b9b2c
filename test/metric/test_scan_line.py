"""Which points are those of a laser scan."""

import numpy as np

from depth_anything_ros.metric.scan_line import are_in_line


def test_a_laser_scan_seen_from_above_lies_in_a_line_and_nothing_else_does() -> None:
    u = np.arange(0.0, 320.0, 2.3)
    rng = np.random.default_rng(0)
    depth = np.repeat(rng.uniform(1, 5, 7), 20)[: len(u)]  # things at seven distances
    scan = 120 + 140 / depth
    assert np.ptp(scan) > 40
    assert are_in_line(u, scan)
    assert are_in_line(u[::4], scan[::4])
    assert are_in_line(u, np.full(len(u), 120.0))
    two = np.concatenate([scan, scan - 30])
    assert not are_in_line(np.tile(u, 2), two)
    for count in (15, 40, 60, 100, 1000):
        some, down = rng.uniform(0, 320, count), rng.uniform(0, 240, count)
        assert not are_in_line(some, down)
