"""Settings of a training run, read from its YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field

from depth_anything_ros.errors import SettingError
from depth_anything_ros.training.augmentation import Strength
from depth_anything_ros.training.losses import TRIMMED_SHARE
from depth_anything_ros.training.network_recipe import NetworkRecipe
from depth_anything_ros.training.sources import SOURCES, Labels, SourceRecipe


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes:
        output: Folder for checkpoints, log and result.
        network: What to train.
        sources: Training pictures.
        validation: Held-out pictures; whole, unmixed.
        validation_images: How many of them are scored.
        size: (height, width) of the network's input.
        steps: Optimiser steps.
        batch: Pictures per step, over all processes and accumulation parts.
        accumulation: In how many parts a step's pictures go through the network.
        encoder_rate: AdamW rate of the encoder (V2: 5e-6).
        head_rate: AdamW rate of the head (V2: 5e-5).
        matrix_rate: Muon rate of all layers' weight matrices, the start of a network from
            scratch (0.01); 0 leaves them to AdamW, as the papers do.
        warm_up: Steps in which the rates rise from 0 before they fall linearly to 0.
        weight_decay: AdamW weight decay.
        clip: Largest norm of the gradient.
        ema: Decay of the running average of the weights that is the result; 0 for none.
        fixed_scale: Whether scale and shift of a relative network's output are fixed (each
            picture's median and deviation), instead of any as in the papers; it learns faster
            from scratch.
        gradient_weight: Weight of gradient matching (V2: 2).
        pseudo_gradient_share: Share of it that holds for pseudo-labels, whose edges are soft.
        log_depth_weight: Weight of the log depth error after alignment, on exact labels.
        relative_depth_weight: Weight of the relative depth error (AbsRel) after alignment, on exact
            labels; outdoors, what is far decides it.
        feature_weight: Weight of feature alignment with the frozen start of the encoder.
        normal_weight: Weight of the surface normal loss (metric; a focal length of the width).
        trimmed: Share of the largest-loss pixels of pseudo-labelled pictures left out.
        freeze_encoder: Whether only the head learns.
        freeze_head: Whether of the head only the trust in a lite network's specialist learns.
        frozen_stages: First stages of a convolutional encoder that keep their weights.
        strong: Strong perturbations of pseudo-labelled pictures.
        smallest_crop: Least share of the shorter side that a random crop of a relative network's
            picture keeps; 1 for none.
        perturb_labelled: Whether labelled pictures are perturbed as well (without CutMix).
        precision: "fp32" or "bf16".
        device: "cpu", "cuda" or "mps".
        seed: Decides start and order.
        workers: Processes that prepare pictures; 0 prepares them in between.
        save_every: Steps between checkpoints.
        validate_every: Steps between validations.
        tensorboard: Whether to write TensorBoard events, too.
        licence: SPDX name of the result's licence.
        input_size: Shorter side of the input, in pixels, that the result names as its own; 0
            for the shorter one of `size`.
        weights: How the result's weights are stored: "fp32" or "fp16".
    """

    output: str
    network: NetworkRecipe = field(default_factory=NetworkRecipe)
    sources: tuple[SourceRecipe, ...] = (SourceRecipe("synthetic"),)
    validation: tuple[SourceRecipe, ...] = ()
    validation_images: int = 32
    size: tuple[int, ...] = (518, 518)
    steps: int = 1000
    batch: int = 16
    accumulation: int = 1
    encoder_rate: float = 5e-6
    head_rate: float = 5e-5
    matrix_rate: float = 0.0
    warm_up: int = 0
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.0
    fixed_scale: bool = False
    gradient_weight: float = 2.0
    pseudo_gradient_share: float = 1.0
    log_depth_weight: float = 0.0
    relative_depth_weight: float = 0.0
    feature_weight: float = 0.0
    normal_weight: float = 0.0
    trimmed: float = TRIMMED_SHARE
    freeze_encoder: bool = False
    freeze_head: bool = False
    frozen_stages: int = 0
    strong: Strength = field(default_factory=Strength)
    smallest_crop: float = 0.6
    perturb_labelled: bool = False
    precision: str = "fp32"
    device: str = "cpu"
    seed: int = 0
    workers: int = 0
    save_every: int = 500
    validate_every: int = 500
    tensorboard: bool = False
    licence: str = "unknown"
    input_size: int = 0
    weights: str = "fp32"

    @property
    def best_input_size(self) -> int:
        """Shorter side of the input at which the result is meant to run."""
        return self.input_size or min(self.size)

    def __post_init__(self) -> None:
        """Refuse what cannot be a run.

        Raises:
            SettingError: The text names the setting, its value and what it may be.
        """
        multiple = self.network.multiple_of
        if len(self.size) != 2 or any(side < multiple or side % multiple for side in self.size):
            raise SettingError(f"size is {list(self.size)}; it must be two multiples of {multiple}")
        for name in ("steps", "batch", "accumulation", "save_every", "validate_every"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.precision not in ("fp32", "bf16"):
            raise SettingError(f"precision is '{self.precision}'; it must be fp32 or bf16")
        if self.weights not in ("fp32", "fp16"):
            raise SettingError(f"weights is '{self.weights}'; it must be fp32 or fp16")
        if not 0 < self.smallest_crop <= 1:
            raise SettingError(
                f"smallest_crop is {self.smallest_crop}; it must be above 0, up to 1"
            )
        if self.matrix_rate < 0:
            raise SettingError(
                f"matrix_rate is {self.matrix_rate}; it must be above 0, or 0 for AdamW alone"
            )
        if self.fixed_scale and self.network.max_depth:
            raise SettingError(
                f"fixed_scale is for relative networks, network.max_depth is "
                f"{self.network.max_depth:g}; leave one of them out"
            )
        if not 0 <= self.ema < 1 or not 0 <= self.trimmed < 1:
            raise SettingError("ema and trimmed must be at least 0 and below 1")


@dataclass(frozen=True)
class LabelRecipe:
    """A run of pseudo-labelling.

    Attributes:
        images: Folder of pictures, searched through; or its URL in a store (s3://, gs://, ...).
        output: Folder for the shards, or its URL in a store.
        network: The teacher; `checkpoint` is needed, and may be an ONNX file with its description.
        experts: ONNX files (with their description) of specialists; the label is then the mean of
            all disparities, each brought to the same median and deviation.
        input_size: Shorter side of the network's input in pixels.
        shard_size: Pictures per shard.
        batch: Pictures of one size that go through the network together.
        precision: "fp32" or "bf16".
        device: "cpu", "cuda" or "mps".
    """

    images: str
    output: str
    network: NetworkRecipe
    experts: tuple[str, ...] = ()
    input_size: int = 518
    shard_size: int = 256
    batch: int = 8
    precision: str = "fp32"
    device: str = "cpu"


def check_task(recipe: Recipe, task: str) -> None:
    """Refuse a recipe that does not do what it is run as.

    Args:
        recipe: The run.
        task: "teacher" (labelled pictures), "student" (pseudo-labelled ones among them) or
            "metric" (a network that gives metres).

    Raises:
        SettingError: The message says what is missing.
    """
    labels = {SOURCES.get(source.kind).labels: source.kind for source in recipe.sources}
    pseudo = labels.get(Labels.PSEUDO)
    if Labels.NONE in labels:
        raise SettingError(
            f"a source of kind '{labels[Labels.NONE]}' has no labels; label it and use 'pseudo'"
        )
    if task == "teacher" and pseudo:
        raise SettingError(
            f"a teacher learns from true labels; remove the source of kind '{pseudo}'"
        )
    if task == "student" and not pseudo:
        raise SettingError("a student needs a source of kind 'pseudo'")
    if (task == "metric") != recipe.network.metric:
        raise SettingError(
            f"network.max_depth is {recipe.network.max_depth:g}; `train metric` needs metres there "
            "(or canonical_focal) and the others 0"
        )
    if task == "metric" and pseudo:
        _check_metric_labels(recipe, pseudo)


def _check_metric_labels(recipe: Recipe, pseudo: str) -> None:
    """Pseudo-labels are metres only where the teacher's camera is known."""
    for source in recipe.sources:
        if source.kind == pseudo and not (source.label_focal and recipe.network.canonical_focal):
            raise SettingError(
                f"pseudo-labels have no metres; remove the source of kind '{pseudo}', or give its "
                "label_focal and the network's canonical_focal"
            )
