"""Scale states and the health of a camera as messages."""

from __future__ import annotations

import math
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from depth_anything_ros.frames import DepthFrame, Quality, ScaleState

SCALE_LEVELS = {
    Quality.GOOD: DiagnosticStatus.OK,
    Quality.HELD: DiagnosticStatus.WARN,
    Quality.INVALID: DiagnosticStatus.WARN,
}


def scale_values(state: ScaleState) -> dict[str, str]:
    """A scale state by name, as text; unknown numbers are left out."""
    numbers = {
        "scale": state.scale,
        "shift": state.shift,
        "inlier_share": state.inlier_share,
        "residual": state.residual,
        "age_s": state.age,
    }
    return {
        "scaler": state.method,
        "scale_quality": state.quality.value,
        "scale_reason": state.reason,
        "inliers": str(state.inliers),
        **{name: f"{value:.6g}" for name, value in numbers.items() if math.isfinite(value)},
    }


def scale_status(name: str, answer: DepthFrame) -> DiagnosticStatus:
    """The scale state of one answer as `~/scale_state` has it.

    Args:
        name: Name of the status.
        answer: Depth of one image.

    Returns:
        OK while the metres are good, WARN when they are held or missing.
    """
    state = answer.scale_state
    stamp = answer.frame.stamp
    values = {**scale_values(state), "stamp": f"{stamp // 10**9}.{stamp % 10**9:09d}"}
    return DiagnosticStatus(
        level=SCALE_LEVELS[state.quality],
        name=name,
        message=f"{state.quality.value}: {state.reason}",
        hardware_id=answer.frame.frame_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def status_name(node: str, camera: str) -> str:
    """Name of a camera's status on /diagnostics: `/depth_anything: depth`, `...: front depth`."""
    return f"{node}: {camera} depth" if camera else f"{node}: depth"


@dataclass(frozen=True)
class CameraHealth:
    """Health of one camera's depth.

    Attributes:
        name: Name of the status.
        level: OK, WARN or ERROR of DiagnosticStatus.
        message: The most important fault, with its remedy.
        hardware_id: Device the network runs on.
        values: Everything that was counted or is known, by name.
    """

    name: str
    level: bytes
    message: str
    hardware_id: str
    values: dict[str, str]

    @classmethod
    def unconfigured(cls, node: str, camera: str, failure: str | None) -> CameraHealth:
        """Health while no model is loaded.

        Args:
            node: Full name of the node.
            camera: Name of the camera, empty for the only one.
            failure: Why the last attempt failed, or None.
        """
        level, message = DiagnosticStatus.WARN, "no model is loaded: the node is not configured"
        if failure is not None:
            level, message = DiagnosticStatus.ERROR, failure
        return cls(status_name(node, camera), level, message, "", {})

    @classmethod
    def loading(cls, node: str, camera: str) -> CameraHealth:
        """Health while the first model is loading.

        Args:
            node: Full name of the node.
            camera: Name of the camera, empty for the only one.
        """
        return cls(status_name(node, camera), DiagnosticStatus.OK, "the model is loading", "", {})

    def to_status(self) -> DiagnosticStatus:
        """The same as a message."""
        return DiagnosticStatus(
            level=self.level,
            name=self.name,
            message=self.message,
            hardware_id=self.hardware_id,
            values=[KeyValue(key=key, value=value) for key, value in self.values.items()],
        )
