"""The small YAML file that keeps a scale and shift (parameter `scale_file`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import yaml

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.whole_file import write_whole
from depth_anything_ros.formats.yaml_text import load_yaml
from depth_anything_ros.frames import PredictionKind


@dataclass(frozen=True)
class SavedScale:
    """A saved scale and shift, and the kind of network they belong to.

    Attributes:
        kind: What the network's values mean; scale and shift are useless for another kind.
        scale: Factor on the network's values, above 0.
        shift: Added after the factor, 1/m for disparity and m for depth.
        method: Name of the scale source that found them, or "fixed".
    """

    kind: PredictionKind
    scale: float
    shift: float = 0.0
    method: str = "fixed"

    def __post_init__(self) -> None:
        """Refuse what cannot be a scale and shift.

        Raises:
            SettingError: The scale is not a positive number or the shift is not finite.
        """
        check_scale(self.scale, self.shift)


def check_scale(scale: float, shift: float) -> None:
    """Refuse a scale and shift that cannot give metres.

    Args:
        scale: Factor on the network's values.
        shift: Added after the factor.

    Raises:
        SettingError: The scale is not a positive number or the shift is not finite.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise SettingError(f"scale is {scale:g}; it must be a positive number")
    if not math.isfinite(shift):
        raise SettingError(f"shift is {shift:g}; it must be a finite number")


def save_scale(saved: SavedScale, path: Path) -> None:
    """Write a scale file; `load_scale` reads it back exactly.

    The file is complete or not there: a full disk leaves an older one as it was.

    Args:
        saved: What to write.
        path: The file; an existing scale file is replaced, missing folders are made.

    Raises:
        InputError: The file cannot be written, or there is another kind of file.
    """
    fields = {
        "kind": saved.kind.value,
        "scale": float(saved.scale),
        "shift": float(saved.shift),
        "method": saved.method,
    }
    check_replaceable(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, yaml.safe_dump(fields, sort_keys=False), durable=True)
    except OSError as error:
        raise InputError(f"cannot write the scale file {path}: {error.strerror}") from error


def check_replaceable(path: Path) -> None:
    """Refuse to replace a file that is no scale file: it may be the robot's own configuration.

    Args:
        path: Where a scale file will be written.

    Raises:
        InputError: There is another kind of file.
    """
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return
    try:
        load_scale(path)
    except InputError as error:
        raise InputError(
            f"{path} exists and is not a scale file, so it is not replaced; choose another "
            "file or move it away"
        ) from error


def load_scale(path: Path) -> SavedScale:
    """Read what `save_scale` wrote.

    Args:
        path: A YAML file with `kind`, `scale`, `shift` and optionally `method`.

    Returns:
        The scale.

    Raises:
        InputError: The file is missing, is not such YAML or holds unusable numbers.
    """
    try:
        fields = load_yaml(path.read_text(encoding="utf-8"))
        return SavedScale(
            kind=PredictionKind(fields["kind"]),
            scale=float(fields["scale"]),
            shift=float(fields.get("shift", 0.0)),
            method=str(fields.get("method", "fixed")),
        )
    except OSError as error:
        raise InputError(f"cannot read the scale file {path}: {error.strerror}") from error
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
    ) as error:
        kinds = ", ".join(kind.value for kind in PredictionKind)
        raise InputError(
            f"{path} is not a scale file ({error}); it needs `kind` ({kinds}), `scale` above 0 "
            "and `shift`"
        ) from error
