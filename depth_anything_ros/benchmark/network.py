"""Time, output difference and memory of a network's implementations at one image size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from depth_anything_ros.benchmark.implementations import (
    OFFICIAL,
    TRANSFORMERS,
    Implementation,
)
from depth_anything_ros.benchmark.network_process import NetworkProcess
from depth_anything_ros.benchmark.timing import Contender, Timing
from depth_anything_ros.errors import SettingError

PAUSE_S = 0.05
"""Rest before each turn, in which idle threads of the process before fall asleep."""

Measure = Callable[[Mapping[str, Contender]], dict[str, Timing]]
"""Lets contenders take turns and gives their timings."""


@dataclass(frozen=True)
class Row:
    """Result of one implementation.

    Attributes:
        contender: Its name.
        image: Size of the image, "HxW".
        batch: Images at once.
        timing: Per image.
        speed: How many times faster than the first implementation.
        difference: Largest difference from the first implementation's output, as a share of that
            output's standard deviation; None where the weights differ.
    """

    contender: str
    image: str
    batch: int
    timing: Timing
    speed: float
    difference: float | None

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {
            "contender": self.contender,
            "image": self.image,
            "batch": self.batch,
            **self.timing.as_dict(),
            "speed": self.speed,
            "difference": self.difference,
        }


def compare(
    ready: Sequence[NetworkProcess], shape: tuple[int, int], batch: int, measure: Measure
) -> list[Row]:
    """Compare implementations on a smooth random image.

    Args:
        ready: Their processes, the reference first.
        shape: (height, width) of the image.
        batch: Images at once.
        measure: See `Measure`.

    Returns:
        One row per implementation.
    """
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    image = cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    outputs = {process.name: process.set_images(image, batch) for process in ready}
    timings = measure({process.name: process.run for process in ready})
    first = ready[0].name
    reference = outputs[first]

    def difference(name: str) -> float | None:
        if name.startswith(TRANSFORMERS):  # it has random weights of its own
            return None
        return float(np.abs(outputs[name] - reference).max() / reference.std())

    return [
        Row(
            name,
            "x".join(map(str, shape)),
            batch,
            timing,
            timings[first].median_ms / timing.median_ms,
            difference(name),
        )
        for name, timing in timings.items()
    ]


def rival(text: str) -> Implementation:
    """The implementation that a value of `--against` names.

    Args:
        text: "official=PATH" or "transformers[:PRECISION]".

    Returns:
        The implementation.

    Raises:
        SettingError: It is neither.
    """
    name, _, path = text.partition("=")
    kind, _, precision = text.partition(":")
    if name == OFFICIAL and path:
        return Implementation(OFFICIAL, "fp32", Path(path).expanduser().resolve())
    if kind == TRANSFORMERS and precision in ("", "fp32", "fp16", "bf16"):
        return Implementation(TRANSFORMERS, precision or "fp32")
    raise SettingError(f"'{text}' is neither official=PATH nor transformers[:PRECISION]")


def backend_implementations(names: Sequence[str] | None, device: str) -> list[Implementation]:
    """The package's own backends that are to be compared.

    Args:
        names: Each "NAME" (all its precisions) or "NAME:PRECISION"; None for all backends that
            run on the device.
        device: As in `settings.ModelSettings`.

    Returns:
        The implementations.

    Raises:
        SettingError: A backend is not known.
    """
    from depth_anything_ros.inference.backend import BACKENDS
    from depth_anything_ros.inference.backends.torch.devices import choose_device

    kind = choose_device(device).type
    found = []
    for text in names or [each.name for each in BACKENDS if kind in each.devices]:
        name, _, precision = text.partition(":")
        if name not in BACKENDS.names():
            raise SettingError(f"'{name}' is not one of {', '.join(BACKENDS.names())}")
        backend = BACKENDS.get(name)
        known = backend.precisions.get(kind, backend.all_precisions)
        measured = [each for each in known if each not in backend.quantised]
        found += [Implementation(name, each) for each in ([precision] if precision else measured)]
    return found
