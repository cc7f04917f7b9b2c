"""What a training run is told by its YAML file."""

from __future__ import annotations

import dataclasses
import pickle
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from torch import nn

from depth_anything_ros.errors import CheckpointError, InputError, SettingError
from depth_anything_ros.network.families.depth_anything.network import (
    DepthAnything,
    DepthAnythingConfig,
    default_taps,
)
from depth_anything_ros.training.augmentation import Strength
from depth_anything_ros.training.samples import Source

T = TypeVar("T")


@dataclass(frozen=True)
class NetworkRecipe:
    """The network to train or to label with.

    Attributes:
        checkpoint: File or catalogue name to start from; empty starts at random.
        encoder_checkpoint: DINOv2 state dict (.pth) for the encoder alone; the head starts at
            random.
        encoder: Official encoder ("vits", ...); empty for the sizes below.
        width: Channels of a token.
        depth: Encoder blocks.
        heads: Attention heads; 64 channels each, for files do not tell them.
        features: Channels of the head.
        out_channels: Channels of the head's four levels.
        grid: Side of the position table in patches.
        head_features: Channels of the head's last hidden convolution.
        stem: Channels of a convolutional stem at a half of the image's size, four times and twice
            the patch grid; empty for the patch projection of DINOv2.
        stem_units: Residual units of the stem at each grid.
        max_depth: Metres at the top of a metric network; 0 makes a relative one.
    """

    checkpoint: str = ""
    encoder_checkpoint: str = ""
    encoder: str = ""
    width: int = 192
    depth: int = 12
    heads: int = 3
    features: int = 48
    out_channels: tuple[int, ...] = (32, 48, 96, 192)
    grid: int = 37
    head_features: int = 32
    stem: tuple[int, ...] = ()
    stem_units: int = 2
    max_depth: float = 0.0

    def build(self) -> DepthAnything:
        """Make the network, with the weights of the checkpoint where one is named.

        Returns:
            The network. A metric one from a relative checkpoint keeps all its weights.

        Raises:
            CheckpointError: The checkpoint cannot be used.
            SettingError: Sizes do not fit each other.
        """
        max_depth = self.max_depth or None
        if self.checkpoint:
            from depth_anything_ros.network.checkpoints import load_network

            loaded, _ = load_network(self.checkpoint)
            config = dataclasses.replace(loaded.config, max_depth=max_depth)
            network = DepthAnything(config)
            network.load_state_dict(loaded.state_dict())
            if max_depth and not loaded.config.max_depth:
                # A relative head is made for outputs of any size; before a sigmoid that would
                # start saturated, so its last layer starts small.
                last = _last_layer(network)
                last.weight.data *= 0.01 / last.weight.data.abs().mean().clamp_min(1e-6)
                _set_bias(last, 0.0)
            return network
        if self.encoder:
            config = DepthAnythingConfig.official(self.encoder, max_depth=max_depth)
        else:
            if len(self.out_channels) != 4:
                raise SettingError(f"out_channels is {self.out_channels}; it must be 4 numbers")
            if self.width != 64 * self.heads:
                raise SettingError(
                    f"width is {self.width} and heads {self.heads}; width must be 64 * heads"
                )
            first, second, third, fourth = self.out_channels
            config = DepthAnythingConfig(
                width=self.width,
                depth=self.depth,
                heads=self.heads,
                features=self.features,
                out_channels=(first, second, third, fourth),
                taps=default_taps(self.depth),
                max_depth=max_depth,
                grid=self.grid,
                head_features=self.head_features,
                stem=self._stem(),
                stem_units=self.stem_units,
            )
        network = DepthAnything(config)
        if self.encoder_checkpoint:
            _load_encoder(network, Path(self.encoder_checkpoint).expanduser())
        # The output starts in the middle of where it works: a ReLU at 0 has no gradient.
        _set_bias(_last_layer(network), 0.0 if max_depth else 1.0)
        return network

    def _stem(self) -> tuple[int, int, int] | None:
        if not self.stem:
            return None
        if len(self.stem) != 3 or min(self.stem) < 1:
            raise SettingError(f"stem is {list(self.stem)}; it must be three numbers above 0")
        half, fine, middle = self.stem
        return half, fine, middle


def _load_encoder(network: DepthAnything, path: Path) -> None:
    """Official DINOv2 files have the names of our encoder."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.pretrained.load_state_dict(state)
    except (OSError, RuntimeError, pickle.UnpicklingError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"'{path}' is no DINOv2 state dict of this encoder: {str(error).splitlines()[0]}"
        ) from error


def _last_layer(network: DepthAnything) -> nn.Conv2d:
    last = network.depth_head.get_submodule("scratch.output_conv2.2")
    assert isinstance(last, nn.Conv2d)
    return last


def _set_bias(layer: nn.Conv2d, value: float) -> None:
    assert layer.bias is not None
    nn.init.constant_(layer.bias, value)


@dataclass(frozen=True)
class SourceRecipe:
    """One source of pictures.

    Attributes:
        kind: "synthetic", "hypersim", "vkitti2", "index", "bag", "pseudo" or "images".
        path: Folder, CSV file or recording; photographs for textures when synthetic.
        labels: Folder of the shards ("pseudo"), or of the extracted pictures ("bag").
        weight: How often it is drawn, relative to the others.
        width: Columns of synthetic pictures.
        height: Rows of synthetic pictures.
        worlds: Kinds of synthetic worlds; all when empty.
        seed: Seed of synthetic worlds; the recipe's when negative.
        device: Where synthetic rays are traced.
        pictures: How many synthetic pictures there are; 0 for no end.
        store: Folder where a number of synthetic pictures is kept for later epochs.
        image_topic: Topic of a recording's pictures; the only one when empty.
        cloud_topic: Topic of a recording's clouds; the only one when empty.
        start: First picture to use, as a share of a finite source.
        stop: End of the pictures to use, as a share of a finite source.
    """

    kind: str
    path: str = ""
    labels: str = ""
    weight: float = 1.0
    width: int = 256
    height: int = 192
    worlds: tuple[str, ...] = ()
    seed: int = -1
    device: str = "cpu"
    pictures: int = 0
    store: str = ""
    image_topic: str = ""
    cloud_topic: str = ""
    start: float = 0.0
    stop: float = 1.0

    def open(self, seed: int) -> Source:
        """Open it.

        Args:
            seed: The recipe's seed.

        Returns:
            The source.

        Raises:
            InputError: Its files cannot be used.
            SettingError: Its kind is unknown.
        """
        from depth_anything_ros.training import sources
        from depth_anything_ros.training.pseudo_labels import PseudoLabels

        path = Path(self.path).expanduser()
        source: Source
        if self.kind == "synthetic":
            if bool(self.store) != (self.pictures > 0):
                raise SettingError(
                    f"store is '{self.store}' and pictures {self.pictures}; a synthetic source "
                    "needs both or neither"
                )
            endless = sources.SyntheticSource(
                self.width,
                self.height,
                seed if self.seed < 0 else self.seed,
                path if self.path else None,
                self.worlds,
                self.device,
            )
            if not self.store:
                return endless
            return sources.StoredSynthetic(endless, self.pictures, Path(self.store).expanduser())
        if not self.path:
            raise SettingError(f"a source of kind '{self.kind}' needs a path")
        match self.kind:
            case "hypersim":
                source = sources.Hypersim(path)
            case "vkitti2":
                source = sources.VirtualKitti2(path)
            case "index":
                source = sources.DepthIndex(path)
            case "images":
                source = sources.ImageFolder(path)
            case "pseudo":
                source = PseudoLabels(path, Path(self.labels).expanduser())
            case "bag":
                folder = Path(self.labels or f"{path}_frames").expanduser()
                index = folder / "index.csv"
                if not index.exists():
                    topics = (self.image_topic, self.cloud_topic)
                    index = sources.extract_recording(path, folder, *topics)
                source = sources.DepthIndex(index)
            case _:
                raise SettingError(
                    f"kind of a source is '{self.kind}'; it must be synthetic, hypersim, vkitti2, "
                    "index, bag, pseudo or images"
                )
        if (self.start, self.stop) != (0.0, 1.0):
            source = sources.Part(source, self.start, self.stop)
        return source


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
        fixed_scale: Whether a relative network is told which scale and shift to give (each
            picture's median and deviation), instead of any as in the papers; it learns faster
            from scratch.
        gradient_weight: Weight of gradient matching (V2: 2).
        feature_weight: Weight of feature alignment with the frozen start of the encoder.
        normal_weight: Weight of the surface normal loss (metric; a focal length of the width).
        trimmed: Share of the largest-loss pixels of pseudo-labelled pictures left out.
        freeze_encoder: Whether only the head learns.
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
    feature_weight: float = 0.0
    normal_weight: float = 0.0
    trimmed: float = 0.1
    freeze_encoder: bool = False
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
        if len(self.size) != 2 or any(side < 14 or side % 14 for side in self.size):
            raise SettingError(f"size is {list(self.size)}; it must be two multiples of 14")
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
        images: Folder of pictures, searched through.
        output: Folder for the shards.
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


def read_recipe(path: Path, kind: type[T]) -> T:
    """Read a recipe from its YAML file.

    Args:
        path: The file.
        kind: `Recipe` or `LabelRecipe`.

    Returns:
        The recipe.

    Raises:
        InputError: The file cannot be read.
        SettingError: A setting is unknown, missing or of another type.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as YAML: {error}") from error
    recipe = _convert(content, kind, path.name)
    assert isinstance(recipe, kind)
    return recipe


def _convert(value: Any, kind: Any, name: str) -> Any:
    """Make a value of a declared type from what YAML gives."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise SettingError(f"{name} is {value!r}; it must be a mapping of settings")
        hints = typing.get_type_hints(kind)
        fields = {entry.name: entry for entry in dataclasses.fields(kind)}
        unknown = sorted(set(map(str, value)) - set(fields))
        if unknown:
            raise SettingError(
                f"{name} has no setting {', '.join(unknown)}; it has {', '.join(fields)}"
            )
        missing = [
            entry.name
            for entry in fields.values()
            if entry.name not in value
            and entry.default is dataclasses.MISSING
            and entry.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise SettingError(f"{name} lacks {', '.join(missing)}")
        return kind(**{key: _convert(item, hints[key], key) for key, item in value.items()})  # type: ignore[operator]
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise SettingError(f"{name} is {value!r}; it must be a list")
        item = typing.get_args(kind)[0]
        return tuple(_convert(part, item, f"{name}[{n}]") for n, part in enumerate(value))
    if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 5e-6 as text
        except ValueError:
            pass
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        word = kind.__name__ if isinstance(kind, (type, types.GenericAlias)) else str(kind)
        raise SettingError(f"{name} is {value!r}; it must be of type {word}")
    return value


def check_task(recipe: Recipe, task: str) -> None:
    """Refuse a recipe that does not do what it is run as.

    Args:
        recipe: The run.
        task: "teacher" (labelled pictures), "student" (pseudo-labelled ones among them) or
            "metric" (a network that gives metres).

    Raises:
        SettingError: The text says what is missing.
    """
    kinds = {source.kind for source in recipe.sources}
    if "images" in kinds:
        raise SettingError("a source of kind 'images' has no labels; label it and use 'pseudo'")
    if task == "teacher" and "pseudo" in kinds:
        raise SettingError("a teacher learns from true labels; remove the source of kind 'pseudo'")
    if task == "student" and "pseudo" not in kinds:
        raise SettingError("a student needs a source of kind 'pseudo'")
    if (task == "metric") != (recipe.network.max_depth > 0):
        raise SettingError(
            f"network.max_depth is {recipe.network.max_depth:g}; `train metric` needs metres there "
            "and the others 0"
        )
    if task == "metric" and "pseudo" in kinds:
        raise SettingError("pseudo-labels have no metres; remove the source of kind 'pseudo'")
