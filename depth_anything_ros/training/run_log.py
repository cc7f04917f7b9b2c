"""The log of a run: one JSON object per step, and optionally TensorBoard events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from depth_anything_ros.errors import require, writing
from depth_anything_ros.formats.whole_file import write_whole

LOG = "log.jsonl"
"""File with one JSON object per step and per validation in the output folder."""


class RunLog:
    """The files of a run's log, open for writing.

    Args:
        folder: The run's output folder.
        step: Step the run goes on from; what was logged after it is dropped.
        tensorboard: Whether to write TensorBoard events, too.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, step: int, tensorboard: bool) -> None:
        self._path = folder / LOG
        kept = [line for line in _lines(self._path) if line["step"] <= step]
        write_whole(self._path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 - see `close`
        self._events: Any = None
        if tensorboard:
            require("tensorboard", "train")
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(folder / "events"))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step.

        Args:
            step: Steps done.
            values: Numbers by name.

        Raises:
            InputError: The file cannot be written.
        """
        with writing(self._path):
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
        if self._events:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._events:
            self._events.close()


def _lines(path: Path) -> Iterator[dict[str, float]]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # noqa: PERF203
            return  # the line a kill cut short is the last
