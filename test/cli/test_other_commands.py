"""`--help`, `models` and `export`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depth_anything_ros.network.catalogue import catalogue

RunCli = Callable[..., Any]


def test_help_lists_the_commands(run_cli: RunCli) -> None:
    result = run_cli("--help")
    assert result.code == 0
    for command in ("run", "calibrate", "models", "export"):
        assert f" {command} " in result.out


@pytest.mark.parametrize(("command", "option"), [("run", "--grayscale"), ("calibrate", "--ground")])
def test_help_loads_nothing_heavy(command: str, option: str) -> None:
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "depth_anything_ros", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rsplit("|", 1)[-1].strip() for line in process.stderr.splitlines()}
    assert "click" in loaded
    assert option in process.stdout
    # NumPy and OpenCV come with the records of what can be chosen.
    assert not loaded & {"torch", "onnxruntime", "openvino", "huggingface_hub", "rosbags"}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("depth_anything mod", {"models"}),
        ("depth_anything run --png", {"--png-scale"}),
        ("depth_anything run --scaler gro", {"ground_plane"}),
        ("depth_anything run --ply-frame ", {"optical", "ros", "gl"}),
        ("depth_anything run -m embe", {"embedded", "embedded_metric"}),
    ],
)
def test_shells_complete_commands_options_and_names(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, typed: str, expected: set[str]
) -> None:
    monkeypatch.setenv("_DEPTH_ANYTHING_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
    lines = run_cli().out.splitlines()
    assert {line.rpartition(",")[2] for line in lines if line} == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_shells_is_printed(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setenv("_DEPTH_ANYTHING_COMPLETE", f"{shell}_source")
    assert f"_DEPTH_ANYTHING_COMPLETE={shell}_complete" in run_cli().out


def test_errors_of_the_installed_command_have_no_traceback() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "depth_anything_ros", "run", "gone.png"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert process.returncode == 1
    assert process.stderr == "error: gone.png does not exist\n"


def test_models_are_listed_with_size_kind_and_licence(run_cli: RunCli) -> None:
    result = run_cli("models")
    assert result.code == 0
    lines = {line.split()[0]: line for line in result.out.splitlines()}
    for name, info in catalogue().items():
        assert f"{info.size_mb:.0f} MB" in lines[name]
        assert info.licence in lines[name]
        metres = info.kind.metric or info.canonical_focal is not None
        assert ("metres" in lines[name]) == metres


def test_verify_says_what_was_checked(run_cli: RunCli) -> None:
    pytest.importorskip("torch")
    result = run_cli("models", "verify", "embedded")
    assert result.code == 0, result.err
    assert "ok     finite" in result.out
    assert "ok     near is near" in result.out
    assert "ms for 320x240" in result.out


def test_pull_suggests_names(run_cli: RunCli) -> None:
    result = run_cli("models", "pull", "depth_anything_v2_vit")
    assert result.code == 1
    assert "did you mean depth_anything_v2_vit" in result.err


def test_pull_offline_says_what_to_do(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    # The library reads its environment once, at import.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    result = run_cli("models", "pull", "depth_anything_v2_vits")
    assert result.code == 1
    assert "not in the cache" in result.err


def test_exported_network_answers_as_before(
    run_cli: RunCli, relative_model: Path, photo: Path, tmp_path: Path
) -> None:
    for module in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(module, reason=f"{module} is not installed (extra 'onnx')")
    graph = tmp_path / "small.onnx"
    exported = run_cli("export", relative_model, "-o", graph)
    assert exported.code == 0, exported.err
    assert exported.out == f"{graph}\n"
    answers = []
    for model in (relative_model, graph):
        output = tmp_path / model.suffix[1:]
        options = ("-m", model, "--input-size", "70", "--precision", "fp32", "-o", output)
        result = run_cli("run", photo, *options)
        assert result.code == 0, result.err
        answers.append(np.load(output / "photo.v1_depth.npy"))
        assert json.loads((output / "photo.v1.json").read_text())["licence"] == "MIT"
    difference = float(np.abs(answers[0] - answers[1]).max())
    print(f"weights and exported ONNX through the command line differ by {difference:.1e}")
    assert difference <= 1e-3


def test_export_refuses_what_is_no_checkpoint(run_cli: RunCli, tmp_path: Path) -> None:
    graph = tmp_path / "net.onnx"
    graph.write_bytes(b"")
    result = run_cli("export", graph)
    assert result.code == 1
    assert "is ONNX already" in result.err
    misnamed = run_cli("export", graph, "-o", tmp_path / "net.pt")
    assert misnamed.code == 2
    assert "does not end in .onnx" in misnamed.err


def test_models_name_what_is_here(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(bytes(3_000_000))
    here = "depth_anything_v2_metric_vkitti_vits"
    monkeypatch.setattr(
        "depth_anything_ros.network.checkpoints.find.cached_file",
        lambda info: file if info.name == here else None,
    )
    shown = run_cli("models")
    assert "on this machine: 3 with 23 MB" in shown.out
    rows = {row["name"]: row for row in json.loads(run_cli("models", "--json").out)}
    assert rows[here]["path"] == str(file)
    assert rows[here]["size_on_disk_mb"] == 3.0
    assert rows["depth_anything_v2_vits"]["path"] is None
    assert Path(rows["embedded"]["path"]).is_file()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("depth-anything/Depth-Anything-V2-Small-hf", "depth_anything_v2_vits"),
        ("depth-anything/depth-anything-v2-small", "depth_anything_v2_vits"),
        (
            "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf",
            "depth_anything_v2_metric_hypersim_vits",
        ),
    ],
)
def test_hugging_face_ids_are_names_of_models(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, meant: str
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    result = run_cli("models", "pull", name)
    assert result.code == 1
    assert f"model '{meant}' is not in the cache" in result.err


def test_an_export_named_like_a_model_is_the_export(
    run_cli: RunCli, photo: Path, tmp_path: Path
) -> None:
    tiny_networks = pytest.importorskip("tiny_networks", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
    graph = tiny_networks.write_red_network(tmp_path, "metric_depth")
    for suffix in (".onnx", ".yaml"):
        if graph.with_suffix(suffix).exists():
            graph.with_suffix(suffix).rename(tmp_path / f"embedded{suffix}")
    result = run_cli("run", photo, "-m", tmp_path / "embedded.onnx", "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert json.loads((tmp_path / "out" / "photo.v1.json").read_text())["kind"] == "metric_depth"


@pytest.mark.parametrize("arguments", [("-h",), ("--help",), ("run", "-h"), ("bench", "-h")])
def test_help_has_a_short_name(run_cli: RunCli, arguments: tuple[str, ...]) -> None:
    result = run_cli(*arguments)
    assert result.code == 0
    assert "Usage: depth_anything" in result.out


def test_version(run_cli: RunCli) -> None:
    import depth_anything_ros

    result = run_cli("--version")
    assert result.out.strip().endswith(depth_anything_ros.__version__)


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "embedded", "-o", "FOLDER/a.onnx"),
        ("calibrate", "gone", "-o", "FOLDER/a.yaml"),
        ("eval", "depth", "gone.csv", "--json", "FOLDER/a.json"),
        ("eval", "depth", "gone.csv", "--csv", "FOLDER/a.csv"),
    ],
)
def test_outputs_are_checked_before_the_work(
    run_cli: RunCli, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("no folder")
    result = run_cli(*(word.replace("FOLDER", str(tmp_path / "file")) for word in arguments))
    assert result.code == 1
    assert result.err.startswith("error: ")
    assert "cannot be written: " in result.err.splitlines()[0]
