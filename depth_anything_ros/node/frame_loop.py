"""The steps of an image: taken, made a frame, given depth, published."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rclpy.clock import Clock
from rclpy.task import Future

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import DepthFrame
from depth_anything_ros.node.camera.channel import CameraChannel, CameraFrame
from depth_anything_ros.node.camera.files import path_of
from depth_anything_ros.node.camera.inputs import CameraSample
from depth_anything_ros.node.camera.output import Output
from depth_anything_ros.node.camera.publishers import CameraOutputs
from depth_anything_ros.node.camera.report import CameraReport
from depth_anything_ros.node.camera.snapshot import write_snapshot
from depth_anything_ros.node.runtime.boundary import sentence_of
from depth_anything_ros.node.runtime.file_thread import FileThread
from depth_anything_ros.node.runtime.statistics import DropReason
from depth_anything_ros.node.sensors.inputs import SensorInputs
from depth_anything_ros.node.setup import NodeSetup
from depth_anything_ros.pipeline import DepthRequest, process_batch


@dataclass(frozen=True)
class NodeCamera:
    """One camera of the node: inputs, outputs, report."""

    name: str
    channel: CameraChannel
    outputs: CameraOutputs
    report: CameraReport


@dataclass(frozen=True)
class _Work:
    """A frame in process."""

    camera: NodeCamera
    taken: CameraFrame
    wanted: frozenset[Output]


class FrameLoop:
    """Answers what the cameras have ready; `step` runs in the worker's thread.

    Attributes:
        enabled: False ignores images.
    """

    def __init__(
        self, clock: Clock, setup: Callable[[], NodeSetup | None], files: FileThread
    ) -> None:
        """Prepare.

        Args:
            clock: For the latency of answers.
            setup: Gives the node's present setup; None while it is not configured.
            files: Writes snapshots.
        """
        self._files = files
        self.enabled = True
        self._clock = clock
        self._setup = setup
        self._cameras: tuple[NodeCamera, ...] = ()
        self._lock = threading.Lock()
        self._snapshots: list[Future] = []

    def use(self, cameras: Sequence[NodeCamera]) -> None:
        """Serve these cameras from the next step on."""
        self._cameras = tuple(cameras)

    def request_snapshot(self, written: Future) -> None:
        """Write the next answer to files.

        Args:
            written: Called with the folder, or the reason why there is none.
        """
        with self._lock:
            self._snapshots.append(written)

    def step(self) -> float | None:
        """Answer the newest image of every camera that has one ready, in one batch.

        Returns:
            Seconds after which something may be ready though nothing new has come, or None.
        """
        setup = self._setup()
        if setup is None or setup.sensors is None:
            return None
        works, waits = [], []
        for camera in self._cameras:
            sample, wait = camera.channel.take(setup.parameters, setup.sensors)
            waits.append(wait)
            if (
                sample is not None
                and (work := self._frame(camera, sample, setup, setup.sensors)) is not None
            ):
                works.append(work)
        for work, answer in self._depth(works, setup):
            self._publish(work, answer, setup)
        for camera in self._cameras:
            camera.outputs.publish_pairs()
        return min((wait for wait in waits if wait is not None), default=None)

    def _frame(
        self, camera: NodeCamera, sample: CameraSample, setup: NodeSetup, sensors: SensorInputs
    ) -> _Work | None:
        """The frame of an image, if an answer is needed."""
        wanted = camera.outputs.wanted()
        if not self.enabled:
            camera.report.statistics.drop(DropReason.DISABLED)
        elif not wanted and not self._snapshots:
            camera.report.statistics.drop(DropReason.UNWANTED)
        else:
            own = setup.cameras[camera.name]
            try:
                taken = camera.channel.frame_of(sample, setup.parameters, own, sensors)
                return _Work(camera, taken, wanted)
            except Exception as error:  # a robot's node outlives whatever one image does
                camera.report.refused(error)
        return None

    def _depth(self, works: list[_Work], setup: NodeSetup) -> list[tuple[_Work, DepthFrame]]:
        """Each frame with its depth, from one call of the network."""
        parameters = setup.parameters
        requests = [
            DepthRequest(
                work.taken.frame,
                setup.cameras[work.camera.name].scaler,
                work.taken.limits,
                parameters.min_confidence > 0
                or any(output.needs_confidence(parameters) for output in work.wanted),
                setup.cameras[work.camera.name].ground_fusion if parameters.ground_fusion else None,
                setup.cameras[work.camera.name].temporal_filter,
            )
            for work in works
        ]
        try:
            estimator = setup.networks.model.estimator
            answers = process_batch(estimator, requests, setup.confidence_sources())
        except Exception as error:  # out of memory, a broken driver: log it and go on
            if len(works) > 1:  # one camera's trouble is not the others'
                return [pair for work in works for pair in self._depth([work], setup)]
            works[0].camera.report.refused(error)
            return []
        return list(zip(works, answers, strict=True))

    def _publish(self, work: _Work, answer: DepthFrame, setup: NodeSetup) -> None:
        """Publish an answer, unless the node was stopped meanwhile."""
        camera, header = work.camera, work.taken.header
        now = self._setup()
        if now is None or now.sensors is None:
            camera.report.statistics.drop(DropReason.STOPPED)
            return
        try:
            sent = camera.outputs.publish(
                answer, header, setup.parameters, setup.placement, work.wanted
            )
            latency = (self._clock.now().nanoseconds - answer.frame.stamp) * 1e-9
            checked = setup.parameters.alignment_check
            camera.report.answered(answer, latency, sent or bool(self._snapshots), checked)
            self._write_snapshots(camera.name, answer, setup.parameters.snapshot_folder)
        except Exception as error:
            camera.report.refused(error)

    def _write_snapshots(self, camera: str, answer: DepthFrame, folder: str) -> None:
        with self._lock:
            requests, self._snapshots = self._snapshots, []
        if not requests:
            return

        def write() -> Path:
            return write_snapshot(path_of(folder, "snapshot_folder"), camera, answer)

        def tell(written: Path | Exception) -> None:
            outcome = written if isinstance(written, Path) else sentence_of(written)
            for request in requests:
                if not request.done():
                    request.set_result(outcome)

        try:
            self._files.run(write, tell)
        except InputError as error:
            tell(error)
