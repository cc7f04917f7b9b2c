"""The depth node: camera images in, metric depth images and point clouds out."""

from __future__ import annotations

import dataclasses
import gc
import math
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from depth_anything_ros.errors import DepthAnythingError, InputError, SettingError
from depth_anything_ros.factory import (
    LoadedModel,
    ModelSettings,
    ScalerSettings,
    make_estimator,
    make_scaler,
)
from depth_anything_ros.frames import DepthFrame, Frame, Quality
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.node.delivery import prefer_shared_memory
from depth_anything_ros.node.diagnostics import CameraStatistics, camera_status
from depth_anything_ros.node.inputs import CameraInput, CameraSample
from depth_anything_ros.node.logs import log_through
from depth_anything_ros.node.messages import camera_from_info, image_to_rgb, nanoseconds
from depth_anything_ros.node.notices import Notices
from depth_anything_ros.node.outputs import CameraOutput, Output
from depth_anything_ros.node.parameters import NodeParameters, names_at_configure
from depth_anything_ros.node.scale_services import ScaleServices
from depth_anything_ros.node.surroundings import Surroundings, affect_surroundings
from depth_anything_ros.node.transforms import Transforms
from depth_anything_ros.node.worker import Worker
from depth_anything_ros.pipeline import Pipeline

_WARM_UP_SIZE = (480, 640)
_MATCH_PERIOD = 0.25
_DIAGNOSTICS_PERIOD = 1.0


class DepthNode(LifecycleNode):
    """The lifecycle shell around the pipeline.

    Configure loads and warms the model, activate subscribes, deactivate stops, cleanup frees. The
    executor's thread only stores what arrives; one worker thread decodes, infers, publishes.
    """

    def __init__(self, **arguments: Any) -> None:
        """Declare the parameters.

        Args:
            arguments: Passed on to rclpy's LifecycleNode (context, parameter_overrides, ...).

        Raises:
            SettingError: A parameter was started with an impossible value.
            rclpy.exceptions.ParameterException: One was started with another type.
        """
        super().__init__("depth_anything", **arguments)
        self._settings = NodeParameters.declare(self)
        log_through(self.get_logger())
        self._notices = Notices(self.get_logger())
        self._statistics = CameraStatistics()
        self._model: LoadedModel | None = None
        self._pipeline: Pipeline | None = None
        self._input: CameraInput | None = None
        self._surroundings: Surroundings | None = None
        self._output: CameraOutput | None = None
        self._worker: Worker | None = None
        self._last_answer: DepthFrame | None = None
        self._had_metres = False
        self._scaling = threading.Lock()
        self._transforms = Transforms(self)
        ScaleServices(
            self,
            lambda: self._pipeline.scaler if self._pipeline else None,
            lambda: self._settings.scale_file,
            self._scaling,
        )
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Simulated time may stand still; the node's own life must not.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DIAGNOSTICS_PERIOD, self._publish_diagnostics, clock=steady)
        self.create_timer(_MATCH_PERIOD, self._match_reliability, clock=steady)
        if self._settings.autostart:
            self._autostart = self.create_timer(0.0, self._start, clock=steady)

    # Lifecycle -------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the model, make the publishers; or say why not and stay unconfigured."""
        try:
            self._model = make_estimator(_model_settings(self._settings))
            scaler = self._make_scaler(self._settings)
            started = time.perf_counter()
            self._model.estimator.warm_up(*_WARM_UP_SIZE)
        except DepthAnythingError as error:
            self.get_logger().error(f"cannot configure: {error}")
            self._free()
            return TransitionCallbackReturn.FAILURE
        estimator = self._model.estimator
        self._pipeline = Pipeline(estimator, scaler)
        self._output = CameraOutput(self)
        self.get_logger().info(
            f"model {self._model.info.name} ({estimator.kind.value}) on {estimator.device} in "
            f"{estimator.precision} with {estimator.backend}, warmed up in "
            f"{time.perf_counter() - started:.1f} s; scaler {scaler.name}"
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start working."""
        result = super().on_activate(state)
        worker = Worker(self._step)
        self._worker = worker
        self._surroundings = self._listen_around(self._settings)
        self._input = CameraInput(
            self,
            self._settings.image_reliability,
            self._settings.camera_info_timeout,
            self._on_image,
            worker.wake,
            self._settings.points_timeout,
            self._points_complete,
        )
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
        """Stop the worker before the context goes away."""
        self._stop()

    def _start(self) -> None:
        self.destroy_timer(self._autostart)
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        if self._input is not None:
            self._input.close()
            self._input = None
        if self._surroundings is not None:
            self._surroundings.close()
            self._surroundings = None

    def _free(self) -> None:
        if self._output is not None:
            self._output.close()
        self._output = self._pipeline = self._model = self._last_answer = None
        self._had_metres = False
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    # One frame -------------------------------------------------------------------------------

    def _on_image(self, replaced: bool) -> None:
        self._statistics.receive()
        if replaced:
            self._statistics.drop("newer image came")

    def _step(self) -> float | None:
        """Answer the newest image. Runs in the worker's thread and never raises."""
        camera_input = self._input
        if camera_input is None or not self.context.ok():
            return None
        try:
            sample, wait = camera_input.take()
            if sample is not None:
                self._answer(sample)
            return wait
        except InputError as error:
            self._statistics.drop("unusable image")
            self._notices.warn(f"image not answered: {error}")
        except Exception as error:  # a robot's node outlives whatever one frame does to it
            if not self.context.ok():  # told to stop in the middle of a frame
                return None
            self._statistics.drop("error")
            self._notices.error(f"image not answered: {type(error).__name__}: {error}")
        return None

    def _answer(self, sample: CameraSample) -> None:
        output, pipeline, parameters = self._output, self._pipeline, self._settings
        if output is None or pipeline is None:
            return
        wanted = output.wanted()
        if not wanted:
            self._statistics.drop("nobody subscribes")
            return
        header = sample.image.header
        rgb = image_to_rgb(sample.image)
        camera = self._camera(sample, rgb.shape[1], rgb.shape[0])
        stamp = nanoseconds(header.stamp)
        frame = Frame(rgb, stamp, header.frame_id, camera)
        if self._surroundings is not None:
            frame = self._surroundings.complete(frame)
        with self._scaling:
            answer = pipeline.process(frame)
        self._last_answer = answer
        self._had_metres = self._had_metres or answer.depth_m is not None
        self._explain(answer, wanted)
        answer = self._without_metres(answer)
        if output.publish(answer, header, parameters):
            self._statistics.publish((self.get_clock().now().nanoseconds - stamp) * 1e-9)
        else:
            self._statistics.drop("no metres")

    def _camera(self, sample: CameraSample, width: int, height: int) -> Camera | None:
        """The camera of an image, or None (and a word to the user) when it cannot be known."""
        if sample.info is None:
            self._notices.warn_once(
                "no camera_info on "
                f"{self.resolve_topic_name('camera_info')} for frame "
                f"'{sample.image.header.frame_id}': depth is published, points are not; remap "
                "camera_info to the camera's calibration"
            )
            return None
        try:
            camera = camera_from_info(sample.info)
            if (camera.width, camera.height) != (width, height):
                raise InputError(
                    f"camera_info is for {camera.width}x{camera.height} but the image is "
                    f"{width}x{height}; make the driver publish the camera_info of its images"
                )
        except InputError as error:
            self._notices.warn_once(f"depth is published, points are not: {error}")
            return None
        return camera

    def _without_metres(self, answer: DepthFrame) -> DepthFrame:
        """An answer without scale as `on_invalid` wants it: unknown everywhere, or not at all.

        Where nothing has measured or was asked to measure, there are no metres to speak of.
        """
        measuring = self._had_metres or self._settings.scaler not in ("auto", "none", "network")
        if answer.depth_m is not None or self._settings.on_invalid == "drop" or not measuring:
            return answer
        unknown = np.full(answer.prediction.values.shape, np.nan, np.float32)
        return dataclasses.replace(answer, depth_m=unknown)

    def _explain(self, answer: DepthFrame, wanted: set[Output]) -> None:
        if answer.scale_state.quality is not Quality.INVALID:
            return
        if self._had_metres or self._settings.scaler not in ("auto", "none", "network"):
            self._notices.warn(f"depth is unknown: {answer.scale_state.reason}")
        elif wanted & {Output.DEPTH, Output.POINTS}:
            self._notices.warn_once(
                f"no metres on ~/depth/image and ~/points: {answer.scale_state.reason}; "
                f"~/{Output.DISPARITY.value} has the relative depth"
            )

    # Operation -------------------------------------------------------------------------------

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        values = {change.name: change.value for change in changes}
        try:
            parameters = self._settings.changed(values)
            changed = _scaler_settings(parameters) != _scaler_settings(self._settings)
            if changed and self._pipeline is not None:
                scaler = self._make_scaler(parameters)
                self._pipeline = Pipeline(self._pipeline.estimator, scaler)
            if self._surroundings is not None and affect_surroundings(values):
                around = self._listen_around(parameters)
                self._surroundings.close()
                self._surroundings = around
        except DepthAnythingError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._settings = parameters
        if self._input is not None:
            self._input.points_timeout = parameters.points_timeout
            self._input.set_reliability(parameters.image_reliability)
            self._input.info_timeout = parameters.camera_info_timeout
        later = names_at_configure(values)
        if later and self._model is not None:
            self.get_logger().info(f"{', '.join(later)}: takes effect at the next configure")
        return SetParametersResult(successful=True)

    def _make_scaler(self, parameters: NodeParameters) -> MetricScaler:
        if self._model is None:
            raise SettingError("no model is loaded; configure the node first")
        return make_scaler(_scaler_settings(parameters), self._model)

    def _listen_around(self, parameters: NodeParameters) -> Surroundings:
        return Surroundings(self, parameters, self._transforms, self._notices, self._wake)

    def _wake(self) -> None:
        if self._worker is not None:
            self._worker.wake()

    def _points_complete(self, stamp: int) -> bool:
        return self._surroundings is None or self._surroundings.are_complete(stamp)

    def _match_reliability(self) -> None:
        if self._input is not None:
            self._input.match_reliability()
        if self._surroundings is not None:
            self._surroundings.match()

    def _publish_diagnostics(self) -> None:
        model, answer = self._model, self._last_answer
        described = {} if model is None else model.description()
        status = camera_status(
            f"{self.get_fully_qualified_name()}: depth",
            described,
            self._statistics,
            None if answer is None else answer.scale_state,
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def _model_settings(parameters: NodeParameters) -> ModelSettings:
    return ModelSettings(
        model=parameters.model,
        device=parameters.device,
        precision=parameters.precision,
        input_size=parameters.input_size,
        num_threads=parameters.num_threads,
    )


def _scaler_settings(parameters: NodeParameters) -> ScalerSettings:
    given = parameters.scale > 0 or not parameters.scale_file
    return ScalerSettings(
        scaler=parameters.scaler,
        scale=parameters.scale,
        shift=parameters.shift,
        calibration=None if given else Path(parameters.scale_file).expanduser(),
        baseline=parameters.baseline,
        fit_shift={"auto": None, "always": True, "never": False}[parameters.fit_shift],
        min_points=parameters.min_points,
        refinement=parameters.refinement,
        max_age=math.inf if parameters.on_invalid == "hold" else parameters.scale_max_age,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop.

    Args:
        arguments: Command line with ROS arguments; None takes the process's own.

    Returns:
        0 after a normal stop, 1 when a start parameter is impossible.
    """
    hindrance = prefer_shared_memory()
    rclpy.init(args=arguments)
    try:
        node = DepthNode()
    except (SettingError, ParameterException) as error:
        print(f"depth_node: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    if hindrance:
        node.get_logger().warning(hindrance)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
