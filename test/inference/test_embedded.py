"""The embedded network: small, packed, taken when nothing else can be had, and good enough."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from real_depth import DepthFrame, depth_frames
from real_frames import FastDepth

import depth_anything_ros as da
from depth_anything_ros.evaluation.metrics import aligned_depth, depth_errors
from depth_anything_ros.evaluation.protocol import Alignment, Protocol
from depth_anything_ros.frames import FloatImage, Prediction, PredictionKind
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.network.catalogue import (
    EMBEDDED,
    EMBEDDED_FILE,
    EMBEDDED_FILES,
    EMBEDDED_METRIC,
    embedded_models,
)
from depth_anything_ros.settings import ModelSettings
from depth_anything_ros.synthetic.generator import Generator

REPOSITORY = Path(__file__).resolve().parents[2]
CARD = EMBEDDED_FILE.with_name("MODEL_CARD.md")


@pytest.fixture(scope="module")
def embedded() -> LoadedModel:
    return make_estimator(ModelSettings(EMBEDDED))


def ramp(shape: tuple[int, ...]) -> FloatImage:
    """The guess without a look: lower is nearer."""
    height, width = shape[:2]
    rows = np.arange(height, dtype=np.float32)[:, None] / height
    return np.ascontiguousarray(np.broadcast_to(rows, (height, width)))


def score(disparity: FloatImage, truth: FloatImage, max_depth: float) -> tuple[float, float]:
    """AbsRel and delta1 up to some metres, after scale and shift were fitted in disparity."""
    prediction = Prediction(disparity, PredictionKind.RELATIVE_DISPARITY, disparity.shape)
    known = truth <= max_depth
    near = np.where(known, truth, np.nan).astype(np.float32)
    depth = aligned_depth(prediction, near, Protocol(Alignment.DISPARITY, max_depth=max_depth))
    errors = depth_errors(depth[known].astype(float), truth[known].astype(float))
    return errors.abs_rel, errors.delta1


def test_it_is_small_relative_and_open(embedded: LoadedModel) -> None:
    assert EMBEDDED_FILE.stat().st_size <= 16e6
    assert embedded.info.licence == "Apache-2.0 AND MIT"
    assert embedded.info.name == EMBEDDED
    assert embedded.estimator.kind is PredictionKind.RELATIVE_DISPARITY
    assert embedded.info.input_size == 128


@pytest.mark.parametrize("name", EMBEDDED_FILES)
def test_its_graph_is_there_and_agrees_with_torch(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No export at the first start, no second copy of the weights."""
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ours = make_estimator(ModelSettings(name, device="cpu"))
    assert (ours.estimator.backend, ours.estimator.precision) == ("onnxruntime", "fp32")
    reference = make_estimator(ModelSettings(name, device="cpu", backend="torch", precision="fp32"))
    assert (ours.info, ours.estimator.kind) == (reference.info, reference.estimator.kind)
    rng = np.random.default_rng(2)
    small = rng.integers(0, 256, (2, 9, 12, 3), dtype=np.uint8)
    wide, tall = (np.kron(each, np.ones((20, 20, 1), np.uint8)) for each in small)
    images = [wide, np.ascontiguousarray(tall.transpose(1, 0, 2)), wide[::-1].copy()]
    answers = zip(
        ours.estimator.estimate(images), reference.estimator.estimate(images), strict=True
    )
    for answer, expected in answers:
        assert answer.input_size == expected.input_size
        differences = np.abs(answer.values - expected.values) / np.std(expected.values)
        # Where edges are sharpened, the last digit of the network's output counts more.
        assert differences.max() < 1e-2
        assert differences.mean() < 1e-5
    assert list(tmp_path.iterdir()) == []
    graph = EMBEDDED_FILES[name].with_suffix(".onnx")
    assert graph.stat().st_size < 300_000
    assert b"/site-packages/" not in graph.read_bytes()


def test_without_onnx_runtime_torch_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from depth_anything_ros.inference.backends import onnxruntime

    monkeypatch.setattr(onnxruntime, "is_installed", lambda name: False)
    estimator = make_estimator(ModelSettings(EMBEDDED, device="cpu")).estimator
    assert (estimator.backend, estimator.precision) == ("torch", "fp32")


def test_the_card_names_what_made_it() -> None:
    text = CARD.read_text(encoding="utf-8")
    for word in ("Seed", "Hours", "Device", "Licence", "Limits", "FastDepth", "config/training"):
        assert word.lower() in text.lower(), word


def test_it_is_far_better_than_a_ramp_on_worlds_it_never_saw(embedded: LoadedModel) -> None:
    images = Generator(256, 192, seed=90_210).images(range(16))
    ours, ramps = [], []
    for image in images:
        truth = np.where(image.valid & (image.depth < 80), image.depth, np.nan).astype(np.float32)
        (prediction,) = embedded.estimator.estimate([image.rgb])
        ours.append(score(prediction.values, truth, 80.0)[0])
        ramps.append(score(ramp(truth.shape), truth, 80.0)[0])
    print(f"synthetic AbsRel, median: {np.median(ours):.3f}, ramp {np.median(ramps):.3f}")
    # A world with one far gap between near things makes a mean of sixteen meaningless.
    assert np.median(ours) < 0.5 * np.median(ramps)


def test_real_pictures(embedded: LoadedModel, data_dir: Path) -> None:
    """Every figure of the card's table, measured again."""
    frames = list(depth_frames(data_dir))
    fastdepth = FastDepth(data_dir)

    def table(disparity_of: object) -> dict[str, tuple[float, float]]:
        assert callable(disparity_of)
        return {f.name: score(disparity_of(f), f.depth, f.max_depth) for f in frames}

    def of_embedded(frame: DepthFrame) -> FloatImage:
        return embedded.estimator.estimate([frame.rgb])[0].values

    ours = table(of_embedded)
    ramps = table(lambda frame: ramp(frame.rgb.shape))
    experts = table(lambda frame: fastdepth(frame.rgb).values)
    for frame in frames:
        figures = (ours[frame.name], experts[frame.name], ramps[frame.name])
        print(f"{frame.name:20s}", *(f"{a:.3f} {d:.3f}" for a, d in figures))
    names = [frame.name for frame in frames]
    outdoors = [frame.name for frame in frames if frame.outdoors]
    mean = {
        label: np.mean([figures[name] for name in names], axis=0)
        for label, figures in (("ours", ours), ("ramp", ramps), ("fastdepth", experts))
    }
    print(mean)
    assert mean["ours"][0] <= 0.55 * mean["ramp"][0]
    better = np.mean([ours[name][0] < ramps[name][0] for name in names])
    assert better >= 0.95
    outside = [np.mean([figures[n][0] for n in outdoors]) for figures in (ours, experts)]
    assert outside[0] < 0.7 * outside[1]
    stated = re.search(r"\| all \| ([\d.]+) \| ([\d.]+) \|", CARD.read_text(encoding="utf-8"))
    assert stated is not None
    assert float(stated[1]) == pytest.approx(mean["ours"][0], abs=0.002)
    assert float(stated[2]) == pytest.approx(mean["ours"][1], abs=0.005)


def test_a_wheel_holds_the_weights(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "-w", tmp_path, REPOSITORY], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        name = f"depth_anything_ros/network/embedded/{EMBEDDED_FILE.name}"
        assert archive.read(name) == EMBEDDED_FILE.read_bytes()
        graph = EMBEDDED_FILE.with_suffix(".onnx")
        for beside in (CARD.name, "LICENSE.fastdepth", graph.name, graph.stem + ".yaml"):
            assert f"depth_anything_ros/network/embedded/{beside}" in archive.namelist()


METRIC_FRAMES = {"nyu": (518.86, 0.25), "tum_kinect": (525.0, 0.25)}
"""Focal length in pixels of the data sets' cameras, and the AbsRel that is held."""


def test_the_metric_one_gives_metres_by_the_focal_length(data_dir: Path) -> None:
    model = da.load(EMBEDDED_METRIC, device="cpu")
    assert (model.info.name, model.info.canonical_focal) == (EMBEDDED_METRIC, 173.0)
    assert model.info.kind is embedded_models()[EMBEDDED_METRIC].kind
    assert model.is_metric
    errors: dict[str, list[float]] = {name: [] for name in METRIC_FRAMES}
    for frame in depth_frames(data_dir):
        name = frame.name.split()[0]
        if name not in METRIC_FRAMES:
            continue
        height, width = frame.rgb.shape[:2]
        focal = METRIC_FRAMES[name][0]
        camera = da.Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
        answer = model(frame.rgb, camera=camera)
        assert answer.scale_state.method == "focal"
        assert answer.depth_m is not None
        assert answer.sigma_m is not None
        known = (frame.depth > 0) & (frame.depth <= 10)
        depth = answer.depth_m[known].astype(float)
        errors[name].append(depth_errors(depth, frame.depth[known].astype(float)).abs_rel)
        # It does not claim more than it knows.
        spread = np.nanmedian(answer.sigma_m[known] / answer.depth_m[known])
        assert spread >= 0.1, spread
    for name, (_, bar) in METRIC_FRAMES.items():
        print(f"{name}: AbsRel {np.mean(errors[name]):.3f}, not aligned")
        assert np.mean(errors[name]) <= bar
    without = model(np.zeros((48, 64, 3), np.uint8))
    assert without.depth_m is None
