"""The learned correction of kriged inverse depth."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from depth_anything_ros.benchmark.fusion import Scene, ours, scene_of, synthetic_scenes
from depth_anything_ros.frames import FloatImage, SparsePoints
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.metric import fusion
from depth_anything_ros.metric.correction import EVIDENCE, LARGEST, correction, evidence
from depth_anything_ros.metric.lattice import Lattice
from depth_anything_ros.metric.samples import Samples
from depth_anything_ros.metric.uncertainty import LeftOut
from depth_anything_ros.settings import ModelSettings
from depth_anything_ros.synthetic.generator import Generator

Call = tuple[Samples, Lattice, FloatImage, LeftOut, float]


@lru_cache(maxsize=1)
def scenes() -> list[Scene]:
    return list(synthetic_scenes(2))


def calls(monkeypatch: pytest.MonkeyPatch, scene: Scene, count: int, metres: float = 1) -> Call:
    """What the correction is asked in a scene."""
    caught: list[Call] = []

    def catch(*call: Any) -> np.float32:
        caught.append(call)
        return np.float32(1.0)

    monkeypatch.setattr(fusion, "correction", catch)
    parts = scene.split(count, 0)
    assert parts is not None
    given = SparsePoints(parts[0].u, parts[0].v, parts[0].z * metres)
    ours(scene, given, parts[1])
    ((samples, lattice, value, left_out, reach),) = caught
    return samples, lattice, value.copy(), left_out, reach


@pytest.mark.parametrize("count", [12, 400])
def test_evidence_does_not_know_the_unit(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    metres, tens = (calls(monkeypatch, scenes()[0], count, unit) for unit in (1.0, 10.0))
    seen = evidence(*metres)
    assert seen.shape == (len(EVIDENCE), *metres[1].shape)
    assert np.isfinite(seen).all()
    np.testing.assert_allclose(evidence(*tens), seen, atol=0.02)
    by_name = dict(zip(EVIDENCE, seen, strict=True))
    assert by_name["measured"].sum() == len(np.unique(metres[3].cell))
    assert np.abs(by_name["measured against kriged"][by_name["measured"] == 0]).max() == 0


def test_correction_is_limited_and_the_same_in_every_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = calls(monkeypatch, scenes()[0], 400)
    factor = correction(*call)
    assert factor.shape == call[1].shape
    assert factor.dtype == np.float32
    assert np.abs(np.log(factor)).max() <= LARGEST + 1e-6
    assert np.std(np.log(factor)) > 1e-3
    with ThreadPoolExecutor(2) as threads:
        for other in threads.map(lambda _: correction(*call), range(4)):
            np.testing.assert_allclose(other, factor, atol=1e-5)


def test_without_an_image_nothing_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, lattice, value, left_out, reach = calls(monkeypatch, scenes()[0], 100)
    bare = replace(lattice, colour=lattice.colour[:0])
    assert (correction(samples, bare, value, left_out, reach) == 1).all()


def test_where_left_out_points_are_met_nothing_is_corrected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples, lattice, value, left_out, reach = calls(monkeypatch, scenes()[0], 400)
    met = replace(left_out, predicted=left_out.inverse)
    assert np.abs(correction(samples, lattice, value, met, reach) - 1).max() < 1e-4


def test_worlds_it_never_saw_come_out_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds of another seed, and the network that comes with the package."""
    learned = correction
    estimator = make_estimator(ModelSettings("embedded", "cpu", "fp32", num_threads=1)).estimator
    ratios = []
    for image in Generator(320, 240, seed=987_654).images(range(0, 16, 2)):
        (prediction,) = estimator.estimate([image.rgb])
        known = image.valid & (image.depth < 80)
        scene = scene_of("", prediction, np.where(known, image.depth, np.float32(0)), image.rgb)
        for count in (100, 1000):
            parts = scene.split(count, 0)
            assert parts is not None
            given, asked = parts
            errors = []
            for way in (learned, lambda *_: np.float32(1.0)):
                monkeypatch.setattr(fusion, "correction", way)
                off = np.abs(ours(scene, given, asked) / asked.z - 1)
                errors.append(float(np.where(np.isfinite(off), off, 1.0).mean()))
            ratios.append(errors[0] / errors[1])
    # Of the rest each pixel follows the points near to it, with or without.
    assert np.mean(ratios) < 0.96
    assert max(ratios) < 1.1
