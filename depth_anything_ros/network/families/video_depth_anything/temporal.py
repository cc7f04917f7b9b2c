"""Attention over time: every place of a feature map looks back at itself in the images before.

Names and order follow the official motion_module/motion_module.py and attention.py (from
AnimateDiff, Guo et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LENGTH = 32
"""Images that attention sees together, the newest among them (num_frames)."""

ATTENTIONS = 2
"""Attentions of a module, one after the other."""

_HEADS = 8
_GROUPS = 32


class _Positions(nn.Module):
    """The table of an image's place in the sequence: sines and cosines, as official files hold it.

    Args:
        width: Channels.
    """

    pe: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("pe", torch.zeros(1, LENGTH, width))


class TemporalAttention(nn.Module):
    """Attention of an image to itself and those before it, at every place alone.

    Args:
        width: Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width, width, bias=False)
        self.to_v = nn.Linear(width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        self.pos_encoder = _Positions(width)

    def forward(self, x: Tensor, past: Tensor | None) -> Tensor:
        """N x 1 x C of N places, and what came before, N x T x C, to N x 1 x C."""
        whole = x if past is None else torch.cat([past, x], 1)
        whole = whole + self.pos_encoder.pe[:, : whole.shape[1]].to(whole.dtype)
        q = self._heads(self.to_q(whole[:, -1:]))
        k, v = self._heads(self.to_k(whole)), self._heads(self.to_v(whole))
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.to_out[0](mixed.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (_HEADS, -1)).transpose(1, 2)


class _Gated(nn.Module):
    """A layer whose second half gates the first (GEGLU, Shazeer 2020)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.proj(x).chunk(2, -1)
        return x * F.gelu(gate)


class _FeedForward(nn.Module):
    """The feed-forward part; the identity keeps the official numbers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 4 * width
        self.net = nn.Sequential(_Gated(width, hidden), nn.Identity(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class _TemporalBlock(nn.Module):
    """Two attentions and a feed-forward part."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList(TemporalAttention(width) for _ in range(ATTENTIONS))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(ATTENTIONS))
        self.ff = _FeedForward(width)
        self.ff_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, past: Sequence[Tensor | None]) -> tuple[Tensor, list[Tensor]]:
        kept = []
        for attention, norm, before in zip(self.attention_blocks, self.norms, past, strict=True):
            kept.append(norm(x))
            x = x + attention(kept[-1], before)
        return x + self.ff(self.ff_norm(x)), kept


class _TemporalTransformer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_GROUPS, width, eps=1e-6)
        self.proj_in = nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList([_TemporalBlock(width)])
        self.proj_out = nn.Linear(width, width)


class TemporalModule(nn.Module):
    """A feature map of one image, corrected by those of the images before.

    Args:
        width: Channels of the map.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.temporal_transformer = _TemporalTransformer(width)

    def forward(self, x: Tensor, past: Sequence[Tensor | None]) -> tuple[Tensor, list[Tensor]]:
        """Correct a map.

        Args:
            x: 1 x C x h x w.
            past: For each attention what the images before gave it, (h*w) x T x C, oldest first;
                None without any.

        Returns:
            The map, and for each attention what this image gives it, (h*w) x 1 x C.
        """
        inner = self.temporal_transformer
        height, width = x.shape[-2:]
        places = inner.norm(x).flatten(2).permute(2, 0, 1)  # (h*w) x 1 x C
        y = inner.proj_in(places)
        kept: list[Tensor] = []
        for block in inner.transformer_blocks:
            y, kept = block(y, past)
        y = inner.proj_out(y).permute(1, 2, 0).unflatten(2, (height, width))
        return x + y, kept
