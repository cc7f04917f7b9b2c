"""`~/scale_state`: how the metres of each answer were made."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus

from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest
from depth_anything_ros.node.runtime.health import scale_status


def _make(request: OutputRequest, last: DiagnosticStatus) -> DiagnosticStatus:
    return scale_status(request.status_name, request.answer)


OUTPUTS.register(
    Output(
        name="scale_state",
        rank=100,
        message=DiagnosticStatus,
        meaning="how the metres of each answer were made",
        make=_make,
    )
)
