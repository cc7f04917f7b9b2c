"""Small runs and a simulated recording for the tests of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

NETWORK: dict[str, Any] = {
    "width": 64,
    "depth": 4,
    "heads": 1,
    "features": 16,
    "out_channels": [16, 16, 32, 32],
    "grid": 8,
}
"""A network that learns in seconds."""


def write_recipe(path: Path, **settings: Any) -> Path:
    """A recipe file; `settings` on top of a small network and fast rates."""
    content: dict[str, Any] = {
        "network": NETWORK,
        "size": [56, 84],
        "batch": 8,
        "encoder_rate": 1e-3,
        "head_rate": 1e-3,
        "validation_images": 8,
        **settings,
    }
    path.write_text(yaml.safe_dump(content))
    return path


def write_index(folder: Path, count: int, size: tuple[int, int] = (60, 90)) -> Path:
    """Pictures of slanted planes with boxes before them, and their depth, as a CSV index."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    height, width = size
    rows = ["image,depth"]
    for number in range(count):
        y = np.arange(height, dtype=np.float32)[:, None] / height
        depth = np.broadcast_to(1 / (0.1 + rng.uniform(0.2, 0.6) * y), size).copy()
        texture = rng.integers(60, 190, (height // 4, width // 4, 3), dtype=np.uint8)
        rgb = cv2.resize(texture, (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(3):
            top, left = int(rng.integers(0, height - 20)), int(rng.integers(0, width - 20))
            near = rng.uniform(1.0, 2.5)
            depth[top : top + 18, left : left + 18] = near
            rgb[top : top + 18, left : left + 18] = (250, int(90 * near), 20)
        cv2.imwrite(str(folder / f"{number}.png"), rgb)
        np.save(folder / f"{number}.npy", depth.astype(np.float32))
        rows.append(f"{number}.png,{number}.npy")
    index = folder / "index.csv"
    index.write_text("\n".join(rows) + "\n")
    return index
