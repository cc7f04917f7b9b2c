"""Objective of a run: the losses of a batch, weighted by its recipe."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from depth_anything_ros.network.trainable import TrainableNetwork
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

    def __init__(self, network: TrainableNetwork, recipe: Recipe) -> None:
        self._network = network
        self._recipe = recipe
        self._frozen = None
        if recipe.feature_weight:
            self._frozen = copy.deepcopy(network).requires_grad_(False).eval()

    def loss(self, batch: Batch, chance: list[int]) -> Tensor:
        """Run the network over a batch and score what it gives.

        Args:
            batch: Pictures and labels, on the network's device.
            chance: Key of the random choices (CutMix).

        Returns:
            The loss, a scalar with its graph.
        """
        recipe = self._recipe
        image = batch.image.contiguous(memory_format=torch.channels_last)
        terms = [(batch.target, batch.valid, 1.0)]
        cut = self._cut(batch, chance)
        if cut is not None:
            image, terms = cut.mix(image), cut.split(batch.target, batch.valid)
        features, prediction = self._forward(image)
        loss = prediction.new_zeros(())
        for target, valid, share in terms:
            loss = loss + share * self._label_loss(prediction, target, valid, batch.pseudo)
        if self._frozen is not None:
            with torch.no_grad(), self._autocast(image.device):
                wanted = self._frozen.encode(image)[-1]
            aligned = losses.feature_alignment(_tokens(features[-1]), _tokens(wanted))
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
        """The encoder's features, and disparity or metres."""
        recipe, network = self._recipe, self._network
        with self._autocast(image.device):
            with torch.no_grad() if recipe.freeze_encoder else nullcontext():
                features = network.encode(image)
            out = network.decode(features, image.shape[-2], image.shape[-1])
        limit = network.max_depth
        if network.canonical_focal is not None:
            return features, out.float().exp()
        if limit:
            return features, out.float().sigmoid() * limit
        # A fixed scale keeps values above 0 by itself; what is cut off would not learn.
        return features, out.float() if recipe.fixed_scale else out.float().relu()

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
        if recipe.network.canonical_focal:
            return self._canonical_loss(prediction, target, valid, pseudo)
        loss = prediction.new_zeros(())
        pseudo_edges = recipe.gradient_weight * recipe.pseudo_gradient_share
        for chosen, of_pseudo in ((~pseudo, False), (pseudo, True)):
            if not bool(chosen.any()):
                continue
            trimmed = recipe.trimmed if of_pseudo else 0.0
            ours, truth, known = prediction[chosen], target[chosen], valid[chosen]
            if recipe.fixed_scale:
                part = losses.fixed_scale(ours, truth, known, trimmed)
                edges = losses.gradients(ours - losses.fixed_target(truth, known), known)
            else:
                part = losses.scale_shift_invariant(ours, truth, known, trimmed)
                edges = losses.gradient_matching(ours, truth, known)
            part = part + (pseudo_edges if of_pseudo else recipe.gradient_weight) * edges
            if recipe.log_depth_weight and not of_pseudo:
                part = part + recipe.log_depth_weight * losses.aligned_log_depth(ours, truth, known)
            if recipe.relative_depth_weight and not of_pseudo:
                part = part + recipe.relative_depth_weight * _relative_depth(ours, truth, known)
            loss = loss + part * chosen.float().mean()
        return loss

    def _canonical_loss(
        self, prediction: Tensor, target: Tensor, valid: Tensor, pseudo: Tensor
    ) -> Tensor:
        """L1 and gradients of log depth; edges of pseudo-labels count less."""
        recipe = self._recipe
        loss = prediction.new_zeros(())
        for chosen, share in ((~pseudo, 1.0), (pseudo, recipe.pseudo_gradient_share)):
            if not bool(chosen.any()):
                continue
            error = losses.log_difference(prediction[chosen], target[chosen], valid[chosen])
            known = valid[chosen].flatten(1).sum(1).clamp_min(1)
            part = (error.abs().flatten(1).sum(1) / known).mean()
            edges = losses.gradients(error, valid[chosen])
            part = part + recipe.gradient_weight * share * edges
            loss = loss + part * chosen.float().mean()
        return loss

    def _autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        if self._recipe.precision == "fp32":
            return nullcontext()
        return torch.autocast(device.type, torch.bfloat16)


def _relative_depth(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """The mean over the ranges that benchmarks score."""
    parts = [
        losses.aligned_relative_depth(prediction, target, valid, farthest)
        for farthest in losses.RELATIVE_RANGES
    ]
    return torch.stack(parts).mean()


def _tokens(features: Tensor) -> Tensor:
    """Features as N x tokens x C, from maps as well."""
    return features.flatten(2).transpose(1, 2) if features.dim() == 4 else features
