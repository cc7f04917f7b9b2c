"""The training loop: plain PyTorch, resumed exactly where it was stopped.

Every random number is drawn from the seed and the step's number, so a checkpoint needs no state
of random generators, and a run that was killed and resumed follows the same curve.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depth_anything_ros.errors import CheckpointError, writing
from depth_anything_ros.formats.whole_file import whole_file
from depth_anything_ros.network.checkpoints import save_network
from depth_anything_ros.network.trainable import TrainableNetwork
from depth_anything_ros.training.loader import Batch, batches, validation_images
from depth_anything_ros.training.objective import Objective
from depth_anything_ros.training.optimizers import make_optimizers, set_rates
from depth_anything_ros.training.processes import Processes
from depth_anything_ros.training.recipe import Recipe
from depth_anything_ros.training.run_log import RunLog
from depth_anything_ros.training.validation import validate

CHECKPOINT = "checkpoint.pt"
"""File of the run's state in its output folder."""

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
        self._objective = Objective(self.network, recipe)
        if recipe.freeze_encoder:
            self.network.encoder_module.requires_grad_(False)
        self.network.freeze_start(recipe.frozen_stages)
        if recipe.freeze_head:
            self.network.freeze_head()
        self.optimizers = make_optimizers(self.network, recipe)
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
            report: Called with every step's number and values (loss, rate, images per second), and
                the scores of validations.

        Returns:
            The scores of the last validation; empty without validation pictures.

        Raises:
            InputError: The output cannot be written; the state of before stays as it was.
        """
        recipe, peers = self.recipe, self.processes
        held_out = validation_images(recipe, recipe.validation, peers.rank, peers.world)
        log = RunLog(self._output, self.step, recipe.tensorboard) if peers.first else None
        scores: dict[str, float] = {}
        self._set_training()
        started = time.perf_counter()
        for parts in batches(recipe, self.step, peers.rank, peers.world):
            values = self._train_step(parts)
            now = time.perf_counter()
            self.step += 1
            due = self.step % recipe.validate_every == 0 or self.step == recipe.steps
            if recipe.validation and due:
                scores = self._validate(held_out)
            if log:
                log.write(self.step, {**values, **(scores if due else {})})
            speed = recipe.batch / max(now - started, 1e-9)
            report(self.step, {**values, **(scores if due else {}), "images_per_s": speed})
            if self.step % recipe.save_every == 0 or self.step == recipe.steps:
                self._save()
            started = time.perf_counter()
        if log:
            log.close()
        if peers.first:
            self._write_result()
        peers.wait()
        return scores

    def result(self) -> TrainableNetwork:
        """The network with the averaged weights, where they are averaged.

        Returns:
            The network itself, or a copy.
        """
        if self.average is None:
            return self.network
        averaged = copy.deepcopy(self.network)
        averaged.load_state_dict(self.average)
        return averaged

    def _write_result(self) -> None:
        recipe = self.recipe
        result = copy.deepcopy(self.result())
        if recipe.weights == "fp16":
            result.half()
        save_network(result, self._output / RESULT, recipe.licence, recipe.best_input_size)

    def _set_training(self) -> None:
        self.network.train()
        if self.recipe.freeze_encoder:
            self.network.encoder_module.eval()  # its normalisations stay as they are, too
        if self.recipe.freeze_head:
            self.network.freeze_head()

    def _train_step(self, parts: list[Batch]) -> dict[str, float]:
        recipe = self.recipe
        factor = set_rates(self.optimizers, recipe, self.step)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for number, part in enumerate(parts):
            chance = [recipe.seed, 5, self.step, number, self.processes.rank]
            loss = self._objective.loss(part.to(self.device), chance) / len(parts)
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

    @torch.no_grad()
    def _average_weights(self) -> None:
        if self.average is None:
            return
        # Early weights are far from the end; the average drops them faster.
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:  # how many batches a normalisation has seen
                self.average[name].copy_(value)

    def _validate(self, held_out: list[Any]) -> dict[str, float]:
        metric = self.recipe.network.metric
        scores = validate(self.result(), held_out, metric, self.device)
        self._set_training()
        return {name: self.processes.mean(value) for name, value in scores.items()}

    def _save(self) -> None:
        if not self.processes.first:
            return
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": self.average,
        }
        path = self._output / CHECKPOINT
        with writing(path), whole_file(path, durable=True) as part:
            torch.save(state, part)

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
