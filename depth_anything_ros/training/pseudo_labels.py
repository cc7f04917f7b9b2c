"""Labels a teacher makes for pictures, written in shards.

Format: a folder with `shard-000000.zip`, `shard-000001.zip`, ... (stored, not compressed). Each
holds `index.json` and one 16-bit PNG per picture, `0000.png` and so on. The index is an object
with `labels`, a list of `{"image": path of the picture relative to the folder of pictures,
"label": name of the PNG, "low": disparity at 0, "high": disparity at 65535}`, and `skipped`, a list
of `{"image", "reason"}`. A shard is written under another name and renamed when it is complete, so
a run that was stopped goes on with the shards that are missing; shard N is made by process
N modulo the number of processes.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, reading
from depth_anything_ros.formats.media import encoded, read_image
from depth_anything_ros.formats.picture_folder import PictureFolder
from depth_anything_ros.formats.result_folder import ResultFolder
from depth_anything_ros.installed_commands import own_command
from depth_anything_ros.training.samples import Sample

Labeller = Callable[[list[npt.NDArray[np.uint8]]], list[npt.NDArray[np.float32]]]
"""Pictures (HxWx3 uint8 RGB) in, disparities (hxw float32) out."""


@dataclass(frozen=True)
class LabelReport:
    """What a run of labelling did.

    Attributes:
        labelled: Pictures that got a label now.
        present: Shards that were there already.
        skipped: Pictures that could not be read, with the reasons, in this process's shards.
    """

    labelled: int
    present: int
    skipped: tuple[tuple[str, str], ...]


def write_labels(
    pictures: PictureFolder,
    output: ResultFolder,
    label: Labeller,
    shard_size: int = 256,
    batch: int = 8,
    rank: int = 0,
    world: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LabelReport:
    """Label pictures shard by shard; what is there already is kept.

    Args:
        pictures: The pictures, the same in every process and every run.
        output: Folder of the shards.
        label: The teacher.
        shard_size: Pictures per shard.
        batch: Pictures given to the teacher at once.
        rank: Number of this process.
        world: How many processes share the work.
        progress: Called with the number of this process's pictures done and in all.

    Returns:
        What was done.

    Raises:
        InputError: The shards in `output` were made from another list of pictures.
    """
    output.make()
    starts = range(0, len(pictures.names), shard_size)
    mine = [number for number in range(len(starts)) if number % world == rank]
    total = sum(len(pictures.names[starts[n] : starts[n] + shard_size]) for n in mine)
    labelled = present = done = 0
    skipped: list[tuple[str, str]] = []
    for number in mine:
        names = pictures.names[starts[number] : starts[number] + shard_size]
        shard = f"shard-{number:06d}.zip"
        if output.has(shard):
            with output.reading(shard) as here:
                index = _read_index(here)
            known = sorted(item["image"] for item in index["labels"] + index["skipped"])
            if known != sorted(names):
                raise InputError(
                    f"{output}/{shard} was made from other pictures than {pictures.place} holds "
                    "now; use another output folder"
                )
            present += 1
        else:
            with output.writing_file(shard) as part:
                index = _write_shard(part, pictures, names, label, batch)
            labelled += len(index["labels"])
        skipped += [(item["image"], item["reason"]) for item in index["skipped"]]
        done += len(names)
        progress(done, total)
    return LabelReport(labelled, present, tuple(skipped))


def _write_shard(
    shard: Path, pictures: PictureFolder, names: Sequence[str], label: Labeller, batch: int
) -> dict[str, Any]:
    index: dict[str, Any] = {"labels": [], "skipped": []}
    with zipfile.ZipFile(shard, "w", zipfile.ZIP_STORED) as archive:
        for start in range(0, len(names), batch):
            read: list[tuple[str, npt.NDArray[np.uint8]]] = []
            for name in names[start : start + batch]:
                try:
                    read.append((name, pictures.read(name)))
                except InputError as error:  # noqa: PERF203
                    index["skipped"].append({"image": name, "reason": str(error)})
            answers = label([image for _, image in read]) if read else []
            for (name, _), disparity in zip(read, answers, strict=True):
                low, high = float(disparity.min()), float(disparity.max())
                levels = (disparity.astype(np.float64) - low) / (high - low or 1.0) * 65535
                member = f"{len(index['labels']):04d}.png"
                archive.writestr(member, encoded(np.rint(levels).astype(np.uint16), ".png"))
                entry = {"image": name, "label": member, "low": low, "high": high}
                index["labels"].append(entry)
        archive.writestr("index.json", json.dumps(index))
    return index


def _read_index(shard: Path) -> dict[str, Any]:
    with reading(shard, "a shard of pseudo-labels (delete it)"), zipfile.ZipFile(shard) as archive:
        index: dict[str, Any] = json.loads(archive.read("index.json"))
        return index


class PseudoLabels:
    """Pictures with the labels of a teacher.

    Args:
        pictures: The folder of the pictures.
        labels: The folder of the shards.

    Raises:
        InputError: There are no shards, or one cannot be read.
    """

    def __init__(self, pictures: Path, labels: Path, focal: float | None = None) -> None:
        self._pictures = pictures
        self._focal = focal
        shards = sorted(labels.glob("shard-??????.zip"))
        self._items = [(shard, item) for shard in shards for item in _read_index(shard)["labels"]]
        if not self._items:
            make = own_command("train pseudo-label")
            raise InputError(f"{labels} holds no pseudo-labels; run `{make}` first")

    def __len__(self) -> int:
        """Number of labelled pictures."""
        return len(self._items)

    def sample(self, number: int) -> Sample:
        """Get one picture with its disparity at the picture's size."""
        shard, item = self._items[number]
        rgb = read_image(self._pictures / item["image"])
        with reading(shard, "a shard of pseudo-labels (delete it)"):
            with zipfile.ZipFile(shard) as archive:
                raw = np.frombuffer(archive.read(item["label"]), np.uint8)
            levels = np.asarray(cv2.imdecode(raw, cv2.IMREAD_UNCHANGED), np.float32)
            disparity = item["low"] + levels / np.float32(65535) * (item["high"] - item["low"])
        height, width = rgb.shape[:2]
        full = cv2.resize(disparity, (width, height), interpolation=cv2.INTER_LINEAR)
        focal = self._focal * height if self._focal else None
        return Sample(rgb, disparity=full.astype(np.float32), focal=focal)
