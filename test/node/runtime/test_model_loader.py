"""Models are loaded one at a time, and of those that wait the newest wins."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from depth_anything_ros.errors import CheckpointError, DepthAnythingError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.constant_estimator import ConstantEstimator
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.node.runtime import model_loader
from depth_anything_ros.node.runtime.model_loader import ModelLoader, Networks, load_and_warm
from depth_anything_ros.settings import ModelSettings


def networks(name: str) -> Networks:
    info = ModelInfo(name, "none", "none", PredictionKind.METRIC_DEPTH)
    return Networks(LoadedModel(ConstantEstimator(0.0), info))


class Results:
    """Keeps what a loader hands over."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}
        self.all_there = threading.Event()

    def expect(self, name: str, count: int) -> model_loader.Done:
        def done(result: Networks | DepthAnythingError) -> None:
            self.of[name] = result.model.info.name if isinstance(result, Networks) else str(result)
            if len(self.of) == count:
                self.all_there.set()

        return done


def test_the_newest_of_many_requests_is_loaded() -> None:
    started, go_on = threading.Event(), threading.Event()
    loaded: list[str] = []

    def load(settings: ModelSettings, experts: Sequence[str]) -> Networks:
        loaded.append(settings.model)
        started.set()
        assert go_on.wait(60)
        return networks(settings.model)

    loader, results = ModelLoader(load), Results()
    loader.load(ModelSettings("first"), (), results.expect("first", 5))
    assert started.wait(60)
    for name in ("second", "third", "fourth", "fifth"):
        loader.load(ModelSettings(name), (), results.expect(name, 5))
    go_on.set()
    assert results.all_there.wait(60)
    assert loaded == ["first", "fifth"]
    replaced = "another model was asked for before it was loaded"
    assert results.of == {
        "first": "first",
        "second": replaced,
        "third": replaced,
        "fourth": replaced,
        "fifth": "fifth",
    }


def test_a_load_that_fails_is_an_answer_and_the_next_one_works() -> None:
    def load(settings: ModelSettings, experts: Sequence[str]) -> Networks:
        if settings.model == "broken":
            raise MemoryError("no memory")
        return networks(settings.model)

    loader = ModelLoader(load)
    for name, words in (("broken", "MemoryError: no memory"), ("whole", "whole")):
        results = Results()
        loader.load(ModelSettings(name), (), results.expect(name, 1))
        assert results.all_there.wait(60)
        assert results.of == {name: words}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "damaged.pth"
    path.write_bytes(b"\x80\xff.")
    with pytest.raises(CheckpointError, match=r"damaged\.pth"):
        load_and_warm(ModelSettings(str(path)))
