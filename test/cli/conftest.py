"""The command line, called in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_anything_ros.cli.main import main
from depth_anything_ros.cli.support import terminal


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


RunCli = Callable[..., Result]


@pytest.fixture
def run_cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> RunCli:
    """Call `depth_anything` with some arguments."""
    # Wide enough that no message is wrapped; plain, so that none is coloured.
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("NO_COLOR", "1")
    # A console that an earlier test made keeps the width it had then.
    for console in (terminal.STDOUT, terminal.STDERR):
        monkeypatch.setattr(console, "_width", 300)

    def run(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["depth_anything", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def relative_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small relative network with random weights."""
    import torch

    from depth_anything_ros.network.checkpoints import save_network
    from depth_anything_ros.network.families.depth_anything.network import (
        DepthAnything,
        DepthAnythingConfig,
    )

    torch.manual_seed(0)
    config = DepthAnythingConfig(
        width=64, depth=4, heads=1, features=32, out_channels=(16, 16, 16, 16), taps=(0, 1, 2, 3)
    )
    network = DepthAnything(config).eval()
    with torch.no_grad():
        # Random networks end in all-zero ReLUs; a raised bias keeps their disparity alive.
        for name, parameter in network.named_parameters():
            if "output_conv" in name and name.endswith("bias"):
                parameter.fill_(1.0)
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_network(network, path, licence="MIT")
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rgb = cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (90, 60))
    path = tmp_path / "photo.v1.png"
    cv2.imwrite(str(path), rgb)
    return path


@pytest.fixture
def fastdepth(data_dir: Path) -> Path:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
    return data_dir / "fastdepth" / "fastdepth_7.onnx"
