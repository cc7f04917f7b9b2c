"""Weights as the published EfficientNet-Lite files hold them, but random."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from depth_anything_ros.network.families.lite.encoder import variant_stages


def published_like(variant: str) -> dict[str, Tensor]:
    """Random weights under the names of the published files, the same on every machine."""
    rng = np.random.default_rng(7)
    state: dict[str, Tensor] = {}

    def convolution(name: str, norm: str, *shape: int) -> None:
        weight = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
        state[f"{name}.weight"] = torch.from_numpy(weight).float()
        for part, values in (
            ("weight", rng.uniform(0.8, 1.2, shape[0])),
            ("bias", rng.normal(size=shape[0]) * 0.1),
            ("running_mean", rng.normal(size=shape[0]) * 0.1),
            ("running_var", rng.uniform(0.5, 1.5, shape[0])),
        ):
            state[f"{norm}.{part}"] = torch.from_numpy(values).float()

    convolution("_conv_stem", "_bn0", 32, 3, 3, 3)
    inputs, block = 32, 0
    for stage in variant_stages(variant):
        for _ in range(stage.repeats):
            inside = inputs * stage.expansion
            name = f"_blocks.{block}"
            if stage.expansion > 1:
                convolution(f"{name}._expand_conv", f"{name}._bn0", inside, inputs, 1, 1)
            kernel = stage.kernel
            convolution(f"{name}._depthwise_conv", f"{name}._bn1", inside, 1, kernel, kernel)
            convolution(f"{name}._project_conv", f"{name}._bn2", stage.channels, inside, 1, 1)
            inputs, block = stage.channels, block + 1
    return state
