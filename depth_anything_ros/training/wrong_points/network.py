"""The network that finds wrong points, and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from depth_anything_ros.formats.whole_file import whole_file
from depth_anything_ros.metric.wrong_points_network import OF_PAIR, OF_POINT


class _Round(nn.Module):
    """Every point hears from its neighbours, and of all points on average."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.own = nn.Linear(features, features)
        self.other = nn.Linear(features, features, bias=False)
        self.pair = nn.Linear(len(OF_PAIR), features, bias=False)
        self.everyone = nn.Linear(features, features)
        self.told = nn.Linear(4 * features, features)
        self.change = nn.Linear(features, features)

    def forward(self, state: Tensor, near: Tensor, pairs: Tensor, draw: Tensor) -> Tensor:
        x = torch.relu(state)
        message = torch.relu(self.own(x)[:, None] + self.other(x)[near] + self.pair(pairs))
        count = torch.bincount(draw)
        total = torch.zeros((len(count), x.shape[1]), device=x.device, dtype=x.dtype)
        total = total.index_add(0, draw, torch.relu(self.everyone(x)))
        everyone = (total / count[:, None])[draw]
        told = torch.cat([x, message.mean(1), message.amax(1), everyone], dim=1)
        return torch.as_tensor(state + self.change(torch.relu(self.told(told))))


class WrongPointsNetwork(nn.Module):
    """Message passing between points (Gilmer et al. 2017).

    Args:
        features: Numbers that stand for a point.
        rounds: How often points hear from their neighbours.
    """

    def __init__(self, features: int, rounds: int) -> None:
        super().__init__()
        self.first = nn.Linear(len(OF_POINT), features)
        self.second = nn.Linear(features, features)
        self.rounds = nn.ModuleList(_Round(features) for _ in range(rounds))
        self.answer = nn.Linear(features, 1)

    def forward(self, points: Tensor, near: Tensor, pairs: Tensor, draw: Tensor) -> Tensor:
        """Logit of every point being wrong.

        Args:
            points: NxP, of all draws one after the other.
            near: NxK indices of neighbours among them.
            pairs: NxKxE.
            draw: N, which draw each belongs to.

        Returns:
            N.
        """
        state = self.second(torch.relu(self.first(points)))
        for each in self.rounds:
            state = each(state, near, pairs, draw)
        return torch.as_tensor(self.answer(torch.relu(state))[:, 0])


def write_weights(network: WrongPointsNetwork, path: Path) -> None:
    """Write the weights as float16 safetensors (`metric.wrong_points_network` reads them).

    Args:
        network: It.
        path: The file.
    """
    from safetensors.numpy import save

    weights = {
        name: each.detach().cpu().numpy().astype(np.float16)
        for name, each in network.named_parameters()
    }
    with whole_file(path) as part:
        part.write_bytes(save(weights))
