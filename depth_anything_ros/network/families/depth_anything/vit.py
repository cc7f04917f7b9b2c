"""The DINOv2 vision transformer, as Depth Anything uses it.

Architecture: Dosovitskiy et al. 2021 (ViT), Oquab et al. 2023 (DINOv2: LayerScale, SwiGLU in the
giant). Module names follow facebookresearch/dinov2, so official state dicts load strictly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 14
"""Side of a patch in pixels (DINOv2)."""

_OFFSET = 0.1  # added to the patch count before the table is scaled (official dinov2.py)
_CUBIC = -0.75  # the `a` of PyTorch's and OpenCV's bicubic kernel
_CACHED_SIZES = 8


def _cubic_weights(count: int, grid: int, offset: Tensor) -> Tensor:
    """How `count` output positions mix `grid` table entries, as F.interpolate(bicubic) does.

    Written in plain operations with the size as a value, so an exported graph computes it for
    whatever size it is given.

    Args:
        count: Number of output positions.
        grid: Number of table entries.
        offset: One float64, added to `count` in the scale factor.

    Returns:
        count x grid float32 on the CPU; every row sums to 1.
    """
    # PyTorch rounds the scale once, from float64, and goes on in float32; so must this, for a
    # last-digit difference in the scale grows with the index.
    scale = (grid / (count + offset)).float()
    index = torch.arange(count, dtype=torch.float32, device="cpu")
    centre = (index + 0.5) * scale - 0.5
    base = centre.floor()
    taps = torch.arange(-1, 3, dtype=torch.float32, device="cpu")
    distance = ((centre - base)[:, None] - taps).abs()
    near = ((_CUBIC + 2) * distance - (_CUBIC + 3)) * distance**2 + 1
    far = ((_CUBIC * distance - 5 * _CUBIC) * distance + 8 * _CUBIC) * distance - 4 * _CUBIC
    weight = torch.where(distance <= 1, near, far)
    source = (base[:, None] + taps).clamp(0, grid - 1)
    entries = torch.arange(grid, dtype=torch.float32, device="cpu")
    return (weight[:, :, None] * (source[:, :, None] == entries)).sum(1)


def position_table(pos_embed: Tensor, rows: int, cols: int) -> Tensor:
    """Interpolate the learned position table to a grid of patches, as the official code does.

    The official code (dinov2.py, interpolate_pos_encoding) scales by (n + 0.1) / grid, not to the
    size n, and takes the table as it is when both sides equal the grid.

    Args:
        pos_embed: 1 x (1 + grid*grid) x C, the class token's entry first.
        rows: Patches along the height.
        cols: Patches along the width.

    Returns:
        1 x (1 + rows*cols) x C in the dtype of `pos_embed`, computed in float32.
    """
    grid = round((pos_embed.shape[1] - 1) ** 0.5)
    whole = (torch.full((1,), rows, device="cpu") == grid) & (
        torch.full((1,), cols, device="cpu") == grid
    )
    # Without the offset the weights are exactly the identity.
    offset = _OFFSET * (~whole).double()
    down = _cubic_weights(rows, grid, offset).to(pos_embed.device)
    across = _cubic_weights(cols, grid, offset).to(pos_embed.device)
    table = pos_embed[0, 1:].float().unflatten(0, (grid, grid))
    table = torch.einsum("rg,ghc->rhc", down, table)
    table = torch.einsum("kh,rhc->rkc", across, table)
    return torch.cat([pos_embed[:, :1], table.flatten(0, 1)[None].to(pos_embed.dtype)], 1)


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens, N x L x C to the same."""
        n, length, width = x.shape
        qkv = self.qkv(x).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(n, length, width))


class Mlp(nn.Module):
    """The feed-forward part: four times the width, GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """N x L x C to the same."""
        return self.fc2(F.gelu(self.fc1(x)))

    @property
    def out(self) -> nn.Linear:
        """The last layer."""
        return self.fc2


class SwiGlu(nn.Module):
    """The feed-forward part of the giant encoder (Shazeer 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # Two thirds of an Mlp's hidden width, rounded up to a multiple of 8 (official code).
        hidden = (int(4 * width * 2 / 3) + 7) // 8 * 8
        self.w12 = nn.Linear(width, 2 * hidden)
        self.w3 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """N x L x C to the same."""
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value)

    @property
    def out(self) -> nn.Linear:
        """The last layer."""
        return self.w3


class LayerScale(nn.Module):
    """A learned factor per channel (Touvron et al. 2021)."""

    def __init__(self, width: int, start: float = 1.0) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Tensor) -> Tensor:
        """N x L x C to the same."""
        return x * self.gamma


class Block(nn.Module):
    """One transformer block, normalisation first."""

    def __init__(self, width: int, heads: int, swiglu: bool, scale: float = 1.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.ls1 = LayerScale(width, scale)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = SwiGlu(width) if swiglu else Mlp(width)
        self.ls2 = LayerScale(width, scale)

    def forward(self, x: Tensor) -> Tensor:
        """N x L x C to the same."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))

    @torch.no_grad()
    def fold_scales(self) -> None:
        """Take the factors into the weights before them: same result, less to do."""
        for name, linear in (("ls1", self.attn.proj), ("ls2", self.mlp.out)):
            scale = getattr(self, name)
            if isinstance(scale, LayerScale):
                linear.weight.mul_(scale.gamma[:, None])
                linear.bias.mul_(scale.gamma)
                setattr(self, name, nn.Identity())


class PatchEmbed(nn.Module):
    """Cuts an image into patches and projects each to a token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=PATCH, stride=PATCH)

    def forward(self, image: Tensor) -> Tensor:
        """N x 3 x H x W to N x (H/14 * W/14) x C."""
        return self.proj(image).flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """DINOv2 encoder.

    Args:
        width: Channels of a token.
        depth: Number of blocks.
        heads: Attention heads per block.
        grid: Side of the learned position table in patches.
        swiglu: Whether the blocks use SwiGLU instead of an MLP.
        mask_token: Whether it has DINOv2's mask token, which depth does not use.
        norm_eps: Added to the variance in the last normalisation.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        grid: int = 37,
        swiglu: bool = False,
        mask_token: bool = True,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid * grid, width))
        if mask_token:
            self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.blocks = nn.ModuleList(Block(width, heads, swiglu) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self._tables: dict[tuple[object, ...], Tensor] = {}
        self._initialise()

    def _initialise(self) -> None:
        """Random start as in DINOv2 (dinov2.py, init_weights)."""
        if self.pos_embed.is_meta:
            return  # a file's weights follow; random numbers here load half of PyTorch
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.normal_(self.cls_token, std=1e-6)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def fold_scales(self) -> None:
        """Take every LayerScale into the weights before it, for good: for inference only.

        The result stays the same to rounding; `ls1.gamma` and `ls2.gamma` leave the state dict.
        """
        for block in self.blocks:
            block.fold_scales()  # type: ignore[operator]

    def positions(self, rows: int, cols: int) -> Tensor:
        """The position table of a size: kept for inference, computed anew for training.

        Args:
            rows: Patches along the height.
            cols: Patches along the width.

        Returns:
            1 x (1 + rows*cols) x C; for inference the same tensor until others have taken its
            place.
        """
        pos_embed = self.pos_embed
        if torch.compiler.is_compiling() or torch.is_grad_enabled():
            return position_table(pos_embed, rows, cols)
        version = 0 if pos_embed.is_inference() else pos_embed._version
        key = (rows, cols, pos_embed.device, pos_embed.dtype, pos_embed.data_ptr(), version)
        table = self._tables.get(key)
        if table is None:
            if len(self._tables) >= _CACHED_SIZES:
                self._tables.clear()
            table = self._tables[key] = position_table(pos_embed, rows, cols)
        return table

    def forward(self, image: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """Encode an image.

        Args:
            image: N x 3 x H x W, normalised; H and W multiples of 14.
            taps: Indices of the blocks whose output is returned, ascending.

        Returns:
            Per tap the patch tokens after the final norm, N x (H/14 * W/14) x C.
        """
        rows, cols = image.shape[-2] // PATCH, image.shape[-1] // PATCH
        x = self.patch_embed(image)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1)
        x = x + self.positions(rows, cols)
        tapped = []
        for block in self.blocks[: taps[-1] + 1]:
            x = block(x)
            tapped.append(x)
        return [self.norm(tapped[tap])[:, 1:] for tap in taps]
