"""What the worker needs to know for a frame: one immutable snapshot, swapped as a whole.

Callbacks of the executor make a new one and put it in place of the old; a frame in process keeps
the one it was taken with. So no thread waits for another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from depth_anything_ros.confidence.agreement import FLIP, ZOOMS
from depth_anything_ros.inference.frame_context import FrameContext
from depth_anything_ros.metric.ground_fusion import GroundFusion
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.metric.temporal_filter import TemporalFilter
from depth_anything_ros.node.camera.files import CameraFiles, scale_file_of
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.runtime.model_loader import Networks
from depth_anything_ros.node.sensors.inputs import SensorInputs
from depth_anything_ros.node.sensors.placement import Placement
from depth_anything_ros.pipeline import ConfidenceSources, DepthLimits
from depth_anything_ros.settings import ModelSettings, ScalerSettings


@dataclass(frozen=True)
class CameraSetup:
    """What belongs to one camera.

    Attributes:
        scaler: Its scaler; it has state, and is safe to be operated from any thread.
        files: Its calibration and mask.
        limits: Which of its depths are given out.
        context: What its images are seen with; None where the network sees each alone.
        ground_fusion: What makes its depth and the ground one; it has state.
        temporal_filter: Steadies its depth; None where each image is taken alone.
    """

    scaler: MetricScaler
    files: CameraFiles
    limits: DepthLimits
    context: FrameContext | None = None
    ground_fusion: GroundFusion = field(default_factory=GroundFusion)
    temporal_filter: TemporalFilter | None = None


@dataclass(frozen=True)
class NodeSetup:
    """The node at one moment, once it is configured.

    Attributes:
        parameters: The values of all parameters.
        networks: The network and its experts.
        cameras: By name of the camera.
        placement: Poses of frames and sensors relative to the cameras.
        sensors: What is measured around the cameras; None while the node is not active.
    """

    parameters: NodeParameters
    networks: Networks
    cameras: Mapping[str, CameraSetup]
    placement: Placement
    sensors: SensorInputs | None = None

    def confidence_sources(self) -> ConfidenceSources:
        """What confidence is computed from, by parameters and model."""
        choice, experts = self.parameters.confidence, self.networks.experts
        if choice == "auto":
            metric = self.networks.model.estimator.kind.metric
            choice = "off" if experts else "zoom" if metric else "flip"
        return ConfidenceSources({"flip": FLIP, "zoom": ZOOMS}.get(choice, ()), experts)


def temporal_filter_of(parameters: NodeParameters) -> TemporalFilter | None:
    """A filter that has seen nothing yet, where the parameters ask for one."""
    return TemporalFilter() if parameters.temporal_filter == "on" else None


def limits_of(parameters: NodeParameters, files: CameraFiles) -> DepthLimits:
    """Which depths of a camera are given out.

    Args:
        parameters: Ranges, confidence, sigma, `on_invalid`.
        files: The camera's mask.
    """
    nearest, furthest = parameters.range_limits
    return DepthLimits(
        nearest,
        furthest,
        parameters.min_confidence,
        parameters.max_relative_sigma,
        files.hidden,
        fill_invalid=parameters.on_invalid != "drop",
    )


def model_settings_of(parameters: NodeParameters) -> ModelSettings:
    """Which network the parameters ask for, and how it runs."""
    return ModelSettings(
        model=parameters.model,
        device=parameters.device,
        precision=parameters.precision,
        input_size=parameters.input_size,
        num_threads=parameters.num_threads,
        backend=parameters.backend,
        window=parameters.window,
    )


def scaler_settings_of(parameters: NodeParameters, camera: str) -> ScalerSettings:
    """The settings of a camera's scaler.

    Args:
        parameters: Scaler and what belongs to it.
        camera: Name of the camera, empty for the only one.

    Raises:
        SettingError: The scale file's parameter cannot be read.
    """
    file = scale_file_of(parameters, camera)
    return ScalerSettings(
        scaler=parameters.scaler,
        scale=parameters.scale,
        shift=parameters.shift,
        scale_file=None if parameters.scale > 0 else file,
        baseline=parameters.baseline,
        fit_shift={"auto": None, "always": True, "never": False}[parameters.fit_shift],
        min_points=parameters.min_points,
        refinement=parameters.refinement,
        prior_model=parameters.prior_model,
        max_age=math.inf if parameters.on_invalid == "hold" else parameters.scale_max_age,
    )
