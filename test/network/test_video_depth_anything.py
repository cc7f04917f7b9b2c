"""Video Depth Anything looks back at the images before as its official streaming code does.

The official code needs libraries that are not had here, so its attention over time is written out
once more, in plain operations, from the names and shapes of its files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
import torch.nn.functional as F
from random_checkpoints import VIDEO, make_video, write_video

from depth_anything_ros.api import load
from depth_anything_ros.errors import CheckpointError, SettingError
from depth_anything_ros.frames import (
    FloatImage,
    Frame,
    ImageSequence,
    PredictionKind,
    RgbImage,
)
from depth_anything_ros.inference.backends.torch.estimator import TorchEstimator
from depth_anything_ros.inference.estimator import SequenceEstimator
from depth_anything_ros.inference.image_sequence import SequenceBreaks
from depth_anything_ros.network.catalogue import catalogue
from depth_anything_ros.network.checkpoints import load_network, save_network
from depth_anything_ros.network.families.video_depth_anything.network import VideoDepthAnything
from depth_anything_ros.network.outputs import DEPTH
from depth_anything_ros.settings import ModelSettings

SIZE = (28, 42)
State = dict[str, torch.Tensor]


class Reference:
    """The temporal parts, place by place, with every image's input to every attention in a list."""

    def __init__(self, network: VideoDepthAnything) -> None:
        self.network = network
        self.state: State = dict(network.state_dict())
        self.images: list[list[torch.Tensor]] = []

    def module(self, number: int, x: torch.Tensor, own: list[torch.Tensor]) -> torch.Tensor:
        start = f"depth_head.motion_modules.{number}.temporal_transformer."
        s = {k.removeprefix(start): v for k, v in self.state.items() if k.startswith(start)}
        y = F.group_norm(x, 32, s["norm.weight"], s["norm.bias"], 1e-6)[0].flatten(1).T
        y = F.linear(y, s["proj_in.weight"], s["proj_in.bias"])
        for attention in range(2):
            block = "transformer_blocks.0."
            norm = f"{block}norms.{attention}."
            z = F.layer_norm(y, y.shape[1:], s[f"{norm}weight"], s[f"{norm}bias"])
            own.append(z)
            line = [image[2 * number + attention] for image in self.looked_at()]
            part = f"{block}attention_blocks.{attention}."
            stacked = torch.stack([*line, z], 1) + s[f"{part}pos_encoder.pe"][0, : len(line) + 1]
            q, k, v = (stacked @ s[f"{part}to_{each}.weight"].T for each in "qkv")
            width = q.shape[2] // 8
            mixed = []
            for head in range(8):
                cut = slice(head * width, (head + 1) * width)
                scores = (q[:, -1:, cut] @ k[:, :, cut].transpose(1, 2)) / width**0.5
                mixed.append((scores.softmax(-1) @ v[:, :, cut])[:, 0])
            joined = torch.cat(mixed, 1)
            y = y + F.linear(joined, s[f"{part}to_out.0.weight"], s[f"{part}to_out.0.bias"])
        z = F.layer_norm(y, y.shape[1:], s[f"{block}ff_norm.weight"], s[f"{block}ff_norm.bias"])
        up = F.linear(z, s[f"{block}ff.net.0.proj.weight"], s[f"{block}ff.net.0.proj.bias"])
        value, gate = up.chunk(2, 1)
        down = f"{block}ff.net.2."
        y = y + F.linear(value * F.gelu(gate), s[f"{down}weight"], s[f"{down}bias"])
        y = F.linear(y, s["proj_out.weight"], s["proj_out.bias"])
        return x + y.T.reshape(x.shape)

    def looked_at(self) -> list[list[torch.Tensor]]:
        """Of all images before: the first, one that is 41 back, and the newest 29."""
        if not self.images:
            return []
        line = [self.images[0]] * 31 + self.images
        oldest = max(len(line) - 41, 1)
        return [line[0], line[oldest], *line[-29:]]

    def next(self, image: torch.Tensor) -> torch.Tensor:
        head = self.network.depth_head
        own: list[torch.Tensor] = []
        rows, cols = SIZE[0] // 14, SIZE[1] // 14
        tokens = self.network.pretrained(image, VIDEO.taps)
        maps = []
        for level in range(4):
            x = tokens[level].transpose(1, 2).reshape(1, -1, rows, cols)
            maps.append(head.resize_layers[level](head.projects[level](x)))
        maps[2], maps[3] = self.module(0, maps[2], own), self.module(1, maps[3], own)
        r = [head.scratch[f"layer{i + 1}_rn"](each) for i, each in enumerate(maps)]
        x = head.scratch["refinenet4"](r[3], None, *r[2].shape[2:])
        x = head.scratch["refinenet3"](self.module(2, x, own), r[2], *r[1].shape[2:])
        x = head.scratch["refinenet2"](self.module(3, x, own), r[1], *r[0].shape[2:])
        x = head.scratch["refinenet1"](x, r[0], 2 * r[0].shape[2], 2 * r[0].shape[3])
        x = head.scratch["output_conv1"](x)
        x = F.interpolate(x, SIZE, mode="bilinear", align_corners=True)
        self.images.append(own)
        return F.relu(head.scratch["output_conv2"](x))[:, 0]


@torch.inference_mode()
def test_images_as_written_out() -> None:
    """Beyond 42, from where on the oldest are dropped; in double, so that no rounding grows."""
    network = make_video().double()
    memory, reference = network.new_memory(), Reference(network)
    worst = 0.0
    generator = torch.Generator().manual_seed(1)
    for image in torch.randn(45, 1, 3, *SIZE, generator=generator).double():
        ours = network.next_outputs(image, memory)[DEPTH]
        theirs = reference.next(image)
        assert theirs.std() > 0.1 and theirs.min() > 0
        worst = max(worst, float((ours - theirs).abs().max() / theirs.std()))
    print(f"\nat most {worst:.1e} of the standard deviation")
    assert worst <= 1e-4
    alone = network(image)
    assert float((alone - theirs).abs().max() / theirs.std()) > 0.01  # it does look back


def pictures(count: int) -> list[RgbImage]:
    rng = np.random.default_rng(count)
    wide = rng.integers(0, 256, (28, 42 + count, 3), dtype=np.uint8)
    return [np.ascontiguousarray(wide[:, k : k + 42]) for k in range(count)]


def test_every_sequence_has_a_memory_of_its_own() -> None:
    estimator = TorchEstimator(make_video(), "cpu", "fp32", 28)
    assert isinstance(estimator, SequenceEstimator) and estimator.follows
    left, right = pictures(4), pictures(5)[:4]

    def run(sequence: ImageSequence, image: RgbImage) -> FloatImage:
        return estimator.estimate_next(Frame(image, sequence=sequence)).values

    first, second, third = ImageSequence(), ImageSequence(), ImageSequence()
    alone = [run(first, image) for image in left]
    mixed = []
    for one, other in zip(left, right, strict=True):
        mixed.append(run(second, one))
        run(third, other)
    np.testing.assert_array_equal(alone, mixed)
    (fresh,) = estimator.estimate([left[3]])
    assert not np.allclose(fresh.values, alone[3], rtol=1e-3)
    np.testing.assert_allclose(run(ImageSequence(), left[3]), fresh.values, rtol=1e-5)
    with pytest.raises(SettingError, match="no sequence"):
        estimator.estimate_next(Frame(left[0]))


def test_sequences_end_at_cuts_and_breaks() -> None:
    rng = np.random.default_rng(0)
    scenes = np.kron(rng.integers(0, 256, (2, 6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    breaks = SequenceBreaks()

    def sequence(seconds: float, image: RgbImage) -> ImageSequence | None:
        return breaks.complete(Frame(image, 1_000_000_000 + round(1e9 * seconds))).sequence

    first = sequence(0.0, scenes[0])
    assert first is not None
    assert sequence(0.1, scenes[0]) is first
    other = sequence(0.2, scenes[1])
    assert other is not first
    assert sequence(0.3, scenes[1]) is other
    paused = sequence(5.0, scenes[1])
    assert paused is not other
    back = sequence(4.9, scenes[1])
    assert back is not paused
    smaller = sequence(5.0, scenes[1][::2])
    assert smaller is not back


def test_files(tmp_path: Path) -> None:
    for metric, kind in (
        (False, PredictionKind.RELATIVE_DISPARITY),
        (True, PredictionKind.METRIC_DEPTH),
    ):
        path = write_video(tmp_path, metric)
        network, info = load_network(path)
        assert isinstance(network, VideoDepthAnything)
        assert network.kind is info.kind is kind
    save_network(network, tmp_path / "mine.safetensors")
    again, _ = load_network(tmp_path / "mine.safetensors")
    assert again.kind is PredictionKind.METRIC_DEPTH
    state = torch.load(path)
    del state["head.projects.2.weight"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(CheckpointError, match="not a complete Video Depth Anything checkpoint"):
        load_network(tmp_path / "cut.pth")


def test_a_graph_cannot_look_back(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from depth_anything_ros.inference.export import export_onnx

    with pytest.raises(SettingError, match="backend torch"):
        export_onnx(make_video(), tmp_path / "video.onnx")


def test_licences_of_the_catalogue() -> None:
    entries = catalogue()
    assert entries["video_depth_anything_vits"].licence == "Apache-2.0"
    assert entries["video_depth_anything_vitl"].non_commercial
    assert entries["metric_video_depth_anything_vits"].kind is PredictionKind.METRIC_DEPTH


def test_a_stream_looks_back_and_single_pictures_do_not(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    save_network(make_video(), tmp_path / "tiny.safetensors")
    model = load(ModelSettings(str(tmp_path / "tiny.safetensors"), "cpu", input_size=28))
    assert model.estimator.backend == "torch"  # exports cannot look back, and auto goes on
    shown = pictures(6)[:3]
    streamed = [each.prediction.values for each in model.stream(shown)]
    alone = [each.prediction.values for each in model(shown)]
    np.testing.assert_allclose(streamed[0], alone[0], rtol=1e-4)
    assert not np.allclose(streamed[2], alone[2], rtol=1e-3)
