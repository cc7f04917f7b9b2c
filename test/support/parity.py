"""How far the networks are from their makers' code, as a table (`make parity`).

Both get the same random weights and inputs. What is not installed or not given is left out:
Depth Anything 3 is compared with PyPI's depth-anything-3, V1, V2 and Prompt Depth Anything with
transformers in the suite's own tests, and Video and Prior Depth Anything with checkouts of their
official repositories.
"""

from __future__ import annotations

import argparse
import functools
import gc
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from official_da3 import (
    GIANT_BLOCKS,
    GIANT_TAPS,
    differences_nested,
    differences_single,
    differences_views,
    official_giant,
    official_nested,
    official_single,
    official_views,
    randomise,
)

from depth_anything_ros.frames import SparsePoints
from depth_anything_ros.inference.completion import PriorCompletion
from depth_anything_ros.network.families.depth_anything_3 import checkpoint as da3
from depth_anything_ros.network.families.prior_depth_anything import checkpoint as prior
from depth_anything_ros.network.families.video_depth_anything import checkpoint as video
from depth_anything_ros.network.family import CheckpointHints
from depth_anything_ros.network.outputs import DEPTH

Size = tuple[int, int]
Row = tuple[str, str, str, dict[str, float]]
"""Network, size of the input, what it is shown, and the largest difference of each output."""

PROCESSED: list[Size] = [(504, 504), (504, 378), (280, 504)]
SMALL: Size = (98, 140)


def ours_of(official: Any, **details: str) -> Any:
    """Our network with the weights of an official one of Depth Anything 3."""
    state = {f"model.{name}": tensor for name, tensor in official.state_dict().items()}
    return da3.build(state, CheckpointHints("its name", details=details), Path("it"))


def noise(*shape: int) -> torch.Tensor:
    """Normalised images of noise."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def single(encoder: str, sizes: list[Size], batch: int) -> Iterator[Row]:
    """DA3MONO and DA3METRIC, which hold the same tensors."""
    network = official_single(encoder)
    ours = ours_of(network, network="da3mono-large")
    for size in sizes:
        figures = differences_single(network, ours, noise(batch, 3, *size))
        yield f"DA3MONO, {encoder}", f"{size[0]}x{size[1]}", f"batch of {batch}", figures


def views(encoder: str, size: Size, counts: tuple[int, ...] = (1, 2, 5)) -> Iterator[Row]:
    """Any-view networks, without and with known cameras."""
    network = official_views(encoder)
    yield from _views(f"DA3 any-view, {encoder}", network, ours_of(network), size, counts)


def giant() -> Iterator[Row]:
    """The giant any-view network in its own width."""
    network = official_giant()
    ours = ours_of(network, taps=",".join(map(str, GIANT_TAPS)))
    name = f"DA3 any-view, vitg, {GIANT_BLOCKS} of 40 blocks"
    yield from _views(name, network, ours, (56, 70), (2,))


def _views(
    name: str, network: Any, ours: Any, size: Size, counts: tuple[int, ...]
) -> Iterator[Row]:
    for count in counts:
        images = noise(1, count, 3, *size)
        for given in (False, True):
            figures = differences_views(network, ours, images, given)
            known = "poses and intrinsics given" if given else "nothing given"
            seen = f"{count} view{'s' if count > 1 else ''}, {known}"
            yield name, f"{size[0]}x{size[1]}", seen, figures


def nested() -> Iterator[Row]:
    """An any-view network and the metric one, both small."""
    network = official_nested("vits")
    figures = differences_nested(network, ours_of(network), noise(1, 3, *SMALL))
    yield "DA3NESTED, vits and vits", f"{SMALL[0]}x{SMALL[1]}", "1 view", figures


def video_row(folder: Path, encoder: str = "vits", images: int = 45) -> Iterator[Row]:
    """Streaming over more images than are kept."""
    _stand_ins(folder)
    from video_depth_anything.video_depth_stream import (  # type: ignore[import-not-found]
        VideoDepthAnything,
    )

    torch.manual_seed(0)
    network = VideoDepthAnything(encoder, features=64, out_channels=[48, 96, 192, 384]).eval()
    randomise(network)
    _calibrate(
        network.head.scratch.output_conv2[2],
        lambda: network(noise(1, 1, 3, 56, 56)),
        deviation=1.0,
        mean=6.0,
    )
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    ours: Any = video.build(state, video.hints("video_depth_anything_vits", None), Path("it"))
    memory, worst = ours.new_memory(), 0.0
    scene = _picture(480, 640)
    for number in range(images):
        rgb = np.ascontiguousarray(scene[3 * number :][:96, 5 * number :][:, :128])
        theirs = network.infer_video_depth_one(rgb, input_size=56, device="cpu", fp32=True)
        image = network.transform({"image": rgb.astype(np.float32) / 255.0})["image"]
        with torch.inference_mode():
            depth = ours.next_outputs(torch.from_numpy(image)[None], memory)[DEPTH]
            depth = F.interpolate(depth[None], rgb.shape[:2], mode="bilinear", align_corners=True)
        worst = max(worst, float(np.abs(depth[0, 0].numpy() - theirs).max() / theirs.std()))
    size = f"{image.shape[1]}x{image.shape[2]}"
    yield f"Video Depth Anything, {encoder}", size, f"{images} images, streaming", {DEPTH: worst}


def prior_row(folder: Path, encoder: str = "vits", side: int = 98) -> Iterator[Row]:
    """The second stage, from the coarse depth on; the coarse stage is another one here."""
    _stand_ins(folder)
    import prior_depth_anything as official  # type: ignore[import-not-found]
    from prior_depth_anything.depth_anything_v2 import (  # type: ignore[import-not-found]
        build_backbone,
    )
    from prior_depth_anything.utils import Arguments  # type: ignore[import-not-found]

    network = build_backbone(encoder, encoder_cond_dim=3)
    network.construct_aux_layers()
    randomise(network.eval())
    height, width = 96, 128
    rng = np.random.default_rng(0)
    rgb = _picture(height, width)
    depth = cv2.resize(rng.uniform(2, 6, (5, 6)).astype(np.float32), (width, height))
    fitted, coarse = (1 / (1.07 * depth + 0.1)).astype(np.float32), 1 / (1.02 * depth)
    coarse[:3, :3], fitted[-2:, :5] = np.nan, -0.05
    rows, columns = np.divmod(rng.permutation(height * width)[:200], width)
    z = depth[rows, columns]
    sparse = torch.zeros(1, 1, height, width)
    sparse[0, 0, rows, columns] = torch.from_numpy(z)
    covered = np.nan_to_num(coarse, nan=0.0)
    covered[rows, columns] = 1 / z
    stages = {"global_preds": torch.from_numpy(fitted)[None]}
    stages["scaled_preds"] = torch.from_numpy(covered)[None]

    class Finish(official.PriorDepthAnything):
        """The official steps after the coarse stage."""

        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.args, self.device, self.coarse_only = Arguments(), "cpu", False
            self.args.extra_condition = "spmask"
            self.model = lambda image, _, condition, device: network(
                image, side, condition=condition, device=device
            )
            self.completion = lambda **_: stages

    image = torch.from_numpy(rgb).permute(2, 0, 1)[None]
    finish = Finish()

    def run() -> torch.Tensor:
        return finish(image, sparse, sparse > 0)

    _calibrate(network.depth_head.scratch.output_conv2[0][2], run, deviation=0.15, mean=1.2)
    with torch.inference_mode():
        theirs = run()[0, 0].numpy()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    ours = PriorCompletion(prior.build(state, Path("it")), "cpu", side)
    points = SparsePoints(columns.astype(float), rows.astype(float), z.astype(float))
    metres = 1 / ours.complete(rgb, fitted, coarse.astype(np.float32), points)
    worst = float(np.abs(metres - theirs).max() / theirs.std())
    name = f"Prior Depth Anything, {encoder}"
    yield name, f"{width}x{height} image", "200 points, from coarse depth on", {DEPTH: worst}


@torch.no_grad()
def _calibrate(
    last: torch.nn.Conv2d, run: Callable[[], object], deviation: float, mean: float
) -> None:
    """Give the values before the last activation a mean and a deviation."""
    assert last.bias is not None
    raw: list[torch.Tensor] = []
    hook = last.register_forward_hook(lambda module, inputs, out: raw.append(out))
    run()
    hook.remove()
    scale = deviation / raw[0].std()
    last.weight.mul_(scale)
    last.bias.mul_(scale).add_(mean - raw[0].mean() * scale)


def _picture(height: int, width: int) -> Any:
    blocks = np.random.default_rng(0).integers(0, 256, (height // 10, width // 10, 3))
    size = (width, height)
    return cv2.resize(blocks.astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)


def _stand_ins(folder: Path) -> None:
    """Import from a checkout, with what it asks for and does not use in these steps."""

    class Compose:
        def __init__(self, steps: list[Callable[[Any], Any]]) -> None:
            self._steps = steps

        def __call__(self, value: Any) -> Any:
            for step in self._steps:
                value = step(value)
            return value

    class EasyDict(dict[str, Any]):
        __getattr__ = dict.__getitem__

    sys.path.insert(0, str(folder))
    transforms = types.ModuleType("torchvision.transforms")
    modules: dict[str, dict[str, Any]] = {
        "torchvision": {"transforms": transforms},
        "torchvision.transforms": {"Compose": Compose},
        "easydict": {"EasyDict": EasyDict},
        "torch_cluster": {"knn": None},
        "matplotlib": {},
    }
    for name, contents in modules.items():
        module = types.ModuleType(name)
        vars(module).update(contents)
        sys.modules.setdefault(name, module)


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, help="a checkout of Video-Depth-Anything")
    parser.add_argument("--prior", type=Path, help="a checkout of Prior-Depth-Anything")
    parser.add_argument("--only", default="", help="parts whose name begins so")
    options = parser.parse_args()
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "single-vits": lambda: single("vits", PROCESSED, 2),
        "single-vitl": lambda: single("vitl", PROCESSED[2:], 2),
        **{
            f"views-vits-{size[0]}x{size[1]}": functools.partial(views, "vits", size)
            for size in PROCESSED
        },
        "views-vitb": lambda: views("vitb", SMALL),
        "views-vitl": lambda: views("vitl", SMALL),
        "giant": giant,
        "nested": nested,
    }
    if options.video:
        parts["video"] = lambda: video_row(options.video)
    if options.prior:
        parts["prior"] = lambda: prior_row(options.prior)
    print("| network | input | seen | largest difference / standard deviation |")
    print("| --- | --- | --- | --- |")
    for part, rows in parts.items():
        if not part.startswith(options.only):
            continue
        for network, size, seen, figures in rows():
            words = ", ".join(f"{name} {figure:.1e}" for name, figure in figures.items())
            print(f"| {network} | {size} | {seen} | {words} |", flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
