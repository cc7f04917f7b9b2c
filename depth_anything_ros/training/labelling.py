"""A teacher labels a folder of pictures."""

from __future__ import annotations

import csv
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from depth_anything_ros.errors import SettingError
from depth_anything_ros.training.processes import Processes
from depth_anything_ros.training.pseudo_labels import LabelReport, write_labels
from depth_anything_ros.training.recipe import LabelRecipe
from depth_anything_ros.training.samples import fit_size, to_network
from depth_anything_ros.training.sources import ImageFolder


def label_pictures(
    recipe: LabelRecipe,
    processes: Processes | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LabelReport:
    """Label the pictures of a recipe, this process's share of them.

    Pictures that cannot be read are listed in `skipped-RANK.csv` beside the shards.

    Args:
        recipe: The run.
        processes: This process among its peers.
        progress: Told how many pictures are done, and how many there are.

    Returns:
        What was done.

    Raises:
        InputError: There are no pictures, or the output holds labels of others.
        CheckpointError: The teacher cannot be loaded.
        SettingError: The recipe names no teacher, or a metric one.
    """
    if not recipe.network.checkpoint or recipe.network.max_depth:
        raise SettingError("pseudo-labels need a relative teacher: set network.checkpoint alone")
    peers = processes or Processes(recipe.device)
    network = recipe.network.build().to(peers.device).eval()
    bf16 = recipe.precision == "bf16"

    @torch.no_grad()
    def label(images: list[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        by_size: dict[tuple[int, int], list[int]] = {}
        for number, image in enumerate(images):
            size = fit_size(image.shape[0], image.shape[1], recipe.input_size)
            by_size.setdefault(size, []).append(number)
        answers: dict[int, npt.NDArray[np.float32]] = {}
        for (height, width), numbers in by_size.items():
            small = [
                to_network(
                    cv2.resize(images[n], (width, height), interpolation=cv2.INTER_CUBIC).astype(
                        np.uint8
                    )
                )
                for n in numbers
            ]
            batch = torch.from_numpy(np.stack(small)).to(peers.device)
            with torch.autocast(peers.device.type, torch.bfloat16) if bf16 else nullcontext():
                disparity = network(batch).float().cpu().numpy()
            answers |= dict(zip(numbers, disparity, strict=True))
        return [answers[number] for number in range(len(images))]

    pictures, output = Path(recipe.images), Path(recipe.output)
    report = write_labels(
        pictures,
        ImageFolder(pictures).paths,
        output,
        label,
        recipe.shard_size,
        recipe.batch,
        peers.rank,
        peers.world,
        progress,
    )
    with open(output / f"skipped-{peers.rank}.csv", "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("image", "reason"), *report.skipped])
    peers.wait()
    return report
