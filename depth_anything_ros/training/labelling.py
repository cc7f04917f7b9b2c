"""A teacher labels a folder of pictures."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from depth_anything_ros.errors import SettingError
from depth_anything_ros.formats.picture_folder import PictureFolder
from depth_anything_ros.formats.result_folder import ResultFolder
from depth_anything_ros.training.processes import Processes
from depth_anything_ros.training.pseudo_labels import Labeller, LabelReport, write_labels
from depth_anything_ros.training.recipe import LabelRecipe
from depth_anything_ros.training.samples import fit_size, to_network

_NEAREST = 0.01  # metres; a metric expert's disparity has an end


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
        progress: Called with the number of pictures done and in all.

    Returns:
        What was done.

    Raises:
        InputError: There are no pictures, or the output holds labels of others.
        CheckpointError: The teacher or another expert cannot be loaded.
        SettingError: The recipe names no teacher, or a metric one.
    """
    peers = processes or Processes(recipe.device)
    label = make_labeller(recipe, peers.device)
    pictures = PictureFolder(recipe.images)
    report = _write(recipe, pictures, label, peers.rank, peers.world, progress)
    write_skipped(recipe, report.skipped, peers.rank)
    peers.wait()
    return report


def make_labeller(recipe: LabelRecipe, device: torch.device) -> Labeller:
    """Load the teacher and the other experts.

    Args:
        recipe: The run.
        device: Where the teacher runs.

    Returns:
        What labels pictures.

    Raises:
        CheckpointError: The teacher or another expert cannot be loaded.
        SettingError: The recipe names no teacher, or a metric one.
    """
    if not recipe.network.checkpoint or recipe.network.max_depth:
        raise SettingError("pseudo-labels need a relative teacher: set network.checkpoint alone")
    teacher = Path(recipe.network.checkpoint).expanduser()
    is_graph = teacher.suffix == ".onnx"
    experts = [_expert(teacher, recipe.device) if is_graph else _teacher(recipe, device)]
    experts += [_expert(Path(path).expanduser(), recipe.device) for path in recipe.experts]

    def label(images: list[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        disparities = [expert(images) for expert in experts]
        return [_agreed(of_image) for of_image in zip(*disparities, strict=True)]

    return label


def shard_count(recipe: LabelRecipe, pictures: PictureFolder) -> int:
    """Number of shards that a recipe's pictures make."""
    return -(-len(pictures.names) // recipe.shard_size)


def label_shard(
    recipe: LabelRecipe, label: Labeller, pictures: PictureFolder, number: int
) -> LabelReport:
    """Label the pictures of one shard, where it is not there already.

    Args:
        recipe: The run.
        label: As `make_labeller` gives it.
        pictures: The recipe's pictures.
        number: The shard, from 0.

    Returns:
        What was done.

    Raises:
        InputError: The output holds labels of other pictures.
    """
    shards = shard_count(recipe, pictures)
    return _write(recipe, pictures, label, number, shards, lambda done, total: None)


def write_skipped(recipe: LabelRecipe, skipped: Sequence[tuple[str, str]], rank: int = 0) -> str:
    """List the pictures that could not be read beside the shards.

    Args:
        recipe: The run.
        skipped: Names and reasons.
        rank: Number of this process.

    Returns:
        The file.
    """
    name = f"skipped-{rank}.csv"
    with (
        ResultFolder(recipe.output).writing_file(name) as part,
        part.open("w", newline="", encoding="utf-8") as stream,
    ):
        csv.writer(stream).writerows([("image", "reason"), *skipped])
    return f"{recipe.output}/{name}"


def _write(
    recipe: LabelRecipe,
    pictures: PictureFolder,
    label: Labeller,
    rank: int,
    world: int,
    progress: Callable[[int, int], None],
) -> LabelReport:
    return write_labels(
        pictures,
        ResultFolder(recipe.output),
        label,
        recipe.shard_size,
        recipe.batch,
        rank,
        world,
        progress,
    )


def _teacher(recipe: LabelRecipe, device: torch.device) -> Labeller:
    network = recipe.network.build().to(device).eval()
    bf16 = recipe.precision == "bf16"
    multiple = network.preprocessing.multiple_of

    @torch.no_grad()
    def label(images: list[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        by_size: dict[tuple[int, int], list[int]] = {}
        for number, image in enumerate(images):
            size = fit_size(image.shape[0], image.shape[1], recipe.input_size, multiple)
            by_size.setdefault(size, []).append(number)
        answers: dict[int, npt.NDArray[np.float32]] = {}
        for (height, width), numbers in by_size.items():
            small = [
                cv2.resize(images[n], (width, height), interpolation=cv2.INTER_CUBIC)
                for n in numbers
            ]
            inputs = np.stack([to_network(np.asarray(image, np.uint8)) for image in small])
            batch = torch.from_numpy(inputs).to(device)
            with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
                disparity = network(batch).float()
                # A picture seen in a mirror has the same depth: the mean of both is steadier.
                mirrored = network(batch.flip(-1)).float().flip(-1)
            answers |= dict(zip(numbers, ((disparity + mirrored) / 2).cpu().numpy(), strict=True))
        return [answers[number] for number in range(len(images))]

    return label


def _expert(path: Path, device: str) -> Labeller:
    """Another network, from an ONNX file with its description."""
    from depth_anything_ros.inference.backends.onnxruntime import OnnxEstimator

    estimator = OnnxEstimator(path, device=device)

    def label(images: list[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        predictions = estimator.estimate(images)
        if estimator.kind.inverse:
            return [prediction.values for prediction in predictions]
        return [
            1 / np.maximum(prediction.values, np.float32(_NEAREST)) for prediction in predictions
        ]

    return label


def _agreed(disparities: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """The mean of the experts' disparities, each brought to median 0 and mean deviation 1."""
    if len(disparities) == 1:
        return disparities[0]
    height, width = disparities[0].shape
    total = np.zeros((height, width), np.float32)
    for disparity in disparities:
        same = np.asarray(cv2.resize(disparity, (width, height), interpolation=cv2.INTER_LINEAR))
        centred = same - np.median(same)
        total += centred / max(float(np.abs(centred).mean()), 1e-6)
    return total / np.float32(len(disparities))
