"""Scale sources by name: what is registered can be chosen, and a new one needs one record."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from metric_scenes import frame, metric, wavy_depth

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import Frame, Prediction, PredictionKind
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.selection import inputs_of, make_scaler, scaler_names, sources_of
from depth_anything_ros.metric.source import (
    SCALE_SOURCES,
    FrameInput,
    Measurement,
    SourceRecord,
)
from depth_anything_ros.metric.sources.network import NetworkScaler
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings

RELATIVE_INFO = ModelInfo("small", "vits", "v2", PredictionKind.RELATIVE_DISPARITY)
METRIC_INFO = ModelInfo("metric", "vits", "v2", PredictionKind.METRIC_DEPTH, 20.0, 600.0)


class Doubling:
    """Says that everything is twice as far as the network thinks."""

    name = "doubling"

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        return Measurement(self.name, "twice", 2.0)

    def reset(self) -> None:
        pass


@pytest.fixture
def doubling() -> Iterator[SourceRecord]:
    record = SourceRecord("doubling", 1, "everything twice as far", lambda *_: Doubling())
    yield SCALE_SOURCES.register(record)
    SCALE_SOURCES.remove("doubling")


def test_auto_asks_every_source_the_best_first() -> None:
    assert scaler_names() == (
        *("auto", "none", "sparse", "views", "motion", "slam", "ground_plane"),
        *("focal", "baseline", "fixed", "network"),
    )
    assert [each.name for each in sources_of("auto")] == list(scaler_names()[2:])
    assert [each.name for each in sources_of("slam")] == ["slam"]
    assert sources_of("none") == ()


def test_a_source_names_what_it_needs() -> None:
    assert inputs_of("sparse") == {FrameInput.CAMERA, FrameInput.POINTS}
    assert inputs_of("slam") == {FrameInput.CAMERA, FrameInput.POSE, FrameInput.SLAM}
    assert inputs_of("auto") == set(FrameInput)
    assert inputs_of("none") == inputs_of("network") == set()


def test_every_setting_of_a_source_exists() -> None:
    known = {*ScalerSettings.__dataclass_fields__}
    for record in SCALE_SOURCES:
        assert set(record.settings) <= known
        assert record.meaning and not record.meaning.endswith(".")


@pytest.mark.parametrize(
    ("name", "info", "words"),
    [
        ("magic", METRIC_INFO, "scaler is 'magic'; use one of auto, none, sparse"),
        ("network", RELATIVE_INFO, "small gives relative disparity"),
        ("focal", RELATIVE_INFO, "the focal length small was trained with is not known"),
        ("baseline", RELATIVE_INFO, "baseline is 0"),
        ("fixed", RELATIVE_INFO, "scaler is 'fixed' but scale is 0"),
    ],
)
def test_a_source_that_cannot_be_used_says_why(name: str, info: ModelInfo, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        make_scaler(ScalerSettings(scaler=name), info)


def test_none_and_auto_make_their_scalers() -> None:
    assert isinstance(make_scaler(ScalerSettings(scaler="none"), METRIC_INFO), NetworkScaler)
    scaler = make_scaler(ScalerSettings(), METRIC_INFO)
    assert isinstance(scaler, LiveScaler)
    assert scaler.name == "auto"


def test_a_new_source_is_one_record(doubling: SourceRecord) -> None:
    assert "doubling" in scaler_names()
    depth = wavy_depth()
    for name in ("doubling", "auto"):
        scaler = make_scaler(ScalerSettings(scaler=name), METRIC_INFO)
        scaled = scaler.scale(metric(depth), frame(depth))
        assert scaled.state.method == "doubling"
        assert scaled.depth_m is not None
        np.testing.assert_allclose(scaled.depth_m, 2 * depth, rtol=1e-5)
