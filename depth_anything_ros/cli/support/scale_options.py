"""Options of the scaler, and the rules between them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.support.command_line import PATH, LateChoice, gathered, option, stacked
from depth_anything_ros.settings import ScalerSettings

if TYPE_CHECKING:
    from depth_anything_ros.frames import Plane

METRES = "Metres"
"""Heading of the options about scale in `--help`."""

_FIT_SHIFT = {"auto": None, "always": True, "never": False}


def file_scalers() -> list[str]:
    """Names of the scalers that files allow: those that need poses are left to the node."""
    from depth_anything_ros.metric.selection import AUTO, NONE
    from depth_anything_ros.metric.source import SCALE_SOURCES, FrameInput

    poses = {FrameInput.POSE, FrameInput.SLAM}
    return [AUTO, NONE, *(each.name for each in SCALE_SOURCES if not each.inputs & poses)]


fit_options = stacked(
    option(
        "--fit-shift",
        type=click.Choice(list(_FIT_SHIFT)),
        default="auto",
        heading=METRES,
        help="Fit a shift beside the scale; auto: for relative models only.",
    ),
    option(
        "--min-points",
        type=click.IntRange(min=1),
        default=6,
        heading=METRES,
        help="Fewest measured points that are trusted.",
    ),
)

extrinsics_option = functools.partial(
    option,
    "--extrinsics",
    metavar="'X Y Z QX QY QZ QW'",
    heading=METRES,
)


@dataclass(frozen=True)
class ScaleOptions:
    """The scaler that the options name.

    Attributes:
        settings: The scaler and its numbers.
        has_constant: Whether scale or scale file were given.
        points: File or folder of measured points, or None.
        extrinsics: Where the sensor of the points stands, as `read_extrinsics` takes it, or None.
        camera_height: Metres above the ground, or None.
        camera_pitch: Degrees the camera looks down.
        camera_roll: Degrees it leans to the right.
    """

    settings: ScalerSettings
    has_constant: bool
    points: Path | None
    extrinsics: str | None
    camera_height: float | None
    camera_pitch: float
    camera_roll: float

    def ground(self) -> Plane | None:
        """The ground in the optical frame, None where the camera's height is not known."""
        if self.camera_height is None:
            return None
        from depth_anything_ros.frames import Plane
        from depth_anything_ros.geometry.ground import up_of_attitude

        x, y, z = up_of_attitude(self.camera_pitch, self.camera_roll)
        return Plane((float(x), float(y), float(z)), self.camera_height)

    @property
    def wants_metres(self) -> bool:
        """Whether anything is given that makes metres of relative depth."""
        settings = self.settings
        if settings.scaler != "auto":
            return settings.scaler != "none"
        return bool(
            self.points is not None
            or self.camera_height is not None
            or settings.scale > 0
            or settings.scale_file is not None
            or settings.baseline > 0
        )

    def check(self, has_camera: bool) -> None:
        """Refuse a scaler whose input is missing.

        Args:
            has_camera: Whether the camera is known.

        Raises:
            click.BadParameter: The message says what the scaler needs.
        """
        settings = self.settings
        if settings.scaler in ("auto", "none"):
            return
        from depth_anything_ros.metric.source import SCALE_SOURCES, FrameInput

        needed = {settings.scaler, *SCALE_SOURCES.get(settings.scaler).inputs}
        if FrameInput.POINTS in needed:
            has_camera = True  # points in pixels need none, and others raise their own error
        given = {
            FrameInput.POINTS: (self.points is not None, "--points"),
            FrameInput.GROUND: (self.camera_height is not None, "--camera-height"),
            "baseline": (bool(settings.baseline), "--baseline"),
            "fixed": (self.has_constant, "--scale or --scale-file"),
            FrameInput.CAMERA: (has_camera, "--intrinsics, --hfov or --camera"),
        }
        for need, (there, options) in given.items():
            if need in needed and not there:
                raise click.BadParameter(
                    f"{settings.scaler} needs {options}", param_hint="--scaler"
                )


def _scale_options(
    scaler: str | None,
    points: Path | None,
    extrinsics: str | None,
    fit_shift: str,
    min_points: int,
    refinement: str,
    prior_model: str,
    ground_fusion: bool,
    temporal_filter: str,
    camera_height: float | None,
    camera_pitch: float,
    camera_roll: float,
    baseline: float | None,
    scale: float | None,
    shift: float,
    scale_file: Path | None,
    max_age: float,
) -> ScaleOptions:
    if shift and scale is None:
        raise click.BadParameter("it needs --scale", param_hint="--shift")
    if scale is not None and scale_file is not None:
        raise click.UsageError("--scale and --scale-file exclude each other; give one")
    if camera_height is not None and not camera_height > 0:
        raise click.BadParameter(f"{camera_height:g} is not above 0", param_hint="--camera-height")
    if (camera_pitch or camera_roll) and camera_height is None:
        raise click.UsageError("--camera-pitch and --camera-roll need --camera-height")
    if extrinsics is not None and points is None:
        raise click.BadParameter("it needs --points", param_hint="--extrinsics")
    measured = not (points is None and camera_height is None and baseline is None)
    constant = scale is not None or scale_file is not None
    settings = ScalerSettings(
        scaler=scaler or ("fixed" if constant and not measured else "auto"),
        scale=scale or 0.0,
        shift=shift,
        scale_file=scale_file,
        baseline=baseline or 0.0,
        fit_shift=_FIT_SHIFT[fit_shift],
        min_points=min_points,
        refinement=refinement,
        prior_model=prior_model,
        ground_fusion=ground_fusion,
        temporal_filter=temporal_filter == "on",
        max_age=max_age,
    )
    return ScaleOptions(
        settings, constant, points, extrinsics, camera_height, camera_pitch, camera_roll
    )


scale_options = gathered(
    "scale_options",
    _scale_options,
    option(
        "--scaler",
        type=LateChoice(file_scalers),
        heading=METRES,
        help="Source of metres; auto is the best that the options allow. By default fixed where "
        "only --scale or --scale-file is given, else auto.",
    ),
    option(
        "--points",
        type=PATH,
        metavar="FILE|FOLDER",
        heading=METRES,
        help="Measured points of the image: .npz with arrays u v z (pixels, metres) or xyz, or "
        ".csv with such columns; for several images a folder of NAME.npz or NAME.csv.",
    ),
    extrinsics_option(
        help="Brings points in x y z into the camera's optical frame; also 16 numbers, or a "
        "YAML file with either. By default what the points file holds as `extrinsics`.",
    ),
    fit_options,
    option(
        "--refinement",
        type=click.Choice(["local", "prior", "none"]),
        default="local",
        heading=METRES,
        help="Whether points correct the depth around them, too; prior: and a network finishes it.",
    ),
    option(
        "--prior-model",
        default="prior_depth_anything_vits_1_1",
        metavar="NAME|FILE",
        heading=METRES,
        help="Second stage of Prior Depth Anything, for --refinement prior.",
    ),
    option(
        "--ground-fusion/--no-ground-fusion",
        default=True,
        heading=METRES,
        help="Put floor on the ground plane, where that is known, and obstacles at their feet.",
    ),
    option(
        "--temporal-filter",
        type=click.Choice(["off", "on"]),
        default="off",
        heading=METRES,
        help="on: average depth along the camera's motion, in videos and recordings.",
    ),
    option(
        "--camera-height",
        type=float,
        heading=METRES,
        help="Metres above the ground (ground_plane).",
    ),
    option(
        "--camera-pitch",
        type=click.FloatRange(-90, 90),
        default=0.0,
        heading=METRES,
        help="Degrees the camera looks down.",
    ),
    option(
        "--camera-roll",
        type=click.FloatRange(-180, 180),
        default=0.0,
        heading=METRES,
        help="Degrees it leans to the right.",
    ),
    option(
        "--baseline",
        type=float,
        heading=METRES,
        help="Virtual stereo baseline of a relative model in metres: Z = f * B / disparity.",
    ),
    option(
        "--scale",
        type=float,
        heading=METRES,
        help="1/Z = scale * disparity + shift (metric model: Z = scale * Z + shift).",
    ),
    option("--shift", type=float, default=0.0, heading=METRES, help="Goes with --scale."),
    option(
        "--scale-file",
        type=PATH,
        metavar="YAML",
        heading=METRES,
        help="Scale and shift as `calibrate` or the node saved them.",
    ),
    option(
        "--max-age",
        type=float,
        default=2.0,
        heading=METRES,
        help="Seconds a video's scale is held without a measurement.",
    ),
)
"""Adds the options; the function gets them as `scale_options`."""


def fit_shift_of(word: str) -> bool | None:
    """The value of `--fit-shift` as `ScalerSettings.fit_shift` has it.

    Args:
        word: One of the choices.

    Returns:
        None for auto.
    """
    return _FIT_SHIFT[word]
