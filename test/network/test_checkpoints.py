"""Model names and files: what loads, and what is refused with which words."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

import torch
from safetensors.torch import save_file

from depth_anything_ros.errors import CheckpointError, SettingError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.catalogue import EMBEDDED_FILE, catalogue
from depth_anything_ros.network.checkpoints import (
    load_as,
    load_network,
    resolve,
    save_network,
)
from depth_anything_ros.network.families.depth_anything.network import (
    DepthAnything,
    DepthAnythingConfig,
)

METRIC = PredictionKind.METRIC_DEPTH
RELATIVE = PredictionKind.RELATIVE_DISPARITY
REPOSITORY = Path(__file__).resolve().parents[2]


def tiny(max_depth: float | None = None, *, swiglu: bool = False, depth: int = 6) -> DepthAnything:
    torch.manual_seed(0)
    config = DepthAnythingConfig(
        width=64,
        depth=depth,
        heads=1,
        features=16,
        out_channels=(8, 12, 16, 24),
        taps=(0, 2, 3, 5),
        max_depth=max_depth,
        swiglu=swiglu,
        grid=9,
        head_features=8,
    )
    return DepthAnything(config).eval()


@pytest.fixture(scope="module")
def vits() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return DepthAnything(DepthAnythingConfig.official("vits")).state_dict()


def to_hugging_face(state: dict[str, torch.Tensor], modern: bool) -> dict[str, torch.Tensor]:
    """The reverse of the key map, written by hand from the names transformers prints."""
    attention = "attention" if modern else "attention.attention"
    q, k, v = ("q_proj", "k_proj", "v_proj") if modern else ("query", "key", "value")
    out: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        parts = name.split(".")
        tail = parts[-1]
        if name.startswith("pretrained.blocks."):
            layer = f"backbone.encoder.layer.{parts[2]}"
            inner = ".".join(parts[3:-1])
            if inner == "attn.qkv":
                for part, piece in zip((q, k, v), tensor.chunk(3), strict=True):
                    out[f"{layer}.{attention}.{part}.{tail}"] = piece.clone()
                continue
            if inner == "mlp.w12" and modern:
                for part, piece in zip(("gate_proj", "up_proj"), tensor.chunk(2), strict=True):
                    out[f"{layer}.mlp.{part}.{tail}"] = piece.clone()
                continue
            inner = {
                "attn.proj": "attention.o_proj" if modern else "attention.output.dense",
                "ls1": "layer_scale1",
                "ls2": "layer_scale2",
                "mlp.w12": "mlp.weights_in",
                "mlp.w3": "mlp.down_proj" if modern else "mlp.weights_out",
            }.get(inner, inner)
            new = f"{layer}.{inner}.{'lambda1' if tail == 'gamma' else tail}"
        elif name.startswith("pretrained."):
            new = {
                "pretrained.cls_token": "backbone.embeddings.cls_token",
                "pretrained.mask_token": "backbone.embeddings.mask_token",
                "pretrained.pos_embed": "backbone.embeddings.position_embeddings",
                f"pretrained.norm.{tail}": f"backbone.layernorm.{tail}",
                f"pretrained.patch_embed.proj.{tail}": (
                    f"backbone.embeddings.patch_embeddings.projection.{tail}"
                ),
            }[name]
        elif parts[1] == "projects":
            new = f"neck.reassemble_stage.layers.{parts[2]}.projection.{tail}"
        elif parts[1] == "resize_layers":
            new = f"neck.reassemble_stage.layers.{parts[2]}.resize.{tail}"
        elif parts[2].endswith("_rn"):
            new = f"neck.convs.{int(parts[2][5]) - 1}.{tail}"
        elif parts[2].startswith("refinenet"):
            stage = f"neck.fusion_stage.layers.{4 - int(parts[2][9])}"
            unit = {"resConfUnit1": "residual_layer1", "resConfUnit2": "residual_layer2"}
            if parts[3] == "out_conv":
                new = f"{stage}.projection.{tail}"
            else:
                new = f"{stage}.{unit[parts[3]]}.convolution{parts[4][-1]}.{tail}"
        elif parts[2] == "output_conv1":
            new = f"head.conv1.{tail}"
        else:
            new = f"head.conv{2 if parts[3] == '0' else 3}.{tail}"
        out[new] = tensor.clone()
    return out


def same(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    mine = network.state_dict()
    return mine.keys() == state.keys() and all(
        torch.equal(mine[name], state[name]) for name in mine
    )


# --- what loads -----------------------------------------------------------------------------


def test_official_names_and_sizes(vits: dict[str, torch.Tensor]) -> None:
    """Counts from the official README (24.8 M, 97.5 M, 335.3 M; giant 1.3 B)."""
    for encoder, millions in (("vits", 24.8), ("vitb", 97.5), ("vitl", 335.3)):
        with torch.device("meta"):
            network = DepthAnything(DepthAnythingConfig.official(encoder))
        count = sum(tensor.numel() for tensor in network.parameters()) / 1e6
        assert count == pytest.approx(millions, abs=0.1), encoder
    with torch.device("meta"):
        giant = DepthAnything(DepthAnythingConfig.official("vitg"))
    assert round(sum(tensor.numel() for tensor in giant.parameters()) / 1e9, 1) == 1.3
    for name, shape in {
        "pretrained.pos_embed": (1, 1370, 384),
        "pretrained.mask_token": (1, 384),
        "pretrained.blocks.11.attn.qkv.weight": (1152, 384),
        "pretrained.blocks.0.ls1.gamma": (384,),
        "depth_head.resize_layers.3.weight": (384, 384, 3, 3),
        "depth_head.scratch.refinenet4.resConfUnit1.conv2.bias": (64,),
        "depth_head.scratch.output_conv2.2.weight": (1, 32, 1, 1),
    }.items():
        assert tuple(vits[name].shape) == shape
    assert "depth_head.scratch.layer1_rn.bias" not in vits


@pytest.mark.parametrize(
    ("name", "kind", "max_depth", "taps"),
    [
        ("depth_anything_v2_vits", RELATIVE, None, (2, 5, 8, 11)),
        ("depth_anything_v2_metric_hypersim_vits", METRIC, 20.0, (2, 5, 8, 11)),
        ("depth_anything_v2_metric_vkitti_vits", METRIC, 80.0, (2, 5, 8, 11)),
        ("depth_anything_vits14", RELATIVE, None, (8, 9, 10, 11)),
        ("robot7_depth_anything_v2_metric_vkitti_vits", METRIC, 80.0, (2, 5, 8, 11)),
    ],
)
def test_the_name_tells_what_the_tensors_cannot(
    tmp_path: Path,
    vits: dict[str, torch.Tensor],
    name: str,
    kind: PredictionKind,
    max_depth: float | None,
    taps: tuple[int, ...],
) -> None:
    path = tmp_path / f"{name}.pth"
    torch.save(vits, path)
    network, info = load_as(DepthAnything, path)
    assert same(network, vits)
    assert not network.training
    assert (info.name, info.encoder, info.kind, info.max_depth) == (name, "vits", kind, max_depth)
    assert network.config == DepthAnythingConfig.official(
        "vits", "v1" if name.endswith("14") else "v2", max_depth
    )
    assert network.config.taps == taps


def test_a_renamed_file_is_what_the_caller_says(
    tmp_path: Path, vits: dict[str, torch.Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mine.pth"
    torch.save(vits, path)
    assert load_network(path, max_depth=12.5)[0].max_depth == 12.5
    assert load_network(path, version="v1")[1].version == "v1"
    caplog.clear()
    assert load_network(path)[1].kind is RELATIVE
    assert "taken as relative" in caplog.text


def test_training_checkpoint_of_the_official_script(tmp_path: Path) -> None:
    network = tiny()
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    path = tmp_path / "latest.pth"
    torch.save({"model": state, "optimizer": {"state": {}}, "epoch": 3}, path)
    assert same(load_network(path, max_depth=20)[0], network.state_dict())


@pytest.mark.parametrize("max_depth", [None, 35.0])
@pytest.mark.parametrize("swiglu", [False, True])
def test_own_file_tells_everything(tmp_path: Path, max_depth: float | None, swiglu: bool) -> None:
    network = tiny(max_depth, swiglu=swiglu)
    path = tmp_path / "student.safetensors"
    save_network(network, path, licence="Apache-2.0")
    loaded, info = load_as(DepthAnything, path)
    assert loaded.config == network.config
    assert same(loaded, network.state_dict())
    assert (info.encoder, info.licence, info.max_depth) == ("custom", "Apache-2.0", max_depth)
    image = torch.randn(1, 3, 70, 98, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(loaded(image), network(image))
    loaded(image).sum().backward()  # it can be trained on
    assert loaded.get_parameter("pretrained.patch_embed.proj.weight").grad is not None


@pytest.mark.parametrize("modern", [False, True], ids=["published", "transformers5"])
@pytest.mark.parametrize("swiglu", [False, True], ids=["mlp", "swiglu"])
def test_hugging_face_layouts(tmp_path: Path, modern: bool, swiglu: bool) -> None:
    network = tiny(swiglu=swiglu)
    path = tmp_path / "model.safetensors"
    save_file(to_hugging_face(network.state_dict(), modern), path)
    config = {
        "model_type": "depth_anything",
        "depth_estimation_type": "metric",
        "max_depth": 80,
        "backbone_config": {"out_indices": [1, 3, 4, 6]},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded, info = load_as(DepthAnything, path)
    assert same(loaded, network.state_dict())
    assert loaded.config.taps == network.config.taps
    assert (info.kind, info.max_depth) == (METRIC, 80.0)


def test_half_precision_files_become_float32(tmp_path: Path) -> None:
    network = tiny().half()
    path = tmp_path / "half.safetensors"
    save_network(network, path)
    assert {tensor.dtype for tensor in load_network(path)[0].parameters()} == {torch.float32}


def test_licence_is_said_once_and_loudly_when_non_commercial(
    tmp_path: Path, vits: dict[str, torch.Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "depth_anything_ros")
    path = tmp_path / "depth_anything_v2_vits.pth"
    torch.save(vits, path)
    load_network(path)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "Apache-2.0" in caplog.text
    caplog.clear()
    own = tmp_path / "own.safetensors"
    save_network(tiny(), own, licence="CC-BY-NC-4.0")
    load_network(own)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "not for commercial use" in caplog.text


# --- what is refused ------------------------------------------------------------------------


def test_wrong_variant(tmp_path: Path, vits: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "depth_anything_v2_vitl.pth"
    torch.save(vits, path)
    with pytest.raises(CheckpointError, match=r"holds vits weights .* where vitl is expected"):
        load_network(path)
    other = tmp_path / "x.pth"
    torch.save(vits, other)
    with pytest.raises(CheckpointError, match=r"holds vits weights .* where vitb is expected"):
        load_network(other, encoder="vitb")


def test_relative_where_metric_is_asked(tmp_path: Path, vits: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "depth_anything_v2_vits.pth"
    torch.save(vits, path)
    with pytest.raises(CheckpointError, match=r"relative network .* where a metric one"):
        load_network(path, kind=METRIC)
    with pytest.raises(CheckpointError, match=r"relative network .* where a metric one"):
        load_network(path, max_depth=20)
    unknown = tmp_path / "x.pth"
    torch.save(vits, unknown)
    with pytest.raises(CheckpointError, match="give `max_depth`"):
        load_network(unknown, kind=METRIC)
    with pytest.raises(SettingError, match="max_depth is -1"):
        load_network(unknown, max_depth=-1)


def test_metric_where_relative_is_asked_and_other_metres(
    tmp_path: Path, vits: dict[str, torch.Tensor]
) -> None:
    path = tmp_path / "depth_anything_v2_metric_hypersim_vits.pth"
    torch.save(vits, path)
    with pytest.raises(CheckpointError, match=r"metric network .* where a relative one"):
        load_network(path, kind=RELATIVE)
    with pytest.raises(CheckpointError, match=r"trained for 20 m .* max_depth is 80"):
        load_network(path, max_depth=80)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.0001, 0.6, 0.999])
def test_cut_short(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"depth_anything_v2_vits{suffix}"
    state = tiny().state_dict()
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(CheckpointError, match=r"damaged or cut short.*download it again"):
        load_network(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n<!DOCTYPE html>\n<html><body>Sign in</body></html>", "web page"),
        ("<html>404</html>", "web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
    ],
)
def test_saved_page_or_pointer(tmp_path: Path, suffix: str, text: str, words: str) -> None:
    path = tmp_path / f"depth_anything_v2_vits{suffix}"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=words):
        load_network(path)


class Touch:
    """A pickle that creates a file when it is loaded freely."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "plain"])
def test_pickle_with_code_is_not_run(tmp_path: Path, legacy: bool) -> None:
    path, trace = tmp_path / "depth_anything_v2_vits.pth", tmp_path / "ran"
    if legacy:
        path.write_bytes(pickle.dumps({"model": Touch(trace)}, protocol=2))
    else:
        torch.save({"model": Touch(trace)}, path)
    with pytest.raises(CheckpointError, match="Python code besides tensors"):
        load_network(path)
    assert not trace.exists()


def test_other_content(tmp_path: Path, vits: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "x.pth"
    torch.save({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"not a Depth Anything checkpoint.*conv.weight"):
        load_network(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="does not hold a state dict"):
        load_network(path)
    missing = dict(vits)
    del missing["pretrained.blocks.5.norm1.weight"]
    torch.save(missing, path)
    with pytest.raises(CheckpointError, match=r"blocks\.5\.norm1\.weight"):
        load_network(path)
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors", {"kind": "nonsense"})
    with pytest.raises(CheckpointError, match="not a Depth Anything checkpoint"):
        load_network(tmp_path / "x.safetensors")


def test_missing_file_and_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone.pth' does not exist"):
        resolve(tmp_path / "gone.pth")
    with pytest.raises(CheckpointError, match=r"did you mean .*depth_anything_v2_vits"):
        resolve("depth_anything_v2_vit_s")
    with pytest.raises(CheckpointError, match="depth_anything models"):
        resolve("qqqq")
    with pytest.raises(CheckpointError, match=r"not a .pth"):
        resolve(tmp_path)
    onnx = tmp_path / "net.onnx"
    onnx.touch()
    assert resolve(onnx).is_onnx
    with pytest.raises(CheckpointError, match="ONNX graph"):
        load_network(onnx)


def offline(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a process that is offline and has its own download cache."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    environment.pop("HF_HUB_CACHE", None)
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


RESOLVE = (
    "from depth_anything_ros.network.checkpoints import resolve\n"
    "from depth_anything_ros.errors import CheckpointError\n"
    "try: print(resolve('{name}').path)\n"
    "except CheckpointError as error: print('refused:', error)\n"
)


@pytest.mark.parametrize("name", ["depth_anything_v2_vits", "depth_anything_vits14"])
def test_offline_and_not_cached_then_cached(tmp_path: Path, name: str) -> None:
    pytest.importorskip("huggingface_hub")
    info = catalogue()[name]
    answer = offline(RESOLVE.format(name=name), tmp_path)
    assert answer.stdout.startswith(f"refused: model '{name}' is not in the cache"), answer
    assert info.repo in answer.stdout

    def put(repo: str, repo_type: str, filename: str) -> Path:
        folder = tmp_path / "hub" / f"{repo_type}s--{repo.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("0" * 40)
        path = folder / "snapshots" / ("0" * 40) / filename
        path.parent.mkdir(parents=True)
        path.touch()
        return path

    twin = put(info.hf_repo, "model", "model.safetensors")
    assert offline(RESOLVE.format(name=name), tmp_path).stdout.strip() == str(twin)
    own = put(info.repo, info.repo_type, info.filename)
    assert offline(RESOLVE.format(name=name), tmp_path).stdout.strip() == str(own)


def test_auto_takes_the_official_network_where_it_is_and_else_the_embedded_one(
    tmp_path: Path,
) -> None:
    pytest.importorskip("huggingface_hub")
    code = RESOLVE.format(name="auto")
    answer = offline(code, tmp_path)
    assert answer.stdout.strip() == str(EMBEDDED_FILE)
    assert "less accurate" in answer.stderr and "depth_anything_v2_vits" in answer.stderr
    info = catalogue()["depth_anything_v2_vits"]
    folder = tmp_path / "hub" / f"models--{info.repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    official = folder / "snapshots" / ("0" * 40) / info.filename
    official.parent.mkdir(parents=True)
    official.touch()
    answer = offline(code, tmp_path)
    assert answer.stdout.strip() == str(official)
    assert "less accurate" not in answer.stderr
    assert offline(RESOLVE.format(name="embedded"), tmp_path).stdout.strip() == str(EMBEDDED_FILE)


def test_catalogue_is_light_and_whole() -> None:
    code = (
        "import sys, depth_anything_ros.network.catalogue, depth_anything_ros.network.checkpoints\n"
        "print([m for m in ('torch', 'huggingface_hub', 'safetensors') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
    known = catalogue()
    first = {name: info for name, info in known.items() if info.version in ("v1", "v2")}
    assert len(first) == 12
    assert catalogue()["depth_anything_v2_vits"].licence == "Apache-2.0"
    assert catalogue()["depth_anything_v2_vitl"].non_commercial
    focal = {info.max_depth: info.train_focal for info in first.values()}
    assert focal[20.0] == pytest.approx(598.1, abs=0.05)
    assert focal[80.0] == pytest.approx(1001.5, abs=0.05)
    assert focal[None] is None
    for name, info in known.items():
        assert info.name == name
        assert info.repo and info.filename and info.licence != "unknown"
    for name, info in first.items():
        assert name == Path(info.filename).stem
        assert (info.max_depth is not None) == (info.kind is METRIC)
