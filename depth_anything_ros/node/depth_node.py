"""The depth node: camera images in, metric depth images and point clouds out."""

from __future__ import annotations

import gc
import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from depth_anything_ros.confidence.agreement import FLIP, ZOOMS
from depth_anything_ros.errors import DepthAnythingError, SettingError
from depth_anything_ros.frames import DepthFrame, PredictionKind
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.metric.selection import make_scaler
from depth_anything_ros.node.camera.channel import CameraChannel, PendingFrame, value_for_camera
from depth_anything_ros.node.camera.snapshot import write_snapshot
from depth_anything_ros.node.parameters import NodeParameters, names_at_load
from depth_anything_ros.node.runtime.diagnostics import CameraHealth, DiagnosticsPublisher
from depth_anything_ros.node.runtime.fastdds import prefer_shared_memory
from depth_anything_ros.node.runtime.model_loader import ModelLoader, Networks, load_and_warm
from depth_anything_ros.node.runtime.ros_log import log_through
from depth_anything_ros.node.runtime.scale_services import ScaleServices
from depth_anything_ros.node.runtime.spinning import spin_until_stopped
from depth_anything_ros.node.runtime.worker import Worker
from depth_anything_ros.node.sensors.inputs import SensorInputs, affects_sensor_inputs
from depth_anything_ros.node.sensors.transforms import Transforms
from depth_anything_ros.pipeline import Opinions, process_batch
from depth_anything_ros.settings import ModelSettings, ScalerSettings

_MATCH_PERIOD = 0.25
_SNAPSHOT_PATIENCE = 10.0

Load = Callable[[ModelSettings, Sequence[str]], Networks]
"""Makes a model and its experts ready, as `load_and_warm` does."""


class DepthNode(LifecycleNode):
    """The lifecycle shell around the pipeline.

    Configure loads and warms the model, activate subscribes, deactivate stops, cleanup frees. The
    executor's thread only stores what arrives; one worker thread decodes, infers, publishes.
    """

    def __init__(self, load: Load = load_and_warm, **arguments: Any) -> None:
        """Declare the parameters.

        Args:
            load: Makes the networks that configure starts with.
            arguments: Passed on to rclpy's LifecycleNode (context, parameter_overrides, ...).

        Raises:
            SettingError: A parameter was started with an impossible value.
            rclpy.exceptions.ParameterException: One was started with another type.
        """
        super().__init__("depth_anything", **arguments)
        self._settings = NodeParameters.declare(self)
        self._load = load
        log_through(self.get_logger())
        self._model: LoadedModel | None = None
        self._experts: tuple[DepthEstimator, ...] = ()
        self._channels: list[CameraChannel] = []
        self._sensors: SensorInputs | None = None
        self._worker: Worker | None = None
        self._loader = ModelLoader()
        self._enabled = True
        self._snapshots: list[Future] = []
        self._between_frames = threading.Lock()
        self._transforms = Transforms(self)
        self._cameras = [name for name in self._settings.cameras if name] or [""]
        for name in self._cameras:
            ScaleServices(
                self,
                name,
                partial(self._scaler_of, name),
                partial(self._scale_file_of, name),
                self._between_frames,
            )
        self.create_service(SetBool, "~/enable", self._on_enable)
        # These wait for other threads; everything else goes on meanwhile.
        patient = ReentrantCallbackGroup()
        self.create_service(Trigger, "~/load_model", self._on_load_model, callback_group=patient)
        self.create_service(Trigger, "~/snapshot", self._on_snapshot, callback_group=patient)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        DiagnosticsPublisher(self, {name: partial(self._health, name) for name in self._cameras})
        # Simulated time may stand still; the node's own life must not.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_MATCH_PERIOD, self._match_reliability, clock=steady)
        if self._settings.autostart:
            self._autostart = self.create_timer(0.0, self._start, clock=steady)

    # Lifecycle -------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the model, make the publishers; or say why not and stay unconfigured."""
        try:
            started = time.perf_counter()
            networks = self._load(_model_settings(self._settings), self._settings.experts)
            self._model, self._experts = networks.model, networks.experts
            self._channels = [self._make_channel(name) for name in self._cameras]
        except DepthAnythingError as error:
            self.get_logger().error(f"cannot configure: {error}")
            self._free()
            return TransitionCallbackReturn.FAILURE
        self._announce(self._model, time.perf_counter() - started)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start working."""
        result = super().on_activate(state)
        worker = Worker(self._step)
        self._worker = worker
        self._sensors = self._listen_around(self._settings)
        for channel in self._channels:
            channel.listen(self._sensors, worker.wake)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working and unsubscribe; the model stays loaded."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working and free the model."""
        self._stop()
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything; the node can be configured again."""
        self._stop()
        self._free()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop the worker before the context goes away, within 5 s whatever it is stuck in."""
        self._stop(patience=5.0)

    def _start(self) -> None:
        self.destroy_timer(self._autostart)
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _make_channel(self, name: str) -> CameraChannel:
        scaler = self._make_scaler(name, self._settings)
        return CameraChannel(self, name, scaler, self._transforms, self._settings)

    def _stop(self, patience: float | None = None) -> None:
        if self._worker is not None:
            self._worker.stop(patience)
            self._worker = None
        for channel in self._channels:
            channel.stop()
        if self._sensors is not None:
            self._sensors.close()
            self._sensors = None

    def _free(self) -> None:
        for channel in self._channels:
            channel.close()
        self._channels = []
        self._model, self._experts = None, ()
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _announce(self, model: LoadedModel, seconds: float) -> None:
        estimator = model.estimator
        self.get_logger().info(
            f"model {model.info.name} ({estimator.kind.value}) on {estimator.device} in "
            f"{estimator.precision} with {estimator.backend}, ready after {seconds:.1f} s; "
            f"scaler {self._settings.scaler}"
        )

    # Frames ----------------------------------------------------------------------------------

    def _step(self) -> float | None:
        """Answer what every camera has ready, in one batch. Runs in the worker's thread."""
        if not self.context.ok():
            return None
        with self._between_frames:
            pending: list[tuple[CameraChannel, PendingFrame]] = []
            waits: list[float] = []
            for channel in self._channels:
                try:
                    frame, wait = channel.take(self._enabled, bool(self._snapshots))
                except Exception as error:  # a robot's node outlives whatever one image does
                    self._refuse(channel, error)
                    continue
                if frame is not None:
                    pending.append((channel, frame))
                if wait is not None:
                    waits.append(wait)
            if pending:
                self._answer(pending)
            for channel in self._channels:
                self._publish_objects(channel)
        return min(waits, default=None)

    def _answer(self, pending: list[tuple[CameraChannel, PendingFrame]]) -> None:
        if self._model is None:
            return
        doubters = [each for each in pending if each[1].needs_confidence]
        if doubters and len(doubters) < len(pending):  # second opinions cost: only where wanted
            self._answer([each for each in pending if not each[1].needs_confidence])
            pending = doubters
        try:
            answers = process_batch(
                self._model.estimator,
                [(frame.frame, channel.scaler) for channel, frame in pending],
                self._opinions() if doubters else None,
            )
        except Exception as error:  # out of memory, a broken driver: say so and go on
            if len(pending) > 1:  # one camera's trouble is not the others'
                for single in pending:
                    self._answer([single])
            else:
                self._refuse(pending[0][0], error)
            return
        for (channel, frame), answer in zip(pending, answers, strict=True):
            self._publish(channel, frame, answer)

    def _opinions(self) -> Opinions:
        """Whom to ask for confidence, as the parameters and the model want it."""
        choice = self._settings.confidence
        if choice == "auto":
            relative = (
                self._model is None
                or self._model.estimator.kind is PredictionKind.RELATIVE_DISPARITY
            )
            choice = "off" if self._experts else "flip" if relative else "zoom"
        return Opinions({"flip": FLIP, "zoom": ZOOMS}.get(choice, ()), self._experts)

    def _publish(self, channel: CameraChannel, frame: PendingFrame, answer: DepthFrame) -> None:
        try:
            sent = channel.publish(frame, answer)
            if self._snapshots:
                self._write_snapshot(channel, sent)
        except Exception as error:
            self._refuse(channel, error)

    def _publish_objects(self, channel: CameraChannel) -> None:
        try:
            channel.publish_objects()
        except Exception as error:
            self._refuse(channel, error)

    def _refuse(self, channel: CameraChannel, error: Exception) -> None:
        if self.context.ok():  # else: told to stop in the middle of a frame
            channel.refuse(error)

    def _write_snapshot(self, channel: CameraChannel, answer: DepthFrame) -> None:
        requests, self._snapshots = self._snapshots, []
        folder = Path(self._settings.snapshot_folder).expanduser()
        try:
            result: Path | OSError = write_snapshot(folder, channel.name, answer)
        except OSError as error:
            result = error
        for request in requests:
            request.set_result(result)

    # Operation -------------------------------------------------------------------------------

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        response.success = True
        response.message = "images are answered" if request.data else "images pass unanswered"
        return response

    async def _on_load_model(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        if self._model is None:
            response.message = "the node is not configured; configure loads the model"
            return response
        loaded = Future(executor=self.executor)
        self._loader.load(
            _model_settings(self._settings), self._settings.experts, loaded.set_result
        )
        result = await loaded
        error = self._swap(result)
        response.success = error is None
        response.message = error or f"{result.model.info.name} is in use"
        return response

    async def _on_snapshot(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        written = Future(executor=self.executor)
        late = threading.Timer(_SNAPSHOT_PATIENCE, _give_up, [written])
        late.start()
        self._snapshots.append(written)
        result = await written
        late.cancel()
        response.success = isinstance(result, Path)
        response.message = str(result)
        return response

    def _swap(self, loaded: Networks | DepthAnythingError) -> str | None:
        """Use a newly loaded model from the next frame on; or say why the old one stays."""
        if isinstance(loaded, DepthAnythingError):
            error = f"the model in use stays: {loaded}"
            self.get_logger().error(error)
            return error
        try:
            with self._between_frames:
                old, self._model = self._model, loaded.model
                try:
                    scalers = [
                        self._make_scaler(each.name, self._settings) for each in self._channels
                    ]
                except DepthAnythingError:
                    self._model = old
                    raise
                self._experts = loaded.experts
                for channel, scaler in zip(self._channels, scalers, strict=True):
                    channel.use(scaler)
        except DepthAnythingError as error:
            return f"the model in use stays: {error}"
        self._announce(loaded.model, 0.0)
        return None

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        values = {change.name: change.value for change in changes}
        try:
            parameters = self._settings.changed(values)
            if self._model is not None:
                self._apply(parameters, values)
        except DepthAnythingError as error:
            return SetParametersResult(successful=False, reason=str(error))
        resized = parameters.input_size != self._settings.input_size
        self._settings = parameters
        if self._model is not None:
            later = names_at_load(values)
            if later:
                self.get_logger().info(f"{', '.join(later)}: takes effect at ~/load_model")
            if resized:
                self._loader.load(_model_settings(parameters), parameters.experts, self._swap)
        return SetParametersResult(successful=True)

    def _apply(self, parameters: NodeParameters, values: dict[str, Any]) -> None:
        """Let new parameters take effect, all or none."""
        scalers: dict[str, MetricScaler] = {}
        for name in self._cameras:
            settings = _scaler_settings(parameters, name)
            if settings != _scaler_settings(self._settings, name):
                scalers[name] = self._make_scaler(name, parameters)
        around = self._sensors
        if around is not None and affects_sensor_inputs(values):
            around = self._listen_around(parameters)
        with self._between_frames:
            for channel in self._channels:
                channel.change(parameters, around)
                if channel.name in scalers:
                    channel.use(scalers[channel.name])
        if around is not self._sensors and self._sensors is not None:
            self._sensors.close()
        self._sensors = around

    def _make_scaler(self, camera: str, parameters: NodeParameters) -> MetricScaler:
        if self._model is None:
            raise SettingError("no model is loaded; configure the node first")
        return make_scaler(_scaler_settings(parameters, camera), self._model.info)

    def _scaler_of(self, camera: str) -> MetricScaler | None:
        return next((each.scaler for each in self._channels if each.name == camera), None)

    def _scale_file_of(self, camera: str) -> str:
        return value_for_camera(self._settings.scale_file, camera, "scale_file")

    def _listen_around(self, parameters: NodeParameters) -> SensorInputs:
        return SensorInputs(self, parameters, self._transforms, self._wake)

    def _wake(self) -> None:
        if self._worker is not None:
            self._worker.wake()

    def _match_reliability(self) -> None:
        for channel in self._channels:
            channel.match()
        if self._sensors is not None:
            self._sensors.match()

    def _health(self, camera: str) -> CameraHealth:
        prefix = self.get_fully_qualified_name()
        for channel in self._channels:
            if channel.name == camera:
                model = {} if self._model is None else self._model.description()
                return channel.health(prefix, model, self._settings.stale_after)
        return CameraHealth.unconfigured(prefix, camera)


def _give_up(future: Future) -> None:
    if not future.done():
        future.set_result(f"no image was answered within {_SNAPSHOT_PATIENCE:g} s")


def _model_settings(parameters: NodeParameters) -> ModelSettings:
    return ModelSettings(
        model=parameters.model,
        device=parameters.device,
        precision=parameters.precision,
        input_size=parameters.input_size,
        num_threads=parameters.num_threads,
        backend=parameters.backend,
    )


def _scaler_settings(parameters: NodeParameters, camera: str) -> ScalerSettings:
    file = value_for_camera(parameters.scale_file, camera, "scale_file")
    given = parameters.scale > 0 or not file
    return ScalerSettings(
        scaler=parameters.scaler,
        scale=parameters.scale,
        shift=parameters.shift,
        scale_file=None if given else Path(file).expanduser(),
        baseline=parameters.baseline,
        fit_shift={"auto": None, "always": True, "never": False}[parameters.fit_shift],
        min_points=parameters.min_points,
        refinement=parameters.refinement,
        max_age=math.inf if parameters.on_invalid == "hold" else parameters.scale_max_age,
    )


def main(arguments: list[str] | None = None, load: Load = load_and_warm) -> int:
    """Run the node until it is told to stop.

    Args:
        arguments: Command line with ROS arguments; None takes the process's own.
        load: Makes the networks that configure starts with.

    Returns:
        0 after a normal stop, 1 when a start parameter is impossible.
    """
    transport_warning = prefer_shared_memory()
    rclpy.init(args=arguments)
    try:
        node = DepthNode(load)
    except (SettingError, ParameterException) as error:
        print(f"depth_node: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    if transport_warning:
        node.get_logger().warning(transport_warning)
    try:
        spin_until_stopped(node)
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
