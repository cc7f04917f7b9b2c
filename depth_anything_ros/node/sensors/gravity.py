"""Up vector from the smoothed specific force of an IMU."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Imu

from depth_anything_ros.errors import InputError
from depth_anything_ros.node.messages import nanoseconds
from depth_anything_ros.node.runtime.subscriptions import MatchedSubscription, QosMatcher

_SMOOTHING = 0.05
_FRESH = 0.5
_WEAKEST, _STRONGEST = 1.0, 160.0
"""Norms in m/s^2 between which a specific force is accepted: free fall has none, and robots'
accelerometers end at 16 g."""


class GravityInput:
    """Subscribes to an IMU and smooths its specific force."""

    def __init__(self, matcher: QosMatcher, topic: str) -> None:
        """Subscribe.

        Args:
            matcher: The node's subscriptions.
            topic: Topic of the sensor_msgs/Imu.
        """
        self._clock = matcher.node.get_clock()
        self._newest: tuple[npt.NDArray[np.float64], Imu] | None = None
        self._subscription = MatchedSubscription(matcher, Imu, topic, self._receive, 20)

    def close(self) -> None:
        """Unsubscribe."""
        self._subscription.close()

    def up(self) -> tuple[npt.NDArray[np.float64], Imu] | None:
        """Unit vector up in the IMU's frame and the message it comes from, or None when stale."""
        newest = self._newest
        if newest is None:
            return None
        force, message = newest
        stamp = nanoseconds(message.header.stamp)
        if abs(self._clock.now().nanoseconds - stamp) > _FRESH * 1e9:
            return None
        length = float(np.linalg.norm(force))
        return (force / length, message) if length > _WEAKEST else None

    def _receive(self, message: Imu) -> None:
        a = message.linear_acceleration
        force = np.array([a.x, a.y, a.z])
        if not (np.isfinite(force).all() and np.abs(force).max() < _STRONGEST):
            raise InputError(
                f"linear_acceleration is ({a.x:g}, {a.y:g}, {a.z:g}) m/s^2, which no robot feels"
            )
        if self._newest is not None:
            force = self._newest[0] + _SMOOTHING * (force - self._newest[0])
        self._newest = (force, message)
