"""Depth Anything 3 for any number of views: depth, confidence and cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.families.depth_anything.network import (
    ENCODERS,
    HEAD_WIDTH,
    Levels,
)
from depth_anything_ros.network.families.depth_anything.vit import PATCH
from depth_anything_ros.network.families.depth_anything_3.cameras import (
    CameraDecoder,
    CameraEncoder,
    decode_cameras,
    inverted,
    relative_cameras,
)
from depth_anything_ros.network.families.depth_anything_3.dual_head import DualDptHead
from depth_anything_ros.network.families.depth_anything_3.encoder import Tapped, ViewsEncoder
from depth_anything_ros.network.families.depth_anything_3.models import INPUT_SIZE
from depth_anything_ros.network.outputs import CONFIDENCE, DEPTH
from depth_anything_ros.network.preprocessing import AREA_OR_CUBIC, Preprocessing
from depth_anything_ros.network.several_views import Features, SeveralViewsNetwork, ViewsAnswer

_OFFICIAL: dict[str, tuple[int, Levels]] = {
    "vits": (4, (5, 7, 9, 11)),
    "vitb": (4, (5, 7, 9, 11)),
    "vitl": (8, (11, 15, 19, 23)),
    "vitg": (13, (19, 27, 33, 39)),
}
"""First block with normalised, rotated queries and the blocks the head reads (configs/da3-*.yaml).
"""

_GIANT_HEAD: tuple[int, Levels] = (256, (256, 512, 1024, 1024))  # smaller than V2's


@dataclass(frozen=True)
class AnyViewConfig:
    """The architecture of one network.

    Attributes:
        width: Channels of an encoder token.
        depth: Encoder blocks.
        heads: Attention heads per block.
        features: Channels of the head's fusion stages.
        out_channels: Channels of the head's four levels.
        taps: Encoder blocks the head reads, ascending.
        start: First block with normalised and rotated queries; odd ones from it on see all views.
        swiglu: Whether the encoder uses SwiGLU (vitg).
        grid: Side of the position table in patches.
    """

    width: int
    depth: int
    heads: int
    features: int
    out_channels: Levels
    taps: Levels
    start: int
    swiglu: bool = False
    grid: int = 37

    @classmethod
    def official(cls, encoder: str) -> AnyViewConfig:
        """The architecture of an official network.

        Args:
            encoder: "vits" (DA3-SMALL), "vitb" (BASE), "vitl" (LARGE) or "vitg" (GIANT).
        """
        width, depth, features, out_channels = ENCODERS[encoder]
        if encoder == "vitg":
            features, out_channels = _GIANT_HEAD
        start, taps = _OFFICIAL[encoder]
        heads = width // HEAD_WIDTH
        swiglu = encoder == "vitg"
        return cls(width, depth, heads, features, out_channels, taps, start, swiglu)

    @property
    def encoder(self) -> str:
        """Name of the official encoder of this size, else "custom"."""
        for name, (width, depth, _, _) in ENCODERS.items():
            if (width, depth) == (self.width, self.depth):
                return name
        return "custom"


@dataclass(frozen=True)
class Views:
    """Output of a network for views of one scene.

    Attributes:
        depth: B x S x H x W float32 > 0, up to one scale.
        confidence: B x S x H x W float32 > 1.
        extrinsics: B x S x 3 x 4 float32, world to camera, in the scale of `depth`.
        intrinsics: B x S x 3 x 3 float32 in pixels of the network's input.
    """

    depth: Tensor
    confidence: Tensor
    extrinsics: Tensor
    intrinsics: Tensor


class AnyView(SeveralViewsNetwork):
    """Depth, confidence and cameras from any number of views; of one view a depth network.

    Args:
        config: The architecture.
    """

    family = "depth_anything_3"
    kind = PredictionKind.RELATIVE_DEPTH
    version = "v3"
    outputs = (DEPTH, CONFIDENCE)
    align_corners = False
    preprocessing = Preprocessing(INPUT_SIZE, "longer", interpolation=AREA_OR_CUBIC)

    def __init__(self, config: AnyViewConfig) -> None:
        super().__init__()
        self.config = config
        self.pretrained = ViewsEncoder(
            config.width, config.depth, config.heads, config.grid, config.swiglu, config.start
        )
        self.depth_head = DualDptHead(2 * config.width, config.features, config.out_channels)
        self.cam_enc = CameraEncoder(config.width)
        self.cam_dec = CameraDecoder(2 * config.width)

    @property
    def encoder(self) -> str:
        """Name of the official encoder of this size, else "custom"."""
        return self.config.encoder

    def metadata(self) -> dict[str, str]:
        """What its tensors do not contain; see `DepthNetwork.metadata`."""
        return {"taps": ",".join(map(str, self.config.taps))}

    def simplify(self) -> None:
        """Fold every LayerScale of the encoder; see `DepthNetwork.simplify`."""
        self.pretrained.fold_scales()

    def tables(self, height: int, width: int) -> tuple[Tensor, ...]:
        """The position table of an input size; see `DepthNetwork.tables`."""
        return (self.pretrained.positions(height // PATCH, width // PATCH),)

    def forward(self, image: Tensor) -> Tensor:
        """Predict depth of single views; see `DepthNetwork.forward`."""
        return self.named_outputs(image)[DEPTH]

    def named_outputs(self, image: Tensor) -> dict[str, Tensor]:
        """Predict depth and confidence of single views; see `DepthNetwork.named_outputs`.

        Args:
            image: N x 3 x H x W, normalised; H and W multiples of 14.

        Returns:
            Depth > 0 and confidence > 1, N x H x W float32 each.

        Raises:
            InputError: A side is not a multiple of 14.
        """
        depth, confidence = self._decoded(self._encoded(image[:, None], None), image)
        return {DEPTH: depth, CONFIDENCE: confidence}

    def views(
        self,
        images: Tensor,
        extrinsics: Tensor | None = None,
        intrinsics: Tensor | None = None,
    ) -> Views:
        """Predict depth, confidence and cameras of views of one scene.

        Args:
            images: B x S x 3 x H x W, normalised; H and W multiples of 14.
            extrinsics: B x S x 4 x 4, world to camera, of known cameras: relative to the first and
                divided by the median distance from it (official api.py, _normalize_extrinsics).
            intrinsics: B x S x 3 x 3 of them in pixels of the network's input.

        Returns:
            Outputs of the network; its cameras are its own also where they were given.

        Raises:
            InputError: A side is not a multiple of 14, or one of the two is given alone.
        """
        size = images.shape[-2], images.shape[-1]
        if (extrinsics is None) != (intrinsics is None):
            raise InputError("known cameras need both extrinsics and intrinsics")
        cameras = None
        if extrinsics is not None and intrinsics is not None:
            cameras = self.cam_enc(extrinsics, intrinsics, size)
        taken = self._encoded(images, cameras)
        depth, confidence = self._decoded(taken, images)
        poses, lenses = decode_cameras(self.cam_dec(taken[-1].camera), size)
        shape = images.shape[:2]
        return Views(depth.unflatten(0, shape), confidence.unflatten(0, shape), poses, lenses)

    def view_features(self, image: Tensor) -> Features:
        """Its tokens before it looks at others; see `SeveralViewsNetwork.view_features`."""
        tokens, first = self.pretrained.encode_alone(image[None])
        return tokens[0], first[0]

    def answer_views(
        self,
        features: Sequence[Features],
        size: tuple[int, int],
        extrinsics: Tensor | None = None,
        intrinsics: Tensor | None = None,
    ) -> ViewsAnswer:
        """Depth and confidence of the first view, and all poses; see `SeveralViewsNetwork`."""
        cameras = None
        if extrinsics is not None and intrinsics is not None:
            cameras = self.cam_enc(relative_cameras(extrinsics[None]), intrinsics[None], size)
        tokens, first = (torch.stack(part)[None] for part in zip(*features, strict=True))
        rows, cols = size[0] // PATCH, size[1] // PATCH
        taps = self.config.taps
        taken = self.pretrained.encode_together(tokens, first, (rows, cols), taps, cameras)
        depth, confidence = self.depth_head([each.tokens[:, 0] for each in taken], rows, cols)
        poses, _ = decode_cameras(self.cam_dec(taken[-1].camera), size)
        last = poses.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(1, len(features), 1, 4)
        outputs = {DEPTH: depth[0], CONFIDENCE: confidence[0]}
        return ViewsAnswer(outputs, inverted(torch.cat([poses, last], -2))[0])

    def _encoded(self, images: Tensor, cameras: Tensor | None) -> list[Tapped]:
        height, width = images.shape[-2:]
        if height % PATCH or width % PATCH:
            raise InputError(
                f"network input is {height}x{width}; both sides must be multiples of {PATCH}"
            )
        return self.pretrained.encode(images, self.config.taps, cameras)

    def _decoded(self, taken: Sequence[Tapped], images: Tensor) -> tuple[Tensor, Tensor]:
        """Depth and confidence of all views, B*S x H x W each."""
        rows, cols = images.shape[-2] // PATCH, images.shape[-1] // PATCH
        tokens = [each.tokens.flatten(0, 1) for each in taken]
        depth, confidence = self.depth_head(tokens, rows, cols)
        return depth, confidence
