"""What trainings of networks for measured points have in common."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.errors import SettingError


@dataclass(frozen=True)
class SparseRecipe:
    """A training from draws of synthetic worlds, networks and points.

    Attributes:
        output: Folder for draws and result.
        networks: Networks whose disparity is seen, catalogue names or files.
        textures: Folder of photographs for the textures of every other picture; empty for none.
        pictures: Pictures of worlds; some draws of points and network are made of each.
        width: Columns of the pictures.
        height: Rows of the pictures.
        steps: Optimiser steps.
        rate: Largest rate of AdamW; it falls along a cosine.
        ema: Decay of the running average of the weights that is the result.
        workers: Processes that make draws.
        precision: "fp32" or "bf16".
        device: "cpu" or "cuda"; it must hold all draws.
        seed: Decides worlds, draws and order.
    """

    output: str
    networks: tuple[str, ...] = ("embedded",)
    textures: str = ""
    pictures: int = 10_000
    width: int = 320
    height: int = 240
    steps: int = 20_000
    rate: float = 2e-3
    ema: float = 0.999
    workers: int = 2
    precision: str = "fp32"
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be run.

        Raises:
            SettingError: The message names the setting and its value.
        """
        for name in ("pictures", "steps", "workers"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if not self.networks:
            raise SettingError("networks is empty; name at least one, such as embedded")
        if self.precision not in ("fp32", "bf16"):
            raise SettingError(f"precision is '{self.precision}'; use fp32 or bf16")
        if not 0 <= self.ema < 1:
            raise SettingError(f"ema is {self.ema:g}; it must be at least 0 and below 1")
