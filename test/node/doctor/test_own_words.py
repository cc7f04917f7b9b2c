"""The doctor repeats a node's own sentences, which end in what to do."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from depth_anything_ros.node.doctor.findings import Level
from depth_anything_ros.node.doctor.graph import DepthNodeView
from depth_anything_ros.node.doctor.outputs import repeat_own_words


@pytest.mark.parametrize(
    ("message", "sentence", "remedy"),
    [
        (
            "points of /points do not fit the image: they are 60 ms too late: older than their "
            "stamps say; check the driver's time stamps and the clocks",
            "/d: depth reports: points of /points do not fit the image: they are 60 ms too late: "
            "older than their stamps say",
            "check the driver's time stamps and the clocks",
        ),
        ("no image for 2.0 s", "/d: depth reports: no image for 2.0 s", "look into its log"),
    ],
)
def test_the_remedy_is_the_nodes_own(message: str, sentence: str, remedy: str) -> None:
    status = DiagnosticStatus(name="/d: depth", level=DiagnosticStatus.WARN, message=message)
    view = DepthNodeView("/d", "active", {}, statuses={status.name: status})
    (finding,) = repeat_own_words(view)
    assert (finding.level, finding.sentence, finding.remedy) == (Level.WARNING, sentence, remedy)
