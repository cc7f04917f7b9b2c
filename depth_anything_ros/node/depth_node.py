"""The depth node: camera images in, metric depth images and point clouds out."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from depth_anything_ros.errors import DepthAnythingError, MissingExtraError, SettingError
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.frame_context import context_of
from depth_anything_ros.installed_commands import own_command
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.metric.selection import completion_of, make_scaler
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.node.camera.channel import CameraChannel
from depth_anything_ros.node.camera.files import CameraFiles, scale_file_of
from depth_anything_ros.node.camera.publishers import CameraOutputs
from depth_anything_ros.node.camera.report import CameraReport
from depth_anything_ros.node.frame_loop import FrameLoop, NodeCamera
from depth_anything_ros.node.parameter import unknown_parameters, usage
from depth_anything_ros.node.parameters import NodeParameters, names_at_load
from depth_anything_ros.node.runtime.boundary import GuardedNode, sentence_of
from depth_anything_ros.node.runtime.diagnostics import DiagnosticsPublisher
from depth_anything_ros.node.runtime.fastdds import prefer_shared_memory
from depth_anything_ros.node.runtime.file_thread import FileThread
from depth_anything_ros.node.runtime.health import CameraHealth
from depth_anything_ros.node.runtime.log import ThrottledLog, log_through
from depth_anything_ros.node.runtime.memory import limit_arenas
from depth_anything_ros.node.runtime.model_loader import (
    Done,
    Load,
    ModelLoader,
    Networks,
    load_and_warm,
)
from depth_anything_ros.node.runtime.scale_services import ScaleServices
from depth_anything_ros.node.runtime.spinning import (
    RCL_ERROR,
    asks_for_help,
    exit_at_once,
    ros,
    spin_until_stopped,
)
from depth_anything_ros.node.runtime.subscriptions import QosMatcher
from depth_anything_ros.node.runtime.worker import Worker
from depth_anything_ros.node.sensors.inputs import SensorInputs, affects_sensor_inputs
from depth_anything_ros.node.sensors.placement import Placement
from depth_anything_ros.node.sensors.transforms import Transforms
from depth_anything_ros.node.setup import (
    CameraSetup,
    NodeSetup,
    limits_of,
    model_settings_of,
    scaler_settings_of,
    temporal_filter_of,
)
from depth_anything_ros.settings import ModelSettings

_MATCH_PERIOD = 0.25
_START_PERIOD = 0.05
_SNAPSHOT_PATIENCE = 10.0
_STOP_PATIENCE = 2.0
_PURPOSE = (
    "Turns the images on image (and camera_info) into ~/depth/image, ~/points and more; "
    "`{doctor}` says why nothing comes."
)


class DepthNode(GuardedNode):
    """The lifecycle shell around the frame loop.

    Configure loads and warms the model, activate subscribes, deactivate stops, cleanup frees. The
    executor's thread only stores what arrives and swaps the setup; one worker thread decodes,
    infers, publishes; one thread loads models, one writes files. No other thread waits for the
    network or the disk.
    """

    def __init__(self, load: Load = load_and_warm, **arguments: Any) -> None:
        """Declare the parameters.

        Args:
            load: Makes the networks ready.
            arguments: Passed on to rclpy's LifecycleNode (context, parameter_overrides, ...).

        Raises:
            SettingError: A parameter was started with an impossible value.
            rclpy.exceptions.ParameterException: One was started with another type.
        """
        super().__init__("depth_anything", **arguments)
        self._settings = NodeParameters.declare(self)
        log_through(self.get_logger())
        for sentence in unknown_parameters(self, NodeParameters.__dataclass_fields__):
            self.get_logger().warning(sentence)
        self._setup: NodeSetup | None = None
        self._changing = threading.Lock()  # held while a setup is made, never while it is used
        self._failure: str | None = None
        self._hopeless = False
        self._loader = ModelLoader(load)
        self._completions: frozenset[str] = frozenset()  # that scalers may use without waiting
        self._preloaded: _Preloaded | None = None
        self._matcher = QosMatcher(self)
        self._transforms = Transforms(self)
        self._names = [name for name in self._settings.cameras if name] or [""]
        self._cameras: list[NodeCamera] = []
        files = FileThread()
        self._loop = FrameLoop(self.get_clock(), lambda: self._setup, files)
        self._worker = Worker(self._loop.step, partial(self.report, "images cannot be answered"))
        for name in self._names:
            ScaleServices(
                self,
                name,
                partial(self._scaler_of, name),
                partial(self._scale_file_of, name),
                files,
            )
        self.create_service(SetBool, "~/enable", self._on_enable)
        # These wait for other threads; everything else goes on meanwhile.
        patient = ReentrantCallbackGroup()
        self.create_service(Trigger, "~/load_model", self._on_load_model, callback_group=patient)
        self.create_service(Trigger, "~/snapshot", self._on_snapshot, callback_group=patient)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        DiagnosticsPublisher(self, {name: partial(self._health, name) for name in self._names})
        # Simulated time may stand still; the node's own life must not.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_MATCH_PERIOD, self._matcher.match, clock=steady)
        if self._settings.autostart:
            self._autostart = self.create_timer(_START_PERIOD, self._start, clock=steady)

    @property
    def hopeless(self) -> bool:
        """Whether it has given up its own start for a reason that no parameter mends."""
        return self._hopeless

    # Lifecycle -------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and make the publishers; on failure log why and stay unconfigured."""
        try:
            self._configure()
        except Exception as error:
            self._free()
            return self._failed("configure", error)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start working; on failure log why and stay inactive."""
        result = super().on_activate(state)
        try:
            self._activate()
        except Exception as error:
            self._stop()
            super().on_deactivate(state)
            return self._failed("activate", error)
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

    def close(self) -> bool:
        """Stop before the context goes away.

        Returns:
            Whether all threads have ended; one may be stuck in a network or in loading it.
        """
        self._stop()
        self._setup = None
        return self._worker.stop(_STOP_PATIENCE) and not self._loader.busy

    def _start(self) -> None:
        """Load the model beside the executor, then configure and activate."""
        if self._preloaded is None:
            self._preloaded = self._load_beside(self._settings)
        if not self._preloaded.done.is_set():
            return
        self.destroy_timer(self._autostart)
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()
        if self._hopeless:
            self.context.try_shutdown()

    def _configure(self) -> None:
        parameters = self._settings
        networks, seconds = self._loaded(parameters)
        with self._changing:
            self._setup = NodeSetup(
                parameters,
                networks,
                {name: self._camera_setup(name, parameters, networks) for name in self._names},
                Placement(parameters, self._transforms),
            )
        self._cameras = [self._make_camera(name) for name in self._names]
        self._loop.use(self._cameras)
        self._failure = None
        self._announce(networks.model, seconds)

    def _activate(self) -> None:
        with self._changing:
            setup = self._configured()
            sensors = self._listen_around(setup.parameters, setup.placement)
            cameras = {
                name: replace(own, temporal_filter=temporal_filter_of(setup.parameters))
                for name, own in setup.cameras.items()
            }
            self._setup = replace(setup, sensors=sensors, cameras=cameras)
        for camera in self._cameras:
            camera.channel.listen(setup.parameters, self._worker.wake)
            camera.outputs.listen(self._worker.wake)
        self._failure = None
        inputs = [camera.channel.input for camera in self._cameras]
        topics = ", ".join(each.image_topic for each in inputs if each is not None)
        self.get_logger().info(f"active, listening on {topics}")

    def _stop(self) -> None:
        with self._changing:
            setup = self._setup
            if setup is not None:
                self._setup = replace(setup, sensors=None)
        for camera in self._cameras:
            camera.channel.stop()
            camera.outputs.stop()
        if setup is not None and setup.sensors is not None:
            setup.sensors.close()

    def _free(self) -> None:
        with self._changing:
            self._setup = None
        self._preloaded = None
        self._loop.use(())
        for camera in self._cameras:
            camera.outputs.close()
        self._cameras = []
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _failed(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        """Log once why a transition failed; diagnostics repeat it."""
        self._failure = f"cannot {transition}: {sentence_of(error)}"
        mendable = isinstance(error, (DepthAnythingError, ParameterException))
        self._hopeless = not mendable or isinstance(error, MissingExtraError)
        if self.context.ok():
            self.get_logger().error(self._failure)
        return TransitionCallbackReturn.FAILURE

    def _make_camera(self, name: str) -> NodeCamera:
        log = ThrottledLog(self.get_logger(), f"{name}: " if name else "")
        report = CameraReport(self.get_fully_qualified_name(), name, log)
        channel = CameraChannel(name, self._matcher, report)
        return NodeCamera(name, channel, CameraOutputs(self, name, self._matcher, log), report)

    # Models ----------------------------------------------------------------------------------

    def _load_beside(self, parameters: NodeParameters) -> _Preloaded:
        loading = _Preloaded(self._networks_of(parameters))
        self._load(parameters, loading.finish)
        return loading

    def _load(self, parameters: NodeParameters, done: Done) -> None:
        """Load all networks of some parameters in the loader's thread, which calls `done`."""

        def finish(result: Networks | DepthAnythingError) -> None:
            try:
                if isinstance(result, Networks):
                    self._load_completions(parameters)
            except Exception as error:
                result = DepthAnythingError(sentence_of(error))
            done(result)

        self._loader.load(model_settings_of(parameters), parameters.experts, finish)

    def _load_completions(self, parameters: NodeParameters) -> None:
        wanted = self._completions_of(parameters)
        if wanted:
            from depth_anything_ros.inference.completion import load_completion

            for name in wanted:
                load_completion(name)
            self._completions = wanted

    def _networks_of(self, parameters: NodeParameters) -> _NamesOfNetworks:
        return (
            model_settings_of(parameters),
            parameters.experts,
            self._completions_of(parameters),
        )

    def _completions_of(self, parameters: NodeParameters) -> frozenset[str]:
        names = (completion_of(scaler_settings_of(parameters, name)) for name in self._names)
        return frozenset(names) - {""}

    def _loaded(self, parameters: NodeParameters) -> tuple[Networks, float]:
        """The networks of some parameters, waiting for them as long as the node may live.

        Returns:
            The networks, and the seconds they took.
        """
        loading, self._preloaded = self._preloaded, None
        if loading is None or loading.networks != self._networks_of(parameters):
            loading = self._load_beside(parameters)
        while not loading.done.wait(0.05):
            if not self.context.ok():
                raise DepthAnythingError("stopped while the model was loading")
        if isinstance(loading.result, Networks):
            return loading.result, loading.seconds
        raise loading.result or DepthAnythingError("no model was loaded")

    def _swap(self, before: NodeSetup, loaded: Networks | DepthAnythingError) -> str | None:
        """Use a newly loaded model from the next frame on; or log why the old one stays.

        Args:
            before: The setup for which the model was loaded.
            loaded: The networks, or why there are none.
        """
        try:
            if isinstance(loaded, DepthAnythingError):
                raise loaded
            with self._changing:
                setup = self._setup
                if setup is None or setup.cameras.keys() != before.cameras.keys():
                    raise DepthAnythingError("the node was cleaned up meanwhile")
                cameras = {
                    name: replace(
                        own,
                        scaler=self._make_scaler(name, setup.parameters, loaded),
                        context=context_of(loaded.model.estimator),
                        temporal_filter=temporal_filter_of(setup.parameters),
                    )
                    for name, own in setup.cameras.items()
                }
                self._setup = replace(setup, networks=loaded, cameras=cameras)
        except Exception as error:
            reason = f"the model in use stays: {sentence_of(error)}"
            if self.context.ok():
                self.get_logger().error(reason)
            return reason
        for camera in self._cameras:
            camera.report.forget_scale()
        self._announce(loaded.model)
        return None

    def _announce(self, model: LoadedModel, seconds: float | None = None) -> None:
        estimator = model.estimator
        ready = "ready" if seconds is None else f"ready after {seconds:.1f} s"
        self.get_logger().info(
            f"model {model.info.name} ({estimator.kind.value}) on {estimator.device} in "
            f"{estimator.precision} with {estimator.backend}, {ready}; "
            f"scaler {self._settings.scaler}"
        )

    # Operation -------------------------------------------------------------------------------

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._loop.enabled = request.data
        response.success = True
        response.message = "images are answered" if request.data else "images are ignored"
        return response

    async def _on_load_model(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        setup = self._setup
        if setup is None:
            response.message = "the node is not configured; configure loads the model"
            return response
        loaded = Future(executor=self.executor)
        self._load(self._settings, loaded.set_result)
        result = await loaded
        error = self._swap(setup, result)
        response.success = error is None
        response.message = error or f"{result.model.info.name} is in use"
        return response

    async def _on_snapshot(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        written = Future(executor=self.executor)
        late = threading.Timer(_SNAPSHOT_PATIENCE, _give_up, [written])
        late.daemon = True
        late.start()
        self._loop.request_snapshot(written)
        result = await written
        late.cancel()
        response.success = isinstance(result, Path)
        response.message = str(result)
        return response

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        values = {change.name: change.value for change in changes}
        try:
            parameters = self._settings.changed(values)
            with self._changing:
                before = self._setup
                if before is not None:
                    self._setup = self._changed_setup(before, parameters, values)
        except Exception as error:
            return SetParametersResult(successful=False, reason=sentence_of(error))
        reload = parameters.input_size != self._settings.input_size
        reload = reload or not self._completions_of(parameters) <= self._completions_of(
            self._settings
        )
        self._settings = parameters
        if before is not None:
            self._settle(before, values, reload)
        return SetParametersResult(successful=True)

    def _changed_setup(
        self, before: NodeSetup, parameters: NodeParameters, names: Iterable[str]
    ) -> NodeSetup:
        """The setup with new parameters; what cannot be had is raised before anything changes."""
        placement = Placement(parameters, self._transforms)
        cameras = {
            name: self._camera_setup(name, parameters, before.networks, before)
            for name in self._names
        }
        sensors = before.sensors
        if sensors is not None and affects_sensor_inputs(names):
            sensors = self._listen_around(parameters, placement)
        return replace(
            before, parameters=parameters, cameras=cameras, placement=placement, sensors=sensors
        )

    def _settle(self, before: NodeSetup, names: Iterable[str], reload: bool) -> None:
        """What follows once new parameters are in use."""
        setup = self._configured()
        if before.sensors is not None and before.sensors is not setup.sensors:
            before.sensors.close()
        for camera in self._cameras:
            if before.sensors is not setup.sensors:
                camera.report.forget_points()
            if setup.cameras[camera.name].scaler is not before.cameras[camera.name].scaler:
                camera.report.forget_scale()
            if camera.channel.input is not None:
                camera.channel.input.change(setup.parameters)
        changed = [
            name
            for name in names_at_load(names)
            if getattr(before.parameters, name) != getattr(setup.parameters, name)
        ]
        if changed:
            self.get_logger().info(f"{', '.join(changed)}: takes effect at ~/load_model")
        if reload:
            self._load(setup.parameters, partial(self._swap, setup))

    # Parts of the setup ----------------------------------------------------------------------

    def _configured(self) -> NodeSetup:
        setup = self._setup
        if setup is None:
            raise SettingError("no model is loaded; configure the node first")
        return setup

    def _camera_setup(
        self,
        name: str,
        parameters: NodeParameters,
        networks: Networks,
        before: NodeSetup | None = None,
    ) -> CameraSetup:
        """What belongs to a camera; its scaler and files stay where nothing about them changed."""
        own = None if before is None else before.cameras[name]
        files = CameraFiles.read(parameters, name, None if own is None else own.files)
        limits = limits_of(parameters, files)
        context = context_of(networks.model.estimator) if own is None else own.context
        steady = temporal_filter_of(parameters)
        if own is not None and before is not None:
            if steady is not None and own.temporal_filter is not None:
                steady = own.temporal_filter
            settings = scaler_settings_of(parameters, name)
            if settings == scaler_settings_of(before.parameters, name):
                return CameraSetup(own.scaler, files, limits, context, own.ground_fusion, steady)
        scaler = self._make_scaler(name, parameters, networks)
        return CameraSetup(scaler, files, limits, context, temporal_filter=steady)

    def _make_scaler(
        self, camera: str, parameters: NodeParameters, networks: Networks
    ) -> MetricScaler:
        info: ModelInfo = networks.model.info
        settings = scaler_settings_of(parameters, camera)
        if completion_of(settings) not in {"", *self._completions}:
            settings = replace(settings, refinement="local")  # until it is loaded
        return make_scaler(settings, info)

    def _listen_around(self, parameters: NodeParameters, placement: Placement) -> SensorInputs:
        return SensorInputs(self._matcher, parameters, placement, self._worker.wake)

    def _scaler_of(self, camera: str) -> MetricScaler | None:
        setup = self._setup
        return None if setup is None else setup.cameras[camera].scaler

    def _scale_file_of(self, camera: str) -> Path | None:
        return scale_file_of(self._settings, camera)

    def _health(self, name: str) -> CameraHealth:
        setup = self._setup
        for camera in self._cameras:
            if camera.name == name and setup is not None and self._failure is None:
                model = setup.networks.model.description()
                return camera.report.health(camera.channel.input, model, self._settings.stale_after)
        loading = self._preloaded is not None and not self._preloaded.done.is_set()
        failure = self._failure
        if failure is None and loading:
            return CameraHealth.loading(self.get_fully_qualified_name(), name)
        return CameraHealth.unconfigured(self.get_fully_qualified_name(), name, failure)


_NamesOfNetworks = tuple[ModelSettings, tuple[str, ...], frozenset[str]]


class _Preloaded:
    """A model that is being loaded before it is needed."""

    def __init__(self, networks: _NamesOfNetworks) -> None:
        self.networks = networks
        self.done = threading.Event()
        self.result: Networks | DepthAnythingError | None = None
        self.seconds = 0.0
        self._started = time.perf_counter()

    def finish(self, result: Networks | DepthAnythingError) -> None:
        self.result = result
        self.seconds = time.perf_counter() - self._started
        self.done.set()


def _give_up(future: Future) -> None:
    if not future.done():
        future.set_result(f"no image was answered within {_SNAPSHOT_PATIENCE:g} s")


def main(arguments: list[str] | None = None, load: Load = load_and_warm) -> int:
    """Run the node until stopped.

    Args:
        arguments: Command line with ROS arguments; None takes the process's own.
        load: Makes the networks ready.

    Returns:
        0 after a normal stop and for --help, 1 when a start parameter is impossible or `autostart`
        fails for a reason that no parameter mends (a library is missing, something foreign broke).
    """
    if asks_for_help(arguments):
        print(usage("depth_node", _PURPOSE.format(doctor=own_command("doctor")), NodeParameters))
        return 0
    limit_arenas()
    transport_warning = prefer_shared_memory()
    node: DepthNode | None = None
    ended = True
    try:
        with ros(arguments):
            try:
                node = DepthNode(load)
                if transport_warning:
                    node.get_logger().warning(transport_warning)
                spin_until_stopped(node)
            except Exception:
                if rclpy.ok():  # else told to stop in the middle of something
                    raise
            finally:
                if node is not None:
                    ended = node.close()
                    node.destroy_node()
    except (DepthAnythingError, ParameterException, RCL_ERROR) as error:
        if node is not None:
            raise
        hint = "; set ROS_LOG_DIR to one that can" if "log directory" in str(error) else ""
        print(f"depth_node: {sentence_of(error)}{hint}", file=sys.stderr)
        return 1
    status = int(node is not None and node.hopeless)
    if not ended:
        exit_at_once(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
