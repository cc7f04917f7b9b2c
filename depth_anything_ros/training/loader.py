"""Batches by step number: the same step always gets the same pictures, however it is reached."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.training.augmentation import perturb
from depth_anything_ros.training.mixture import Mixture
from depth_anything_ros.training.recipe import Recipe
from depth_anything_ros.training.samples import Prepared, Sample, fit_size, prepare, to_network
from depth_anything_ros.training.sources import SourceRecipe

logger = logging.getLogger("depth_anything_ros")

_TRIES = 16

FARTHEST_CANONICAL = 80.0
"""Metres up to which a network with a canonical camera learns (as Virtual KITTI's: 80 m)."""


@dataclass(frozen=True)
class Batch:
    """Pictures that go through the network together.

    Attributes:
        image: N x 3 x h x w float32, normalised.
        target: N x h x w float32, disparity or metres.
        valid: N x h x w bool.
        pseudo: N bool, labels made by a network.
    """

    image: Tensor
    target: Tensor
    valid: Tensor
    pseudo: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(*(t.to(device, non_blocking=True) for t in self.tensors()))

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All tensors, in the order of the attributes."""
        return self.image, self.target, self.valid, self.pseudo


def collate(images: Sequence[Prepared]) -> Batch:
    """Put prepared pictures into one batch.

    Args:
        images: At least one, of one size.

    Returns:
        The batch.
    """
    return Batch(
        torch.from_numpy(np.stack([to_network(image.rgb) for image in images])),
        torch.from_numpy(np.stack([image.target for image in images])),
        torch.from_numpy(np.stack([image.valid for image in images])),
        torch.tensor([image.pseudo for image in images]),
    )


class Numbered(Dataset[Prepared]):
    """Training pictures by their number in the run.

    Args:
        recipe: The run.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._mixture = Mixture(
            tuple(source.open(recipe.seed) for source in recipe.sources),
            tuple(source.weight for source in recipe.sources),
            recipe.seed,
        )

    def __getitem__(self, number: int) -> Prepared:
        """Get a picture; one that cannot be read gives its place to the next that can."""
        for shift in range(_TRIES):
            source, index = self._mixture.place(number + shift)
            try:
                sample = self._mixture.sources[source].sample(index)
            except InputError as error:
                logger.warning("a training picture is passed over: %s", error)
                continue
            recipe = self._recipe
            rng = np.random.default_rng([recipe.seed, 4, number])
            size = (recipe.size[0], recipe.size[1])
            image = _prepare(sample, size, recipe, rng)
            if image.pseudo or recipe.perturb_labelled:
                rgb = perturb(rng, image.rgb, recipe.strong)
                image = Prepared(rgb, image.target, image.valid, image.pseudo)
            return image
        raise InputError(f"{_TRIES} training pictures in a row cannot be read; see the warnings")


def batches(recipe: Recipe, first_step: int, rank: int, world: int) -> Iterator[list[Batch]]:
    """The parts of every step's batch that belong to one process.

    Args:
        recipe: The run.
        first_step: Step to begin with.
        rank: Number of this process.
        world: How many processes share a batch.

    Yields:
        Per step its accumulation parts.

    Raises:
        SettingError: The batch cannot be split evenly.
    """
    share = recipe.batch // (world * recipe.accumulation)
    if share * world * recipe.accumulation != recipe.batch:
        raise SettingError(
            f"batch is {recipe.batch}; it must be a multiple of processes * accumulation = "
            f"{world} * {recipe.accumulation}"
        )
    numbers = [
        list(range(start, start + share))
        for step in range(first_step, recipe.steps)
        for part in range(recipe.accumulation)
        for start in [step * recipe.batch + (part * world + rank) * share]
    ]
    loader: DataLoader[Prepared] = DataLoader(
        Numbered(recipe),
        batch_sampler=numbers,
        num_workers=recipe.workers,
        collate_fn=collate,
        worker_init_fn=_start_worker if recipe.workers else None,
        multiprocessing_context="spawn" if recipe.workers else None,
    )
    parts: list[Batch] = []
    for part in loader:
        parts.append(part)
        if len(parts) == recipe.accumulation:
            yield parts
            parts = []


def _start_worker(_: int) -> None:
    """One thread per worker, and memory that is kept."""
    from depth_anything_ros.synthetic.rendering.memory import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()


def validation_images(
    recipe: Recipe, sources: Sequence[SourceRecipe], rank: int, world: int
) -> list[Prepared]:
    """One process's share of the held-out pictures, whole and unperturbed.

    Args:
        recipe: The run.
        sources: Where they come from, each giving equally many.
        rank: Number of this process.
        world: How many processes share them.

    Returns:
        The pictures.
    """
    images = []
    for position, source in enumerate(sources):
        opened = source.open(recipe.seed + 1)  # other worlds than those of training
        count = recipe.validation_images // len(sources)
        for number in range(min(count, len(opened) or count)):
            if (number + position) % world != rank:
                continue
            place = number * len(opened) // count if len(opened) > count else number
            sample = opened.sample(place)
            height, width = sample.rgb.shape[:2]
            size = fit_size(height, width, min(recipe.size), recipe.network.multiple_of)
            images.append(_prepare(sample, size, recipe))
    return images


def _prepare(
    sample: Sample, size: tuple[int, int], recipe: Recipe, rng: np.random.Generator | None = None
) -> Prepared:
    network = recipe.network
    limit = FARTHEST_CANONICAL if network.canonical_focal else network.max_depth or np.inf
    canonical = network.canonical_focal or None
    return prepare(sample, size, network.metric, rng, limit, recipe.smallest_crop, canonical)
