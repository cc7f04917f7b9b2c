"""Inputs of `depth_anything run`, one by one: the work of one process, or of many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from depth_anything_ros.api import Model, load
from depth_anything_ros.cli.support.camera_options import CameraOptions
from depth_anything_ros.cli.support.engine import Work
from depth_anything_ros.cli.support.measured import MeasuredOptions
from depth_anything_ros.cli.support.output_options import OutputOptions
from depth_anything_ros.cli.support.run_job import Job, Tally
from depth_anything_ros.cli.support.scale_options import ScaleOptions
from depth_anything_ros.errors import SettingError
from depth_anything_ros.formats.depth_layouts import check_layout
from depth_anything_ros.formats.inputs import Input, Kind
from depth_anything_ros.formats.recording import Topics
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.installed_commands import own_command
from depth_anything_ros.pipeline import DepthLimits
from depth_anything_ros.settings import ModelSettings


@dataclass(frozen=True)
class RunPlan:
    """What is done with every input; it can be sent to another process.

    Attributes:
        model: The network to use.
        scale: Options of the scaler.
        camera: What is known about the camera.
        measured: What is known of the scene.
        limits: Which depths are given out.
        output: What is written, and where.
        topics: The topics of a recording that the user names.
        requests: What the JSON of each input's result names as `request`, by the input's name.
    """

    model: ModelSettings
    scale: ScaleOptions
    camera: CameraOptions
    measured: MeasuredOptions
    limits: DepthLimits
    output: OutputOptions
    topics: Topics
    requests: Mapping[str, str]

    def load(self, kinds: frozenset[Kind]) -> Model:
        """Load the network and refuse outputs that it cannot have.

        Args:
            kinds: Kinds of the inputs.

        Raises:
            DepthAnythingError: The network cannot be had, or gives no metres that are needed.
        """
        network = load(self.model, scaler=self.scale.settings, limits=self.limits)
        measured_by_itself = Kind.RECORDING in kinds
        has_metres = network.is_metric or self.scale.wants_metres or measured_by_itself
        if self.output.cloud and not has_metres:
            raise SettingError(
                f"--cloud needs metres, but {network.info.name} gives {network.kind.words}; use a "
                f"metric model (`{own_command('models')}` lists them) or a source like --points"
            )
        check_layout(self.output.layout, Kind.IMAGE not in kinds, has_metres)
        return network


@dataclass(frozen=True)
class Ran:
    """What came of some inputs, and of which network.

    Attributes:
        tally: What came of them.
        kind: What the network's numbers are.
        description: The network, by name: model, kind, licence, backend, device, precision.
    """

    tally: Tally
    kind: PredictionKind
    description: Mapping[str, str]


class _Unwatched:
    """A progress bar that nobody sees."""

    def start(self, source: Input) -> None:
        """An input is begun."""

    def advance(self) -> None:
        """A picture is done."""


def set_up(plan: RunPlan, kinds: frozenset[Kind]) -> Work:
    """Load the network once, for all inputs of a worker.

    Args:
        plan: What is done.
        kinds: Kinds of all inputs.

    Returns:
        What does one `Input` and returns a `Ran`.

    Raises:
        DepthAnythingError: The network cannot be used.
    """
    return partial(_run, plan, plan.load(kinds))


def _run(plan: RunPlan, network: Model, source: Input) -> Ran:
    tally = Tally()
    Job(
        network,
        source,
        plan.camera.camera_of_size(),
        plan.measured,
        plan.output,
        plan.topics,
        plan.requests[source.name],
        tally,
        _Unwatched(),
    ).run()
    return Ran(tally, network.kind, network.description)
