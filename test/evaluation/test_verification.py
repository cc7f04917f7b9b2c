"""Checks of a network's file and of what it says."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from depth_anything_ros.evaluation.verification import (
    REFERENCES,
    check_hash,
    nearness_order,
    verify,
)
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.constant_estimator import ConstantEstimator
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.network.catalogue import EMBEDDED
from depth_anything_ros.network.checkpoints import ModelFile, resolve
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ModelSettings


def test_the_embedded_network_is_sane() -> None:
    checks = list(verify(resolve(EMBEDDED), make_estimator(ModelSettings(EMBEDDED)), None))
    for check in checks:
        print(check)
    found = {check.name: check.passed for check in checks}
    assert found == {"sha256": None, "finite": True, "near is near": True, "speed": None}


def test_a_network_that_sees_nothing_fails(tmp_path: Path) -> None:
    class Ramp(ConstantEstimator):
        """Further down is farther: the wrong way round."""

        def estimate(self, images):  # type: ignore[no-untyped-def]
            answers = super().estimate(images)
            for answer in answers:
                answer.values[:] = np.arange(1, len(answer.values) + 1)[:, None]
            return answers

    info = ModelInfo("ramp", "none", "v1", PredictionKind.METRIC_DEPTH)
    file = ModelFile(tmp_path / "ramp.safetensors", "ramp")
    file.path.write_bytes(b"weights")
    checks = {check.name: check for check in verify(file, LoadedModel(Ramp(0.0), info), None)}
    assert checks["near is near"].passed is False
    broken = ConstantEstimator(0.0, float("nan"))
    checks = {check.name: check for check in verify(file, LoadedModel(broken, info), None)}
    assert checks["finite"].passed is False
    assert "near is near" not in checks


def test_the_published_hash(tmp_path: Path) -> None:
    """The cache of Hugging Face names a file by its hash and links to it."""
    digest = hashlib.sha256(b"weights").hexdigest()
    blob = tmp_path / digest
    blob.write_bytes(b"weights")
    link = tmp_path / "model.safetensors"
    link.symlink_to(blob)
    assert check_hash(link).passed is True
    blob.write_bytes(b"weight")
    check = check_hash(link)
    assert check.passed is False and "download it again" in check.words


def test_order_is_a_rank_correlation() -> None:
    depth = np.array([[1.0, 2.0, np.nan], [4.0, 50.0, 3.0]], np.float32)
    assert nearness_order((1 / depth).astype(np.float32), depth) == pytest.approx(1)
    assert nearness_order((-np.log(depth)).astype(np.float32), depth) == pytest.approx(1)
    assert nearness_order(depth, depth) == pytest.approx(-1)


@pytest.mark.network
@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_published_numbers(name: str) -> None:
    try:
        socket.create_connection(("huggingface.co", 443), 5).close()
    except OSError:
        pytest.skip("huggingface.co cannot be reached")
    from depth_anything_ros.cli.commands.models import _reference_picture

    picture = _reference_picture()
    if picture is None:
        pytest.skip("the picture cannot be downloaded")
    loaded = make_estimator(ModelSettings(name, "cpu", "fp32", backend="torch"))
    checks = {check.name: check for check in verify(resolve(name), loaded, picture)}
    print(checks)
    assert checks["published numbers"].passed
    assert checks["sha256"].passed
    assert checks["near is near"].passed
