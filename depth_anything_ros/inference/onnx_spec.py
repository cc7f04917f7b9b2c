"""Input and output of an ONNX depth network: the small YAML beside the file, or its metadata."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from depth_anything_ros.errors import CheckpointError, SettingError, require
from depth_anything_ros.formats.whole_file import write_whole
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.model_info import INPUT_SIZE, UNKNOWN_LICENCE
from depth_anything_ros.network.outputs import CONFIDENCE, DEPTH, SKY
from depth_anything_ros.network.preprocessing import (
    AREA_OR_CUBIC,
    INTERPOLATIONS,
    MEAN,
    SIDES,
    STD,
    Preprocessing,
)

METADATA_KEY = "depth_anything_ros"
"""The entry of an ONNX file's metadata_props that holds the spec as JSON."""

TEMPLATE = """\
kind: metric_depth        # metric_depth (metres), relative_depth or relative_disparity
input_size: [224, 224]    # fixed [height, width], or one number: one side, aspect kept
side: shorter             # for one number: which side that is, shorter or longer
multiple_of: 14           # for one number: both sides are rounded to multiples of this
scale: 0.00392156862745   # factor on 0..255 before mean and std (1/255)
mean: [0.0, 0.0, 0.0]
std: [1.0, 1.0, 1.0]
max_depth: null           # metres the network was trained up to; predictions are cut there
interpolation: linear     # how the image is resized: cubic, linear, area or area_or_cubic
align_corners: false      # how the output is enlarged: true for Depth Anything
guided_enlargement: false # whether along the image's edges: for networks of small, blurred output
input_name: null          # tensor names, null for the first ones
output_name: null
sky_name: null            # tensor that tells sky, where there is one
confidence_name: null     # tensor of the network's own confidence, where there is one
canonical_focal: null     # pixels; metres = depth * focal length / canonical_focal
licence: unknown          # SPDX name
"""


@dataclass(frozen=True)
class OnnxSpec:
    """How to feed an ONNX depth network and how to read it.

    Attributes:
        kind: What its output means.
        input_size: (height, width) to which every image is stretched, or one number: one side of
            the input, aspect kept.
        side: Which side that is, "shorter" or "longer"; see `Preprocessing`.
        multiple_of: What both sides are multiples of when `input_size` is one number.
        scale: Factor on 0..255 before mean and deviation.
        mean: Per channel (RGB), subtracted after `scale`.
        std: Per channel, divided by after `mean`.
        max_depth: Metres the network was trained up to; metric predictions are cut there.
        interpolation: How the image is resized; see `Preprocessing`.
        align_corners: Whether the output is enlarged with aligned corners (Depth Anything), else
            pixel centres are aligned (OpenCV's INTER_LINEAR).
        guided_enlargement: Whether depth is enlarged with its edges where the image has them; then
            pixel centres are aligned.
        input_name: Name of the image tensor, None for the first input.
        output_name: Name of the depth tensor, None for the first output.
        sky_name: Name of the tensor that tells sky, None where there is none.
        confidence_name: Name of the tensor of the network's confidence, None where there is none.
        canonical_focal: See `ModelInfo`.
        licence: SPDX name of the weights' licence.
    """

    kind: PredictionKind
    input_size: int | tuple[int, int] = INPUT_SIZE
    side: str = "shorter"
    multiple_of: int = 14
    scale: float = 1 / 255
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    max_depth: float | None = None
    interpolation: str = "cubic"
    align_corners: bool = True
    guided_enlargement: bool = False
    input_name: str | None = None
    output_name: str | None = None
    sky_name: str | None = None
    confidence_name: str | None = None
    canonical_focal: float | None = None
    licence: str = UNKNOWN_LICENCE

    def __post_init__(self) -> None:
        """Refuse invalid values.

        Raises:
            SettingError: A value is out of range; the message names it.
        """
        sides = (self.input_size,) if isinstance(self.input_size, int) else self.input_size
        if len(sides) not in (1, 2) or any(not isinstance(s, int) or s < 1 for s in sides):
            raise SettingError(
                f"input_size is {self.input_size}; it must be one positive number or two"
            )
        if self.side not in SIDES:
            raise SettingError(f"side is '{self.side}'; use {' or '.join(SIDES)}")
        if self.interpolation == AREA_OR_CUBIC and not isinstance(self.input_size, int):
            raise SettingError(
                f"interpolation is '{AREA_OR_CUBIC}', which needs input_size as one number"
            )
        if self.multiple_of < 1:
            raise SettingError(f"multiple_of is {self.multiple_of}; it must be at least 1")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(value > 0 for value in self.std):
            raise SettingError("mean and std must have three numbers, std positive ones")
        if self.interpolation not in INTERPOLATIONS:
            raise SettingError(
                f"interpolation is '{self.interpolation}'; use {', '.join(INTERPOLATIONS)}"
            )
        if self.canonical_focal is not None and not (
            isinstance(self.canonical_focal, int | float) and 0 < self.canonical_focal < math.inf
        ):
            raise SettingError(
                f"canonical_focal is {self.canonical_focal}; it must be a positive number of pixels"
            )
        if self.max_depth is not None and not (
            isinstance(self.max_depth, int | float) and 0 < self.max_depth < math.inf
        ):
            raise SettingError(f"max_depth is {self.max_depth}; it must be positive metres")

    def tensors(self, first: str) -> dict[str, str]:
        """Names of the graph's outputs, by the names of `network.outputs`.

        Args:
            first: The graph's first output.
        """
        others = {SKY: self.sky_name, CONFIDENCE: self.confidence_name}
        named = {name: tensor for name, tensor in others.items() if tensor is not None}
        return {DEPTH: self.output_name or first, **named}

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes the input; `input_size` of it counts where it is one number."""
        return Preprocessing(
            input_size=self.input_size if isinstance(self.input_size, int) else INPUT_SIZE,
            side=self.side,
            multiple_of=self.multiple_of,
            scale=self.scale,
            mean=self.mean,
            std=self.std,
            interpolation=self.interpolation,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in YAML and JSON."""
        values = asdict(self)
        values["kind"] = self.kind.value
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OnnxSpec:
        """Read plain values.

        Args:
            values: As `as_dict` gives; only `kind` is needed.

        Returns:
            The spec.

        Raises:
            SettingError: A name is unknown, `kind` is missing or a value is not valid.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise SettingError(f"'{unknown[0]}' is not known; use {', '.join(sorted(known))}")
        kinds = [kind.value for kind in PredictionKind]
        if values.get("kind") not in kinds:
            raise SettingError(f"kind is {values.get('kind')!r}; use {' or '.join(kinds)}")
        clean: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        clean["kind"] = PredictionKind(values["kind"])
        try:
            return cls(**clean)
        except TypeError as error:
            raise SettingError(f"a value has the wrong type: {error}") from error


FAST_DEPTH = OnnxSpec(
    kind=PredictionKind.METRIC_DEPTH,
    input_size=(224, 224),
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    interpolation="linear",
    align_corners=False,
    licence="MIT",
)
"""FastDepth (Wofk et al. 2019), trained on NYUv2: RGB in 0..1 at 224x224, output in metres."""

KNOWN_FILES = {
    "6275c23f467d476874d0eecea2a2c7059733ca6681de4f17bfbfe3fc3a52a71d": FAST_DEPTH,
}
"""SHA-256 of published files that come without a spec."""


def spec_of(path: str | Path) -> OnnxSpec:
    """How to feed and read an ONNX file.

    Taken from `<stem>.yaml` beside it, else from its metadata (our own exports), else from the
    table of known files.

    Args:
        path: The .onnx file.

    Returns:
        The spec.

    Raises:
        CheckpointError: The YAML or metadata is not valid, the file is damaged, or nothing is
            known about it; the text then shows a YAML to start from.
        MissingExtraError: onnx is not installed.
    """
    path = Path(path)
    beside = path.with_suffix(".yaml")
    if beside.is_file():
        return _read_yaml(beside)
    onnx = require("onnx", "onnx")
    try:
        metadata = onnx.load(path, load_external_data=False).metadata_props
    except Exception as error:  # protobuf's DecodeError, whichever protobuf is installed
        raise CheckpointError(f"'{path}' is damaged or not an ONNX file; get it again") from error
    for entry in metadata:
        if entry.key == METADATA_KEY:
            return _from_values(json.loads(entry.value), f"the metadata of '{path}'")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest in KNOWN_FILES:
        return KNOWN_FILES[digest]
    raise CheckpointError(
        f"the input of '{path}' is not described; write '{beside.name}' beside it, for example:\n"
        f"{TEMPLATE}"
    )


def write_yaml(spec: OnnxSpec, path: str | Path) -> None:
    """Write the YAML that `spec_of` reads.

    Args:
        spec: What to write.
        path: The .yaml file.
    """
    import yaml

    text = yaml.safe_dump(spec.as_dict(), sort_keys=False, default_flow_style=None)
    write_whole(Path(path), text)


def _read_yaml(path: Path) -> OnnxSpec:
    from depth_anything_ros.formats.yaml_text import load_yaml

    try:
        values = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"'{path}' is not readable YAML: {error}") from error
    return _from_values(values, f"'{path}'")


def _from_values(values: object, where: str) -> OnnxSpec:
    if not isinstance(values, dict):
        raise CheckpointError(f"{where} holds no table of settings; start from:\n{TEMPLATE}")
    try:
        return OnnxSpec.from_dict(values)
    except SettingError as error:
        raise CheckpointError(f"{where}: {error}") from error


def resized_spec(spec: OnnxSpec, input_size: int | None) -> OnnxSpec:
    """The spec at another input size, as far as the network allows it.

    Args:
        spec: The network's own.
        input_size: Its side in pixels, None for the network's own.

    Returns:
        The spec to use.

    Raises:
        SettingError: The network has a fixed size.
    """
    if input_size is None or spec.input_size == input_size:
        return spec
    if not isinstance(spec.input_size, int):
        raise SettingError(
            f"input_size is {input_size} but this network takes {list(spec.input_size)} only"
        )
    return replace(spec, input_size=input_size)
