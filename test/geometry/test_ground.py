from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.frames import Plane
from depth_anything_ros.geometry.ground import up_of_attitude
from depth_anything_ros.metric.camera_mount import mount_over


def test_up_of_simple_attitudes() -> None:
    np.testing.assert_allclose(up_of_attitude(0, 0), (0, -1, 0), atol=1e-12)
    # Looking straight down, up is behind the camera; lying on its right side, up is to its left.
    np.testing.assert_allclose(up_of_attitude(90, 0), (0, 0, -1), atol=1e-12)
    np.testing.assert_allclose(up_of_attitude(0, 90), (-1, 0, 0), atol=1e-12)


@pytest.mark.parametrize(
    ("pitch", "roll"), [(0.0, 0.0), (12.0, -4.0), (-30.0, 25.0), (60.0, 170.0)]
)
def test_a_calibrated_attitude_is_the_one_given(pitch: float, roll: float) -> None:
    x, y, z = up_of_attitude(pitch, roll)
    stand = mount_over(Plane((float(x), float(y), float(z)), 1.5))
    assert (stand.height, stand.pitch_deg, stand.roll_deg) == pytest.approx((1.5, pitch, roll))
