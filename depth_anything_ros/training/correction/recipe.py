"""Settings of the correction's training."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.errors import SettingError


@dataclass(frozen=True)
class CorrectionRecipe:
    """A training of the correction of kriged depth.

    Attributes:
        output: Folder for draws, log and result.
        networks: Networks whose disparity is corrected, catalogue names or files.
        textures: Folder of photographs for the textures of every other picture; empty for none.
        pictures: Pictures of worlds; five draws of points and network are made of each.
        width: Columns of the pictures.
        height: Rows of the pictures.
        channels: Features at half, quarter and eighth of the lattice's resolution.
        steps: Optimiser steps.
        rate: Largest rate of AdamW; it falls along a cosine.
        ema: Decay of the running average of the weights that is the result.
        workers: Processes that make draws.
        precision: "fp32" or "bf16".
        device: "cpu" or "cuda"; it must hold all draws, 1.2 GB of 1000 pictures.
        seed: Decides worlds, draws and order.
    """

    output: str
    networks: tuple[str, ...] = ("embedded",)
    textures: str = ""
    pictures: int = 10_000
    width: int = 320
    height: int = 240
    channels: tuple[int, ...] = (24, 32, 48)
    steps: int = 19_600
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
        if len(self.channels) != 3:
            raise SettingError(f"channels are {list(self.channels)}; it takes three numbers")
        if not self.networks:
            raise SettingError("networks is empty; name at least one, such as embedded")
        if self.precision not in ("fp32", "bf16"):
            raise SettingError(f"precision is '{self.precision}'; use fp32 or bf16")
        if not 0 <= self.ema < 1:
            raise SettingError(f"ema is {self.ema:g}; it must be at least 0 and below 1")
