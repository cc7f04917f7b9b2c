"""Report of one camera: counts of images, log, health."""

from __future__ import annotations

import time

from diagnostic_msgs.msg import DiagnosticStatus

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import DepthFrame, Quality, ScaleState
from depth_anything_ros.installed_commands import own_command
from depth_anything_ros.metric.floor_check import FloorCheck
from depth_anything_ros.metric.scale_comparison import ScaleComparison
from depth_anything_ros.node.camera.alignment_watch import AlignmentWatch
from depth_anything_ros.node.camera.inputs import CameraInput
from depth_anything_ros.node.runtime.health import (
    SCALE_LEVELS,
    CameraHealth,
    scale_values,
    status_name,
)
from depth_anything_ros.node.runtime.log import ThrottledLog, one_line
from depth_anything_ros.node.runtime.statistics import (
    CameraStatistics,
    DropReason,
    memory_values,
)

_PATIENCE = 5.0
"""Seconds without a single image of a publisher that is there."""


class CameraReport:
    """Counts a camera's images by outcome, and logs what is wrong.

    Attributes:
        statistics: Its counts.
        log: For what is wrong, throttled, with the camera's name before it.
    """

    def __init__(self, node: str, camera: str, log: ThrottledLog) -> None:
        """Prepare.

        Args:
            node: Full name of the node.
            camera: Name of the camera, empty for the only one.
            log: For what is wrong.
        """
        self.statistics = CameraStatistics()
        self.log = log
        self._node = node
        self._camera = camera
        self._state: ScaleState | None = None
        self._had_metres = False
        self._complained = False
        self._silent_since = 0.0
        self._floor = FloorCheck()
        self._scales = ScaleComparison()
        self.forget_points()

    @property
    def scale_state(self) -> ScaleState | None:
        """How the metres of the newest answer were made; None before the first."""
        return self._state

    def forget_scale(self) -> None:
        """Start anew with another scaler."""
        self._had_metres = False

    def forget_points(self) -> None:
        """Start anew with point sensors that stand elsewhere."""
        self._alignment = AlignmentWatch(
            lambda error: self.log.warn_once(f"the alignment of points is not checked: {error}")
        )

    def answered(
        self, answer: DepthFrame, latency: float, sent: int, check_alignment: bool = False
    ) -> None:
        """Count an answer and log changes of its scale state.

        Args:
            answer: Depth of one image.
            latency: Seconds since the image's stamp.
            sent: How many outputs went out.
            check_alignment: Whether to look whether its points fit the image.
        """
        self._state = answer.scale_state
        self._floor.add(answer.frame, answer.wrong_points, answer.ground)
        self._scales.add(answer)
        if check_alignment:
            self._alignment.offer(answer.frame)
        if sent:
            self.statistics.publish(latency)
        else:
            self.statistics.drop(DropReason.NO_METRES)
        reason = answer.scale_state.reason
        if answer.scale_state.quality is Quality.INVALID:
            if self._had_metres:
                said = self.log.warn(f"depth is unknown: {reason}")
            else:
                relative = answer.prediction.kind.inverse
                there = "; ~/disparity/image has the relative depth" if relative else ""
                said = self.log.warn_once(
                    f"no metres on ~/depth/image and ~/points: {reason}{there}"
                )
            self._complained = self._complained or said
            return
        if self._complained:
            self.log.info(f"metres {'again' if self._had_metres else 'now'}: {reason}")
        self._complained, self._had_metres = False, True

    def refused(self, error: Exception) -> None:
        """Count and explain an image that got no answer.

        Args:
            error: Why.
        """
        if isinstance(error, InputError):
            self.statistics.drop(DropReason.UNUSABLE)
            self.log.warn(f"image not answered: {error}")
        else:
            self.statistics.drop(DropReason.FAILED)
            self.log.error(f"image not answered: {type(error).__name__}: {error}")

    def health(
        self, source: CameraInput | None, model: dict[str, str], stale_after: float
    ) -> CameraHealth:
        """Health of this camera.

        Args:
            source: What it listens to, or None while the node is not active.
            model: What is known of the network, by name.
            stale_after: Seconds without an image that are worth a warning.
        """
        level, message = self._verdict(source, stale_after)
        return CameraHealth(
            name=status_name(self._node, self._camera),
            level=level,
            message=one_line(message),
            hardware_id=model.get("device", ""),
            values={
                **model,
                **self.statistics.values(),
                **(scale_values(self._state) if self._state else {}),
                **{
                    name: f"{value:.4g}"
                    for check in (self._floor, self._scales, self._alignment)
                    for name, value in check.values.items()
                },
                **memory_values(model.get("device", "")),
            },
        )

    def _never_came(self, source: CameraInput) -> str:
        """No image yet: log the likely cause once, if a publisher has been there for long."""
        self._silent_since = self._silent_since or time.monotonic()
        if time.monotonic() - self._silent_since > _PATIENCE and source.is_best_effort:
            self.log.warn_once(
                f"no image has come on {source.image_topic}, though it is published: its publisher "
                "is best effort, and Fast DDS loses big best-effort messages; let the driver be "
                "reliable, or give it this package's fastdds_profile.xml "
                f"(`{own_command('doctor')}` says how)"
            )
        return f"no image has come on {source.image_topic} yet"

    def _verdict(self, source: CameraInput | None, stale_after: float) -> tuple[bytes, str]:
        """The most important message, and its level."""
        ok, warn, error = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
        if source is None:
            return ok, "the node is not active"
        if source.incompatible:
            return error, source.incompatible
        silence = self.statistics.silence
        if silence is None or silence > stale_after:
            if not source.has_publisher:
                return error, (
                    f"nobody publishes {source.image_topic}; remap image to the camera's topic"
                )
            if silence is None:
                return warn, self._never_came(source)
            return warn, f"no image on {source.image_topic} for {silence:.1f} s"
        if self.log.recent:
            return warn, self.log.recent
        if self._state is None:
            return ok, "images arrive, no output has a subscriber"
        # A turned sensor shows in both; the alignment says which sensor and names time, too.
        finding = self._alignment.finding or self._floor.finding or self._scales.finding
        if finding and self._state.quality is not Quality.INVALID:
            self.log.note_once(finding)
            return warn, finding
        return SCALE_LEVELS[self._state.quality], self._state.reason
