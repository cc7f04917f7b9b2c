"""Encoder of Depth Anything 3's any-view networks: DINOv2 whose later blocks attend across views.

From one block on every second block attends to the tokens of all views together, and the others
to those of one view; queries and keys are normalised and rotated by their place in the image
(2D RoPE, Heo et al. 2024). Names and order follow the official model/dinov2/vision_transformer.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth_anything_ros.network.families.depth_anything.vit import (
    PATCH,
    Attention,
    Block,
    VisionTransformer,
)

NORM_EPS = 1e-5
"""Added to the variance in the last normalisation; the blocks have DINOv2's 1e-6."""

_FREQUENCY = 100.0  # base of the rotation's frequencies
_SELECT_FROM = 3  # views from which on the reference is chosen and not the first

Rotation = tuple[Tensor, Tensor]
"""Cosine and sine of every token and channel of an attention head, L x C each."""


@dataclass(frozen=True)
class Tapped:
    """What the head and the camera decoder read of one block.

    Attributes:
        tokens: B x S x L x 2C, the patch tokens within their view and across views.
        camera: B x S x 2C, the camera token likewise.
    """

    tokens: Tensor
    camera: Tensor


def rotation(rows: Tensor, cols: Tensor, channels: int) -> Rotation:
    """How far the channels of a query or key are rotated for its place in the image.

    The first half of the channels turns with the row, the second with the column (RoFormer, Su et
    al. 2021, in two dimensions).

    Args:
        rows: L places along the height, in patches.
        cols: L places along the width.
        channels: Channels of an attention head, a multiple of 4.

    Returns:
        Cosine and sine, L x channels each.
    """
    half = channels // 2
    exponents = torch.arange(0, half, 2, device=rows.device).float() / half
    frequencies = 1 / _FREQUENCY**exponents
    angles = [torch.outer(place.float(), frequencies) for place in (rows, cols)]
    whole = torch.cat([part for angle in angles for part in (angle, angle)], 1)
    return whole.cos(), whole.sin()


def _rotated(x: Tensor, turn: Rotation) -> Tensor:
    """N x heads x L x C rotated in its two halves."""
    cos, sin = (part.to(x.dtype) for part in turn)
    first, second, third, fourth = x.chunk(4, -1)
    return x * cos + torch.cat([-second, first, -fourth, third], -1) * sin


class ViewAttention(Attention):
    """Self-attention with normalised and rotated queries and keys.

    Args:
        width: Channels of a token.
        heads: Attention heads.
        qk_norm: Whether queries and keys are normalised.
    """

    def __init__(self, width: int, heads: int, qk_norm: bool) -> None:
        super().__init__(width, heads)
        channels = width // heads
        self.q_norm = nn.LayerNorm(channels) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(channels) if qk_norm else nn.Identity()

    def forward(self, x: Tensor, turn: Rotation | None = None) -> Tensor:
        """Mix tokens, N x L x C to the same."""
        n, length, width = x.shape
        qkv = self.qkv(x).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        if turn is not None:
            q, k = _rotated(q, turn), _rotated(k, turn)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(n, length, width))


class ViewBlock(Block):
    """A transformer block with such an attention."""

    def __init__(self, width: int, heads: int, swiglu: bool, qk_norm: bool) -> None:
        super().__init__(width, heads, swiglu)
        self.attn = ViewAttention(width, heads, qk_norm)

    def forward(self, x: Tensor, turn: Rotation | None = None) -> Tensor:
        """N x L x C to the same."""
        x = x + self.ls1(self.attn(self.norm1(x), turn))
        return x + self.ls2(self.mlp(self.norm2(x)))


class ViewsEncoder(VisionTransformer):
    """DINOv2 that attends across views from a block on.

    Args:
        width: Channels of a token.
        depth: Number of blocks.
        heads: Attention heads per block.
        grid: Side of the learned position table in patches.
        swiglu: Whether the blocks use SwiGLU instead of an MLP.
        start: First block with normalised and rotated queries; odd ones from it on see all views.
    """

    def __init__(
        self, width: int, depth: int, heads: int, grid: int, swiglu: bool, start: int
    ) -> None:
        super().__init__(width, depth, heads, grid, swiglu, mask_token=False, norm_eps=NORM_EPS)
        self.start = start
        self.camera_token = nn.Parameter(torch.zeros(1, 2, width))
        self.blocks = nn.ModuleList(
            ViewBlock(width, heads, swiglu, index >= start) for index in range(depth)
        )

    def encode(
        self, images: Tensor, taps: Sequence[int], cameras: Tensor | None = None
    ) -> list[Tapped]:
        """Encode some views of one scene.

        Args:
            images: B x S x 3 x H x W, normalised; H and W multiples of 14.
            taps: Indices of the blocks whose output is returned, ascending, from `start` on.
            cameras: B x S x C tokens of known cameras; None for the learned ones.

        Returns:
            What the head reads, one per tap.
        """
        shape = images.shape[:2]
        alone = self.encode_alone(images.flatten(0, 1))
        x, first = (part.unflatten(0, shape) for part in alone)
        size = images.shape[-2] // PATCH, images.shape[-1] // PATCH
        return self.encode_together(x, first, size, taps, cameras)

    def encode_alone(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The blocks before `start`, in which no view sees another.

        Args:
            images: N x 3 x H x W, normalised; H and W multiples of 14.

        Returns:
            Tokens N x L x C after those blocks, and the first tokens N x C before the last of them.
        """
        rows, cols = images.shape[-2] // PATCH, images.shape[-1] // PATCH
        x = self.patch_embed(images)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1)
        x = x + self.positions(rows, cols)
        first = x[:, 0]
        for block in self.blocks[: self.start]:
            first = x[:, 0]
            x = block(x)
        return x, first

    def encode_together(
        self,
        x: Tensor,
        first: Tensor,
        size: tuple[int, int],
        taps: Sequence[int],
        cameras: Tensor | None = None,
    ) -> list[Tapped]:
        """The blocks from `start` on.

        Args:
            x: B x S x L x C tokens, as `encode_alone` gives them.
            first: B x S x C first tokens likewise.
            size: (rows, columns) of the patches.
            taps: As for `encode`.
            cameras: As for `encode`.

        Returns:
            What the head reads, one per tap.
        """
        batch, views = x.shape[:2]
        own_place, same_place = self._rotations(*size, views, x.device)
        order: Tensor | None = None
        if views >= _SELECT_FROM and cameras is None:
            order = _reference_first(first)
            x = _picked(x, order)
        x = torch.cat([self._cameras(cameras, batch, views)[:, :, None], x[:, :, 1:]], 2)
        within, taken = x, []
        for index in range(self.start, taps[-1] + 1):
            block = self.blocks[index]
            if index % 2 == 1:
                x = block(x.flatten(1, 2), same_place).unflatten(1, (views, -1))
            else:
                within = x = block(x.flatten(0, 1), own_place).unflatten(0, (batch, views))
            if index in taps:
                whole = torch.cat([within, x], -1)
                taken.append(whole if order is None else _picked(whole, order.argsort(1)))
        return [self._tapped(whole) for whole in taken]

    def _cameras(self, cameras: Tensor | None, batch: int, views: int) -> Tensor:
        """B x S x C: the tokens of known cameras, or those of a reference and its sources."""
        if cameras is not None:
            return cameras
        kinds = [self.camera_token[:, :1].expand(batch, -1, -1)]
        if views > 1:
            kinds.append(self.camera_token[:, 1:].expand(batch, views - 1, -1))
        return torch.cat(kinds, 1)

    def _tapped(self, whole: Tensor) -> Tapped:
        """Tokens as the head reads them: only what was seen across views is normalised."""
        within, across = whole.chunk(2, -1)
        tokens = torch.cat([within, self.norm(across)], -1)
        return Tapped(tokens[:, :, 1:], whole[:, :, 0])

    def _rotations(
        self, rows: int, cols: int, views: int, device: torch.device
    ) -> tuple[Rotation, Rotation]:
        """By the place in the image, and with the same place for all patches of all views.

        Patches count from 1, the camera token is at 0.
        """
        channels = self.cls_token.shape[-1] // self._heads
        down = torch.arange(rows, device=device)[:, None].expand(rows, cols).flatten() + 1
        across = torch.arange(cols, device=device)[None].expand(rows, cols).flatten() + 1
        front = torch.zeros(1, dtype=down.dtype, device=device)
        places = torch.cat([front, down]), torch.cat([front, across])
        alike = torch.cat([front, torch.ones_like(down)]).repeat(views)
        return rotation(*places, channels), rotation(alike, alike, channels)

    @property
    def _heads(self) -> int:
        first = self.blocks[0]
        assert isinstance(first, ViewBlock)
        return first.attn.heads


def _reference_first(first: Tensor) -> Tensor:
    """The order of the views with the reference first and the others as they were, B x S.

    The reference is the view whose first token is in the middle of all in its similarity to the
    others, its length and its variance ("saddle_balanced" of reference_view_selector.py).
    """
    views = first.shape[1]
    length = first.norm(dim=-1)
    direction = first / length[..., None]
    alike = direction @ direction.transpose(1, 2)
    similarity = (alike - torch.eye(views, device=first.device)).sum(-1) / (views - 1)

    def from_middle(figure: Tensor) -> Tensor:
        low, high = figure.amin(1, keepdim=True), figure.amax(1, keepdim=True)
        return ((figure - low) / (high - low + 1e-8) - 0.5).abs()

    figures = (similarity, length, direction.var(-1))
    reference = sum(from_middle(figure) for figure in figures)
    assert isinstance(reference, Tensor)
    chosen = reference.argmin(1, keepdim=True)
    number = torch.arange(views, device=first.device)[None]
    return torch.where(number == chosen, -1, number).argsort(dim=1, stable=True)


def _picked(x: Tensor, order: Tensor) -> Tensor:
    """B x S x ... with the views in an order, B x S."""
    return x[torch.arange(x.shape[0], device=x.device)[:, None], order]
