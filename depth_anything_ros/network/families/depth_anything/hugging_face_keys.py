"""The names of transformers' DepthAnythingForDepthEstimation, turned into the official ones.

Published `-hf` files keep the names of transformers 4 (`attention.attention.query`,
`attention.output.dense`, `mlp.weights_in`); transformers 5 uses others in memory
(`attention.q_proj`, `attention.o_proj`, `mlp.gate_proj`). Both are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_RENAMES = (
    (r"^backbone\.embeddings\.patch_embeddings\.projection\.", "pretrained.patch_embed.proj."),
    (r"^backbone\.embeddings\.position_embeddings$", "pretrained.pos_embed"),
    (r"^backbone\.embeddings\.(cls_token|mask_token)$", r"pretrained.\1"),
    (r"^backbone\.layernorm\.", "pretrained.norm."),
    (r"^backbone\.encoder\.layer\.(\d+)\.", r"pretrained.blocks.\1."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.attention\.(?:attention\.query|q_proj)\.", ".attn.q."),
    (r"\.attention\.(?:attention\.key|k_proj)\.", ".attn.k."),
    (r"\.attention\.(?:attention\.value|v_proj)\.", ".attn.v."),
    (r"\.mlp\.weights_in\.", ".mlp.w12."),
    (r"\.mlp\.(?:weights_out|down_proj)\.", ".mlp.w3."),
    (
        r"^neck\.reassemble_stage\.layers\.(\d)\.projection\.",
        r"depth_head.projects.\1.",
    ),
    (
        r"^neck\.reassemble_stage\.layers\.(\d)\.resize\.",
        r"depth_head.resize_layers.\1.",
    ),
    (r"\.residual_layer([12])\.convolution([12])\.", r".resConfUnit\1.conv\2."),
    (r"^(neck\.fusion_stage\.layers\.\d)\.projection\.", r"\1.out_conv."),
    (r"^head\.conv1\.", "depth_head.scratch.output_conv1."),
    (r"^head\.conv2\.", "depth_head.scratch.output_conv2.0."),
    (r"^head\.conv3\.", "depth_head.scratch.output_conv2.2."),
)

_FUSED = {
    ".attn.qkv.": (".attn.q.", ".attn.k.", ".attn.v."),
    ".mlp.w12.": (".mlp.gate_proj.", ".mlp.up_proj."),
}


def is_hugging_face(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has transformers' names."""
    return "backbone.embeddings.cls_token" in state


def _rename(name: str) -> str:
    """The official name of one tensor, before parts are joined."""
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    # The neck counts its convolutions from 0 and its fusion stages from the coarsest.
    name = re.sub(
        r"^neck\.convs\.(\d)\.",
        lambda match: f"depth_head.scratch.layer{int(match[1]) + 1}_rn.",
        name,
    )
    return re.sub(
        r"^neck\.fusion_stage\.layers\.(\d)\.",
        lambda match: f"depth_head.scratch.refinenet{4 - int(match[1])}.",
        name,
    )


def to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and join the tensors of a transformers state dict.

    Args:
        state: State dict of transformers' DepthAnythingForDepthEstimation, either layout.

    Returns:
        The same weights under the official names; a missing mask token becomes zeros (it is not
        used for depth).
    """
    renamed = {_rename(name): tensor for name, tensor in state.items()}
    for whole, parts in _FUSED.items():
        first = parts[0]
        for name in [name for name in renamed if first in name]:
            pieces = [renamed.pop(name.replace(first, part)) for part in parts]
            renamed[name.replace(first, whole)] = torch.cat(pieces)
    cls_token = renamed["pretrained.cls_token"]
    renamed.setdefault("pretrained.mask_token", torch.zeros_like(cls_token[0]))
    return renamed
