"""The training loop: plain PyTorch, resumed exactly where it was stopped.

Everything at chance is drawn from the seed and the step's number, so a checkpoint needs no state
of random generators, and a run that was killed and resumed follows the same curve.
"""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depth_anything_ros.errors import CheckpointError, require
from depth_anything_ros.network.checkpoints import save_network
from depth_anything_ros.network.families.depth_anything.network import DepthAnything
from depth_anything_ros.network.families.depth_anything.vit import PATCH
from depth_anything_ros.training import losses
from depth_anything_ros.training.augmentation import draw_cutmix
from depth_anything_ros.training.loader import Batch, batches, validation_images
from depth_anything_ros.training.muon import Muon, is_matrix
from depth_anything_ros.training.processes import Processes
from depth_anything_ros.training.recipe import Recipe
from depth_anything_ros.training.validation import validate

CHECKPOINT = "checkpoint.pt"
"""File of the run's state in its output folder."""

LOG = "log.jsonl"
"""File with one JSON object per step and per validation in the output folder."""

RESULT = "model.safetensors"
"""File of the trained network in the output folder."""

Report = Callable[[int, dict[str, float]], None]


class Trainer:
    """One run, from its recipe or from the checkpoint it left.

    Args:
        recipe: The run.
        processes: This process among its peers.

    Raises:
        CheckpointError: The checkpoint in the output folder is of another network.
    """

    def __init__(self, recipe: Recipe, processes: Processes | None = None) -> None:
        self.recipe = recipe
        self.processes = processes or Processes(recipe.device)
        self.device = self.processes.device
        torch.manual_seed(recipe.seed)
        # Channels last is the layout of the fast convolutions, on CPUs with bfloat16 above all.
        network = recipe.network.build().to(self.device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.frozen = None
        if recipe.feature_weight:
            self.frozen = copy.deepcopy(self.network.pretrained).requires_grad_(False).eval()
        if recipe.freeze_encoder:
            self.network.pretrained.requires_grad_(False)
        self.optimizers = _optimizers(self.network, recipe)
        self.average: dict[str, Tensor] | None = None
        if recipe.ema:
            self.average = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.step = 0
        self._output = Path(recipe.output)
        self._output.mkdir(parents=True, exist_ok=True)
        if (self._output / CHECKPOINT).exists():
            self._resume()

    def run(self, report: Report = lambda step, values: None) -> dict[str, float]:
        """Train to the end, and write the network.

        Args:
            report: Told every step's number and values (loss, rate, images per second), and the
                scores of validations.

        Returns:
            The scores of the last validation; empty without validation pictures.
        """
        recipe, peers = self.recipe, self.processes
        held_out = validation_images(recipe, recipe.validation, peers.rank, peers.world)
        events = self._events()
        log = self._open_log() if peers.first else None
        scores: dict[str, float] = {}
        self._set_training()
        started = time.perf_counter()
        for parts in batches(recipe, self.step, peers.rank, peers.world):
            values = self._train_step(parts)
            now = time.perf_counter()
            self.step += 1
            line: dict[str, float] = {"step": self.step, **values}
            due = self.step % recipe.validate_every == 0 or self.step == recipe.steps
            if recipe.validation and due:
                scores = self._validate(held_out)
                line |= scores
            if log:
                log.write(json.dumps(line) + "\n")
                log.flush()
            if events:
                for name, value in line.items():
                    events.add_scalar(name, value, self.step)
            speed = recipe.batch / max(now - started, 1e-9)
            report(self.step, {**values, **(scores if due else {}), "images_per_s": speed})
            if self.step % recipe.save_every == 0 or self.step == recipe.steps:
                self._save()
            started = time.perf_counter()
        if log:
            log.close()
        if events:
            events.close()
        if peers.first:
            path = self._output / RESULT
            result = copy.deepcopy(self.result())
            if recipe.weights == "fp16":
                result.half()
            save_network(result, path, recipe.licence, recipe.best_input_size)
        peers.wait()
        return scores

    def result(self) -> DepthAnything:
        """The network with the averaged weights, where they are averaged.

        Returns:
            The network itself, or a copy.
        """
        if self.average is None:
            return self.network
        averaged = copy.deepcopy(self.network)
        averaged.load_state_dict(self.average)
        return averaged

    def _set_training(self) -> None:
        self.network.train()
        if self.recipe.freeze_encoder:
            self.network.pretrained.eval()  # its normalisations stay as they are, too

    def _train_step(self, parts: list[Batch]) -> dict[str, float]:
        recipe = self.recipe
        factor = self._rate_factor()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * factor
            optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for number, part in enumerate(parts):
            loss = self._loss(part.to(self.device), number) / len(parts)
            loss.backward()
            total += float(loss.detach())
        learning = [p for p in self.network.parameters() if p.requires_grad]
        self.processes.average_gradients(learning)
        norm = nn.utils.clip_grad_norm_(learning, recipe.clip)
        # One broken batch must not spoil the weights for good.
        if torch.isfinite(norm):
            for optimizer in self.optimizers:
                optimizer.step()
        self._average_weights()
        rate = recipe.head_rate * factor
        return {"loss": self.processes.mean(total), "gradient": float(norm), "rate": rate}

    def _rate_factor(self) -> float:
        """Up from 0 over the warm-up, then linearly down to 0."""
        recipe = self.recipe
        if self.step < recipe.warm_up:
            return (self.step + 1) / recipe.warm_up
        return (recipe.steps - self.step) / max(1, recipe.steps - recipe.warm_up)

    def _loss(self, batch: Batch, part: int) -> Tensor:
        recipe = self.recipe
        image = batch.image.contiguous(memory_format=torch.channels_last)
        terms = [(batch.target, batch.valid, 1.0)]
        if bool(batch.pseudo.all()) and len(image) > 1:
            key = [recipe.seed, 5, self.step, part, self.processes.rank]
            rng = np.random.default_rng(key)
            if rng.uniform() < recipe.strong.cutmix:
                cut = draw_cutmix(rng, image.shape[-2], image.shape[-1], self.device)
                image, terms = cut.mix(image), cut.split(batch.target, batch.valid)
        rows, columns = image.shape[-2] // PATCH, image.shape[-1] // PATCH
        network = self.network
        with self._autocast():
            with torch.no_grad() if recipe.freeze_encoder else nullcontext():
                tokens = network.pretrained(image, network.config.taps)
            out = network.depth_head(tokens, rows, columns).squeeze(1)
        limit = network.config.max_depth
        if limit:
            prediction = out.float().sigmoid() * limit
        else:
            # A fixed scale keeps values above 0 by itself; what is cut off would not learn.
            prediction = out.float() if recipe.fixed_scale else out.float().relu()
        loss = prediction.new_zeros(())
        for target, valid, share in terms:
            loss = loss + share * self._label_loss(prediction, target, valid, batch.pseudo)
        if self.frozen is not None:
            with torch.no_grad(), self._autocast():
                (wanted,) = self.frozen(image, network.config.taps[-1:])
            aligned = losses.feature_alignment(tokens[-1], wanted)
            loss = loss + recipe.feature_weight * aligned
        return loss

    def _label_loss(
        self, prediction: Tensor, target: Tensor, valid: Tensor, pseudo: Tensor
    ) -> Tensor:
        recipe = self.recipe
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

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.recipe.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    @torch.no_grad()
    def _average_weights(self) -> None:
        if self.average is None:
            return
        # Early weights are far from the end; the average forgets them faster.
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:  # how many batches a normalisation has seen
                self.average[name].copy_(value)

    def _validate(self, held_out: list[Any]) -> dict[str, float]:
        metric = self.recipe.network.max_depth > 0
        scores = validate(self.result(), held_out, metric, self.device)
        self._set_training()
        return {name: self.processes.mean(value) for name, value in scores.items()}

    def _save(self) -> None:
        if not self.processes.first:
            return
        part = self._output / f"{CHECKPOINT}.part"
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": self.average,
        }
        with open(part, "wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())  # a checkpoint that is there is whole, whatever happens
        part.replace(self._output / CHECKPOINT)

    def _resume(self) -> None:
        path = self._output / CHECKPOINT
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(kept)
        except (RuntimeError, KeyError, ValueError, EOFError) as error:
            raise CheckpointError(
                f"'{path}' does not fit this recipe: {str(error).splitlines()[0]}; use another "
                "output folder, or delete it to start anew"
            ) from error
        self.average = state["average"]
        self.step = int(state["step"])

    def _open_log(self) -> Any:
        """The log without what came after the checkpoint that is resumed."""
        path = self._output / LOG
        kept = [line for line in _lines(path) if line["step"] <= self.step]
        path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        return open(path, "a", encoding="utf-8")

    def _events(self) -> Any:
        if not (self.recipe.tensorboard and self.processes.first):
            return None
        require("tensorboard", "train")
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self._output / "events"))


def _lines(path: Path) -> Iterator[dict[str, float]]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # noqa: PERF203
            return  # the line a kill cut short is the last


def _optimizers(network: DepthAnything, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """AdamW with a rate of its own for the encoder; Muon for the matrices where it is wanted."""
    rest: list[dict[str, Any]] = []
    matrices: list[nn.Parameter] = []
    for part, rate in (
        (network.pretrained, recipe.encoder_rate),
        (network.depth_head, recipe.head_rate),
    ):
        named = list(part.named_parameters())
        if recipe.matrix_rate:
            matrices += [weight for name, weight in named if is_matrix(name, weight)]
            named = [(name, weight) for name, weight in named if not is_matrix(name, weight)]
        rest.append({"params": [weight for _, weight in named], "rate": rate, "lr": rate})
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, weight_decay=recipe.weight_decay)
    ]
    if matrices:
        group = {"params": matrices, "rate": recipe.matrix_rate}
        optimizers.append(Muon([group], recipe.matrix_rate, recipe.weight_decay))
    return optimizers
