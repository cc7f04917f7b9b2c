"""Shards of pictures to label: the work behind `train pseudo-label` with several workers."""

from __future__ import annotations

from functools import partial

import torch

from depth_anything_ros.cli.support.engine import Work
from depth_anything_ros.formats.picture_folder import PictureFolder
from depth_anything_ros.training.labelling import label_shard, make_labeller
from depth_anything_ros.training.recipe import LabelRecipe


def set_up(recipe: LabelRecipe, pictures: PictureFolder) -> Work:
    """Load the teacher once, for all shards of a worker.

    Args:
        recipe: The run.
        pictures: The recipe's pictures.

    Returns:
        What labels the shard of a number.

    Raises:
        DepthAnythingError: The teacher cannot be had.
    """
    label = make_labeller(recipe, torch.device(recipe.device))
    return partial(label_shard, recipe, label, pictures)
