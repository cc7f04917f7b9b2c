"""Video Depth Anything: DINOv2, and a DPT head with attention over time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.families.depth_anything.dpt import DptHead, resize
from depth_anything_ros.network.families.depth_anything.network import DepthAnythingConfig
from depth_anything_ros.network.families.depth_anything.vit import PATCH, VisionTransformer
from depth_anything_ros.network.families.video_depth_anything.temporal import (
    ATTENTIONS,
    LENGTH,
    TemporalModule,
)
from depth_anything_ros.network.outputs import DEPTH
from depth_anything_ros.network.sequence import SequenceNetwork

_FIRST = 2  # the first image and the oldest of those that slide stay as anchors
_LONGEST = 42  # images of which something is kept (video_depth_stream.py: gap + 1)


class Memory:
    """What the head keeps of the images of a sequence, oldest first.

    As video_depth_stream.py has it: the first image stands for all that are missing before it and
    is never dropped; of the others the oldest of 41 and the newest 29 are looked at.
    """

    def __init__(self) -> None:
        self._kept: list[list[Tensor]] = []

    def past(self) -> list[Tensor] | None:
        """What came before, for each attention: (h*w) x 31 x C; None before the first image."""
        if not self._kept:
            return None
        seen = self._kept[:_FIRST] + self._kept[_FIRST + 1 - LENGTH :]
        return [torch.cat(parts, 1) for parts in zip(*seen, strict=True)]

    def add(self, image: list[Tensor]) -> None:
        """Take in what the newest image gives to each attention.

        Args:
            image: (h*w) x 1 x C each.
        """
        self._kept += [image] if self._kept else [image] * LENGTH
        if len(self._kept) > _LONGEST:
            del self._kept[1]


class TemporalDptHead(DptHead):
    """A DPT head that looks back at four places.

    Args:
        widths: Channels of the four levels as the encoder gives them.
        features: Channels of the fusion stages.
        out_channels: Channels of the four reassembled levels, finest first.
    """

    def __init__(self, widths: Sequence[int], features: int, out_channels: Sequence[int]) -> None:
        super().__init__(widths, features, out_channels)
        looking = (out_channels[2], out_channels[3], features, features)
        self.motion_modules = torch.nn.ModuleList(TemporalModule(width) for width in looking)

    def next(
        self, tokens: Sequence[Tensor], rows: int, cols: int, past: Sequence[Tensor] | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Decode four levels of patch tokens of the next image.

        Args:
            tokens: Four times 1 x (rows*cols) x C.
            rows: Patches along the height.
            cols: Patches along the width.
            past: As `Memory.past` gives it.

        Returns:
            1 x 1 x 14*rows x 14*cols before the output's activation, and what `Memory.add` takes.
        """
        kept: list[Tensor] = []

        def look_back(x: Tensor) -> Tensor:
            number = len(kept) // ATTENTIONS
            start = number * ATTENTIONS
            before = [None] * ATTENTIONS if past is None else past[start : start + ATTENTIONS]
            x, own = self.motion_modules[number](x, before)
            kept.extend(own)
            return x

        maps = []
        for x, project, to_level in zip(tokens, self.projects, self.resize_layers, strict=True):
            x = x.unflatten(1, (rows, cols)).permute(0, 3, 1, 2)
            maps.append(to_level(project(x)))
        maps[2:] = [look_back(each) for each in maps[2:]]
        levels = [self.scratch[f"layer{number}_rn"](each) for number, each in enumerate(maps, 1)]
        x = look_back(self.scratch["refinenet4"](levels[3], None, *levels[2].shape[-2:]))
        x = look_back(self.scratch["refinenet3"](x, levels[2], *levels[1].shape[-2:]))
        x = self.scratch["refinenet2"](x, levels[1], *levels[0].shape[-2:])
        height, width = levels[0].shape[-2:]
        x = self.scratch["refinenet1"](x, levels[0], 2 * height, 2 * width)
        x = resize(self.scratch["output_conv1"](x), PATCH * rows, PATCH * cols)
        return self.scratch["output_conv2"](x), kept


class VideoDepthAnything(SequenceNetwork):
    """Disparity or metres of images that follow each other.

    Args:
        config: The architecture, without `max_depth`.
        metric: Whether its numbers are metres.
    """

    family = "video_depth_anything"
    version = "video"

    def __init__(self, config: DepthAnythingConfig, metric: bool) -> None:
        super().__init__()
        self.config, self._metric = config, metric
        self.pretrained = VisionTransformer(config.width, config.depth, config.heads, config.grid)
        widths = (config.width,) * 4
        self.depth_head = TemporalDptHead(widths, config.features, config.out_channels)

    @property
    def kind(self) -> PredictionKind:
        """What its numbers mean."""
        metric, relative = PredictionKind.METRIC_DEPTH, PredictionKind.RELATIVE_DISPARITY
        return metric if self._metric else relative

    @property
    def encoder(self) -> str:
        """Name of the official encoder of this size, else "custom"."""
        return self.config.encoder

    def metadata(self) -> dict[str, str]:
        """What its tensors do not contain; see `DepthNetwork.metadata`."""
        return {"taps": ",".join(str(tap) for tap in self.config.taps)}

    def simplify(self) -> None:
        """Fold every LayerScale; see `DepthNetwork.simplify`."""
        self.pretrained.fold_scales()

    def new_memory(self) -> Memory:
        """See `SequenceNetwork.new_memory`."""
        return Memory()

    def forward(self, image: Tensor) -> Tensor:
        """Predict for images that are each the first of a sequence; see `DepthNetwork.forward`."""
        firsts = [self.next_outputs(each[None], Memory())[DEPTH] for each in image]
        return torch.cat(firsts)

    def next_outputs(self, image: Tensor, memory: Memory) -> dict[str, Tensor]:
        """Predict for the next image; see `SequenceNetwork.next_outputs`.

        Raises:
            InputError: A side is not a multiple of 14.
        """
        height, width = image.shape[-2:]
        if height % PATCH or width % PATCH:
            raise InputError(
                f"network input is {height}x{width}; both sides must be multiples of {PATCH}"
            )
        tokens = self.pretrained(image, self.config.taps)
        rows, cols = height // PATCH, width // PATCH
        out, kept = self.depth_head.next(tokens, rows, cols, memory.past())
        memory.add(kept)
        return {DEPTH: F.relu(out.float()).squeeze(1)}
