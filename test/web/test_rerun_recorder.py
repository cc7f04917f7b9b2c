"""What is logged to rerun, with a stand-in for its library; the real one is tried by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from depth_anything_ros.errors import InputError, MissingExtraError
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import build_cloud
from depth_anything_ros.web.rerun_recorder import UPRIGHT, RerunRecorder

CAMERA = Camera.from_hfov(8, 6, 70.0)
DEPTH = np.full((6, 8), 2.0, np.float32)
OPTICAL = "camera_optical_frame"


class Stream:
    """Keeps what is logged."""

    def __init__(self, application: str) -> None:
        self.sinks: tuple[Any, ...] = ()
        self.logged: dict[str, tuple[Any, ...]] = {}
        self.times: list[np.datetime64] = []
        self.static: set[str] = set()
        self.closed = False

    def set_sinks(self, *sinks: Any) -> None:
        self.sinks = sinks

    def send_blueprint(self, blueprint: Any) -> None:
        self.blueprint = blueprint

    def set_time(self, timeline: str, timestamp: np.datetime64) -> None:
        assert timeline == "stamp"
        self.times.append(timestamp)

    def log(self, entity: str, *parts: Any, static: bool) -> None:
        self.logged[entity] = parts
        if static:
            self.static.add(entity)

    def flush(self, timeout_sec: float) -> None:
        assert timeout_sec < 60

    def disconnect(self) -> None:
        self.closed = True


def archetype(name: str) -> Any:
    """A class that keeps its arguments."""
    return lambda *values, **named: SimpleNamespace(kind=name, values=values, **named)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> list[Stream]:
    made: list[Stream] = []

    def stream(application: str) -> Stream:
        made.append(Stream(application))
        return made[-1]

    kinds = "Image DepthImage Pinhole Points3D Transform3D Scalars TextLog CoordinateFrame"
    names = [*kinds.split(), "GrpcSink", "FileSink"]
    library = SimpleNamespace(**{name: archetype(name) for name in names})
    library.RecordingStream = stream
    library.ViewCoordinates = SimpleNamespace(RDF="RDF")
    views = "Spatial3DView Spatial2DView TextLogView TimeSeriesView SpatialInformation"
    layout = "Blueprint Horizontal Vertical"
    blueprint = SimpleNamespace(**{name: archetype(name) for name in f"{views} {layout}".split()})
    monkeypatch.setitem(sys.modules, "rerun", library)
    monkeypatch.setitem(sys.modules, "rerun.blueprint", blueprint)
    return made


def test_everything_has_its_entity_its_time_and_its_frame(
    streams: list[Stream], tmp_path: Path
) -> None:
    recorder = RerunRecorder("rerun+http://127.0.0.1:1/proxy", tmp_path / "new" / "drive.rrd")
    (stream,) = streams
    assert [sink.kind for sink in stream.sinks] == ["GrpcSink", "FileSink"]
    assert stream.sinks[1].values == (str(tmp_path / "new" / "drive.rrd"),)
    depth = DEPTH.copy()
    depth[0, :2] = np.nan, np.inf
    rgb = np.zeros((6, 8, 3), np.uint8)
    stamp = 1_700_000_000_123_456_789
    recorder.picture("", rgb, stamp)
    recorder.camera("", CAMERA, OPTICAL, stamp)
    recorder.depth("", depth, stamp)
    recorder.sigma("", depth, stamp)
    recorder.cloud("", build_cloud(DEPTH, CAMERA, rgb, organized=False), OPTICAL, stamp)
    recorder.number("scale_state/rate_hz", 9.5, stamp)
    recorder.words("scale_state", "STALE", "no images", stamp)
    assert stream.times == [np.datetime64(stamp, "ns")] * 7
    assert set(stream.logged) == {
        "cameras/camera",
        "pictures/camera",
        "depth/camera",
        "sigma/camera",
        "points/camera",
        "figures/rate_hz/scale_state",
        "words/scale_state",
        f"transforms/{OPTICAL}",
    }
    (pinhole,) = stream.logged["cameras/camera"]
    np.testing.assert_allclose(pinhole.image_from_camera, CAMERA.k)
    assert (pinhole.resolution, pinhole.parent_frame) == ([8, 6], OPTICAL)
    image = stream.logged["depth/camera"][0].values[0]
    assert image[0, :3].tolist() == [0, 0, 2] and np.isfinite(image).all()
    points, frame = stream.logged["points/camera"]
    assert points.values[0].shape == (48, 3) and points.colors.shape == (48, 3)
    assert frame.values == (OPTICAL,)
    (words,) = stream.logged["words/scale_state"]
    assert (words.values, words.level) == (("no images",), "WARN")
    recorder.close()
    assert stream.closed


def test_a_camera_without_transforms_stands_upright(streams: list[Stream]) -> None:
    recorder = RerunRecorder("address")
    recorder.camera("left", CAMERA, OPTICAL, 5)
    (pose,) = streams[0].logged[f"transforms/{OPTICAL}"]
    assert (pose.parent_frame, pose.child_frame) == (UPRIGHT, OPTICAL)
    assert streams[0].static == {f"transforms/{OPTICAL}"}
    # What is ahead of the camera is ahead, what is below it is below (REP-103).
    np.testing.assert_array_equal(pose.mat3x3 @ [0, 0, 1], [1, 0, 0])
    np.testing.assert_array_equal(pose.mat3x3 @ [0, 1, 0], [0, 0, -1])


def test_with_transforms_tf2_says_where_a_camera_stands(streams: list[Stream]) -> None:
    recorder = RerunRecorder("address", fixed_frame="odom")
    recorder.camera("", CAMERA, OPTICAL, 5)
    assert set(streams[0].logged) == {"cameras/camera"}
    pose = np.eye(4)
    pose[:3, 3] = 1, 2, 3
    recorder.transform("odom", OPTICAL, pose, 7)
    (moved,) = streams[0].logged[f"transforms/{OPTICAL}"]
    assert moved.translation.tolist() == [1, 2, 3] and moved.parent_frame == "odom"
    assert streams[0].times[-1] == np.datetime64(7, "ns") and not streams[0].static


def test_a_file_that_cannot_be_written_is_refused(streams: list[Stream], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"taken cannot be written"):
        (tmp_path / "taken").mkdir()
        RerunRecorder(file=tmp_path / "taken")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(MissingExtraError, match=r"pip install depth_anything_ros\[view\]"):
        RerunRecorder()
