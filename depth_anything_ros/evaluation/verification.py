"""Whether a network's file is whole and does what its makers' does."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.build_cache import file_hash
from depth_anything_ros.inference.preprocess import Normaliser, network_size
from depth_anything_ros.network.checkpoints import ModelFile, load_network
from depth_anything_ros.synthetic.generator import Generator

PICTURE_URL = "http://images.cocodataset.org/val2017/000000039769.jpg"
"""The picture that the published numbers are about (COCO val2017, number 39769)."""

REFERENCES: dict[str, tuple[tuple[float, ...], ...]] = {
    "depth_anything_vits14": (
        (8.8223, 8.6483, 8.6216),
        (8.3332, 8.6047, 8.7545),
        (8.6547, 8.6885, 8.7472),
    ),
    "depth_anything_v2_metric_hypersim_vits": (
        (1.3349, 1.2947, 1.2802),
        (1.2794, 1.2338, 1.2901),
        (1.2630, 1.2219, 1.2478),
    ),
}
"""Upper left 3x3 corner of the output at 518x686: transformers, tests/models/depth_anything/
test_modeling_depth_anything.py, for LiheYoung/depth-anything-small-hf and
depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf."""

TOLERANCE = 0.03
"""Largest relative difference to them. They were made with another library's resize, and a position
table interpolated by size and not by scale factor, which alone moves outputs by 1 to 3 %."""

LEAST_ORDER = 0.3
"""Least rank correlation of nearness with the truth of rendered pictures; chance gives 0."""

_PICTURES = 4
_SHAPE = (240, 320)
_ROUNDS = 3


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What it is.
        passed: Whether it is right; None where it could not be looked at.
        words: What was found.
    """

    name: str
    passed: bool | None
    words: str


def verify(file: ModelFile, loaded: LoadedModel, picture: RgbImage | None) -> Iterator[Check]:
    """Look at a model's file and at what it says.

    Args:
        file: The model.
        loaded: The same, ready to run.
        picture: The picture of `PICTURE_URL`; None where it cannot be had.

    Yields:
        What was found, one thing at a time.
    """
    yield check_hash(file.path)
    yield from _check_answers(loaded)
    if file.name in REFERENCES:
        yield _check_reference(file, picture)


def check_hash(path: Path) -> Check:
    """Compare a file with its published SHA-256, which the Hugging Face cache keeps as its name.

    Args:
        path: The file.
    """
    published = path.resolve().name
    if not re.fullmatch(r"[0-9a-f]{64}", published):
        return Check("sha256", None, "it is not in the Hugging Face cache, so none is known")
    found = file_hash(path)
    if found == published:
        return Check("sha256", True, found)
    return Check("sha256", False, f"{found} where {published} is published; download it again")


def nearness_order(nearness: FloatImage, depth: FloatImage) -> float:
    """Rank correlation (Spearman) of a network's nearness with true inverse depth.

    Args:
        nearness: HxW, larger is nearer.
        depth: HxW metres, NaN where unknown.
    """
    known = np.isfinite(depth) & np.isfinite(nearness)
    ranks = [np.argsort(np.argsort(each[known])) for each in (nearness, -depth)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _check_answers(loaded: LoadedModel) -> Iterator[Check]:
    """Finiteness, order and speed on rendered pictures, whose depth is known."""
    estimator = loaded.estimator
    scenes = Generator(_SHAPE[1], _SHAPE[0], seed=17).images(range(_PICTURES))
    estimator.warm_up(*_SHAPE)
    answers = [estimator.estimate([scene.rgb])[0].values for scene in scenes]
    finite = all(np.isfinite(values).all() for values in answers)
    yield Check("finite", finite, "every pixel has a number" if finite else "some pixels have none")
    if not finite:
        return
    sign = 1 if estimator.kind.inverse else -1
    orders = [
        nearness_order(sign * values, np.where(scene.valid, scene.depth, np.nan))
        for values, scene in zip(answers, scenes, strict=True)
    ]
    order = float(np.median(orders))
    words = f"rank correlation {order:.2f} with the depth of {_PICTURES} rendered pictures"
    yield Check("near is near", order >= LEAST_ORDER, words)
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        estimator.estimate([scenes[0].rgb])
        times.append(1000 * (time.perf_counter() - start))
    runtime = f"{estimator.backend} {estimator.precision} on {estimator.device}"
    yield Check("speed", None, f"{np.median(times):.0f} ms for {_SHAPE[1]}x{_SHAPE[0]}, {runtime}")


def _check_reference(file: ModelFile, picture: RgbImage | None) -> Check:
    """The published numbers, with float32 on PyTorch."""
    name = "published numbers"
    if picture is None:
        return Check(name, None, f"the picture cannot be had: {PICTURE_URL}")
    import torch

    network, _ = load_network(file)
    size = network_size(picture.shape[0], picture.shape[1], network.preprocessing.input_size)
    pixels = np.empty((*size, 3), np.float32)
    Normaliser(size, network.preprocessing).into(picture, pixels)
    with torch.inference_mode():
        said = network(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0, :3, :3].numpy()
    published = np.array(REFERENCES[file.name])
    worst = float(np.abs(said / published - 1).max())
    return Check(name, worst <= TOLERANCE, f"at most {100 * worst:.1f} % from them")
