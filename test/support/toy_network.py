"""A network of a family that only tests have: it answers a multiple of the red channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.depth_network import DepthNetwork
from depth_anything_ros.network.preprocessing import Preprocessing


class ToyNetwork(DepthNetwork):
    """Depth = `toy.slope` * red, red from 0 to 1."""

    family = "toy_family"
    kind = PredictionKind.METRIC_DEPTH
    encoder = "tiny"
    max_depth = 50.0
    preprocessing = Preprocessing(64, multiple_of=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    def __init__(self) -> None:
        super().__init__()
        self.toy = nn.ParameterDict({"slope": nn.Parameter(torch.zeros(1))})

    def forward(self, image: Tensor) -> Tensor:
        """See `DepthNetwork.forward`."""
        return (image[:, 0] * self.toy["slope"]).float()

    def metadata(self) -> dict[str, str]:
        """Its tensors tell everything."""
        return {}
