"""What a run minimises: the losses of a batch, weighted as its recipe says."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from depth_anything_ros.network.families.depth_anything.network import DepthAnything
from depth_anything_ros.network.families.depth_anything.vit import PATCH
from depth_anything_ros.training import losses
from depth_anything_ros.training.augmentation import CutMix, draw_cutmix
from depth_anything_ros.training.loader import Batch
from depth_anything_ros.training.recipe import Recipe


class Objective:
    """The loss of batches, with the frozen start of the encoder where features are aligned.

    Args:
        network: The network to train, as it starts.
        recipe: The run.
    """

    def __init__(self, network: DepthAnything, recipe: Recipe) -> None:
        self._network = network
        self._recipe = recipe
        self._frozen = None
        if recipe.feature_weight:
            self._frozen = copy.deepcopy(network.pretrained).requires_grad_(False).eval()

    def loss(self, batch: Batch, chance: list[int]) -> Tensor:
        """Run the network over a batch and score what it gives.

        Args:
            batch: Pictures and labels, on the network's device.
            chance: Key of the random choices (CutMix).

        Returns:
            The loss, a scalar with its graph.
        """
        recipe, network = self._recipe, self._network
        image = batch.image.contiguous(memory_format=torch.channels_last)
        terms = [(batch.target, batch.valid, 1.0)]
        cut = self._cut(batch, chance)
        if cut is not None:
            image, terms = cut.mix(image), cut.split(batch.target, batch.valid)
        tokens, prediction = self._forward(image)
        loss = prediction.new_zeros(())
        for target, valid, share in terms:
            loss = loss + share * self._label_loss(prediction, target, valid, batch.pseudo)
        if self._frozen is not None:
            with torch.no_grad(), self._autocast(image.device):
                (wanted,) = self._frozen(image, network.config.taps[-1:])
            aligned = losses.feature_alignment(tokens[-1], wanted)
            loss = loss + recipe.feature_weight * aligned
        return loss

    def _cut(self, batch: Batch, chance: list[int]) -> CutMix | None:
        """The CutMix of some batches of pseudo-labelled pictures."""
        if not bool(batch.pseudo.all()) or len(batch.image) < 2:
            return None
        rng = np.random.default_rng(chance)
        if rng.uniform() >= self._recipe.strong.cutmix:
            return None
        height, width = batch.image.shape[-2:]
        return draw_cutmix(rng, height, width, batch.image.device)

    def _forward(self, image: Tensor) -> tuple[Any, Tensor]:
        """The encoder's tokens, and disparity or metres."""
        recipe, network = self._recipe, self._network
        rows, columns = image.shape[-2] // PATCH, image.shape[-1] // PATCH
        with self._autocast(image.device):
            with torch.no_grad() if recipe.freeze_encoder else nullcontext():
                tokens = network.pretrained(image, network.config.taps)
            out = network.depth_head(tokens, rows, columns).squeeze(1)
        limit = network.config.max_depth
        if limit:
            return tokens, out.float().sigmoid() * limit
        # A fixed scale keeps values above 0 by itself; what is cut off would not learn.
        return tokens, out.float() if recipe.fixed_scale else out.float().relu()

    def _label_loss(
        self, prediction: Tensor, target: Tensor, valid: Tensor, pseudo: Tensor
    ) -> Tensor:
        recipe = self._recipe
        if recipe.network.max_depth:
            loss = losses.silog(prediction, target, valid)
            if recipe.normal_weight:
                focal = prediction.new_full((len(target),), float(target.shape[-1]))
                normals = losses.surface_normal(prediction, target, valid, focal)
                loss = loss + recipe.normal_weight * normals
            return loss
        loss = prediction.new_zeros(())
        for chosen, trimmed in ((~pseudo, 0.0), (pseudo, recipe.trimmed)):
            if not bool(chosen.any()):
                continue
            ours, truth, known = prediction[chosen], target[chosen], valid[chosen]
            if recipe.fixed_scale:
                part = losses.fixed_scale(ours, truth, known, trimmed)
                edges = losses.gradients(ours - losses.fixed_target(truth, known), known)
            else:
                part = losses.scale_shift_invariant(ours, truth, known, trimmed)
                edges = losses.gradient_matching(ours, truth, known)
            part = part + recipe.gradient_weight * edges
            loss = loss + part * chosen.float().mean()
        return loss

    def _autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        if self._recipe.precision == "fp32":
            return nullcontext()
        return torch.autocast(device.type, torch.bfloat16)
