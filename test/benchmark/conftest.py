"""Fixtures of the benchmarks' tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_network import make_small_network


@pytest.fixture
def small_network_file(tmp_path: Path) -> Path:
    pytest.importorskip("torch")
    from depth_anything_ros.network.checkpoints import save_network

    path = tmp_path / "small.safetensors"
    save_network(make_small_network(), path)
    return path
