"""The demo page's requests in this process: flows, limits, errors in words."""

from __future__ import annotations

import io
import json
import re
import stat
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra 'serve')")

from web_visitor import SETTINGS, Visitor, client_of, png

import depth_anything_ros as da
from depth_anything_ros.errors import SettingError
from depth_anything_ros.formats.media import decode_compressed
from depth_anything_ros.formats.video import VideoWriter
from depth_anything_ros.settings import ModelSettings
from depth_anything_ros.web.demo_page import DemoPage
from depth_anything_ros.web.estimation import Limits
from depth_anything_ros.web.examples import EXAMPLES
from depth_anything_ros.web.jobs import Job
from depth_anything_ros.web.static_files import STATIC

BUNDLE = STATIC.parent / "bundle"


def test_a_picture_without_metres_is_relative_and_says_so(visitor: Visitor) -> None:
    content = png()
    result = visitor.result(visitor.upload(content))
    (picture,) = result["pictures"]
    assert (picture["width"], picture["height"], picture["view"]) == (96, 72, [96, 72])
    assert (picture["values"], picture["cloud"], picture["layers"]) == (
        "disparity",
        False,
        ["depth"],
    )
    assert picture["why_no_cloud"].startswith("the 3D view needs metres: measure points")
    shown = np.frombuffer(visitor.get(result, "depth"), "<f4").reshape(72, 96)
    model = da.load(SETTINGS)
    rgb = decode_compressed(np.frombuffer(content, np.uint8), "picture")
    # The page shows the very numbers of the public API.
    np.testing.assert_array_equal(shown, model(rgb).prediction.values)
    np.testing.assert_array_equal(np.load(io.BytesIO(visitor.get(result, "depth.npy"))), shown)
    assert visitor.client.get(f"/api/results/{result['id']}/0/cloud.ply").status_code == 404


def test_measured_points_and_a_camera_give_metres_sigma_and_a_cloud(visitor: Visitor) -> None:
    rng = np.random.default_rng(1)
    u, v = rng.integers(0, 96, 40), rng.integers(0, 72, 40)
    values = da.load(SETTINGS)(decode_compressed(np.frombuffer(png(), np.uint8), "p"))
    z = 1 / (0.2 + 0.1 * values.prediction.values[v, u])
    table = "u,v,z\n" + "".join(f"{a},{b},{c}\n" for a, b, c in zip(u, v, z, strict=True))
    points = visitor.upload(table.encode(), "points.csv")
    result = visitor.result(visitor.upload(png()), points_file=points, hfov=60, confidence=True)
    (picture,) = result["pictures"]
    assert (picture["values"], picture["cloud"]) == ("metres", True)
    assert picture["layers"] == ["depth", "confidence", "sigma"]
    assert picture["scale_state"]["method"] == "sparse"
    depth = np.frombuffer(visitor.get(result, "depth"), "<f4").reshape(72, 96)
    np.testing.assert_allclose(depth[v, u], z, rtol=1e-3)
    level = cv2.imdecode(np.frombuffer(visitor.get(result, "depth.png"), np.uint8), -1)
    assert level is not None and level.dtype == np.uint16
    np.testing.assert_allclose(level[v, u] / 1000, z, atol=2e-3)
    confidence = np.frombuffer(visitor.get(result, "confidence"), "<f4")
    sigma = np.frombuffer(visitor.get(result, "sigma"), "<f4")
    assert confidence.size == sigma.size == depth.size
    assert confidence.min() >= 0 and confidence.max() <= 1
    assert np.nanmin(sigma) >= 0
    for name in ("cloud.ply", "view.ply"):
        assert visitor.get(result, name).startswith(b"ply\nformat binary_little_endian 1.0\n")
    assert json.loads(visitor.get(result, "description.json"))["values"] == "metres"
    header = visitor.client.get(f"/api/results/{result['id']}/0/depth.npy").headers
    assert 'filename="room_depth.npy"' in header["content-disposition"]


def test_points_marked_by_hand_give_metres(visitor: Visitor) -> None:
    file = visitor.upload(png())
    values = np.frombuffer(visitor.get(visitor.result(file), "depth"), "<f4").reshape(72, 96)
    order = np.argsort(values, axis=None)
    (far_v, far_u), (near_v, near_u) = (divmod(int(order[i]), 96) for i in (20, -20))
    marks = [[far_u, far_v, 4.0], [near_u, near_v, 1.0]]
    result = visitor.result(file, marks=marks)
    assert result["pictures"][0]["values"] == "metres", result["pictures"][0]["scale_state"]
    depth = np.frombuffer(visitor.get(result, "depth"), "<f4").reshape(72, 96)
    assert depth[far_v, far_u] == pytest.approx(4.0, rel=0.02)
    assert depth[near_v, near_u] == pytest.approx(1.0, rel=0.02)


def test_an_example_brings_its_points(visitor: Visitor) -> None:
    about = visitor.client.get("/api/about").json()
    assert [each["name"] for each in about["examples"]] == list(EXAMPLES)
    assert all(each["licence"] for each in about["examples"])
    assert visitor.client.get("/api/examples/room.jpg").headers["content-type"] == "image/jpeg"
    result = visitor.result("room", points_file="room", hfov=about["examples"][0]["hfov"])
    (picture,) = result["pictures"]
    assert (picture["values"], picture["cloud"]) == ("metres", True)
    assert picture["scale_state"]["inliers"] > 1000


def test_a_video_becomes_a_video_of_depth_and_pictures(visitor: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    with VideoWriter(path, 10.0) as video:
        for seed in range(5):
            picture = cv2.imdecode(np.frombuffer(png(64, 48, seed), np.uint8), cv2.IMREAD_COLOR)
            assert picture is not None
            video.write(np.asarray(picture, np.uint8))
    result = visitor.result(visitor.upload(path.read_bytes(), "drive.mp4"), hfov=60)
    assert result["video"] and len(result["pictures"]) == 3
    assert "every 2. picture of 5 was taken" in result["remarks"]
    assert len(visitor.get(result, "depth", picture=2)) == 4 * 64 * 48
    reply = visitor.client.get(f"/api/results/{result['id']}/video.mp4")
    (tmp_path / "depth.mp4").write_bytes(reply.content)
    capture = cv2.VideoCapture(str(tmp_path / "depth.mp4"))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)) == (3, 5)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("broken.png", b"no picture", "broken.png is no JPEG, PNG, TIFF, BMP or WebP picture"),
        ("cut.png", png()[:200], "cut.png is not an image that OpenCV can read"),
        ("huge.png", png()[:16] + b"\0\1\0\0\0\1\0\0" + png()[24:], "huge.png has 65536x65536"),
        ("broken.mp4", b"no video", "broken.mp4 is not a video"),
        ("points.csv", b"u,v,z\n", "points.csv"),
    ],
)
def test_bad_files_are_refused_in_words(
    visitor: Visitor, page: DemoPage, name: str, content: bytes, sentence: str
) -> None:
    state = visitor.finished(visitor.submit(visitor.upload(content, name)))
    assert state["state"] == "failed"
    assert sentence in state["error"]
    assert str(page.folder) not in state["error"]


def test_bad_points_are_refused_in_words(visitor: Visitor) -> None:
    points = visitor.upload(b"a,b\n1,2\n", "lidar.csv")
    state = visitor.finished(visitor.submit(visitor.upload(png()), points_file=points))
    assert state["error"] == (
        "lidar.csv holds a, b; it must hold either u, v, z (pixels and metres) or xyz (metres)"
    )


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"hfov": 190}, "hfov is 190; use a number between 0 and 180"),
        ({"hfov": True}, "hfov is True; use a number"),
        ({"intrinsics": [1, 2, 3]}, "use four numbers fx, fy, cx, cy"),
        ({"intrinsics": [0, 1, 2, 3]}, "use four numbers fx, fy, cx, cy"),
        ({"hfov": 60, "intrinsics": [1, 1, 1, 1]}, "either the field of view or the intrinsics"),
        ({"scaler": "motion"}, "scaler is 'motion'; use one of auto, sparse,"),
        ({"marks": [[1, 2, 0]]}, "a distance above 0 m"),
        ({"marks": [[1, 2, 1]] * 1001}, "at most 1000 points"),
        ({"camera_height": -1}, "camera_height is -1"),
        ({"model": 3}, "'model' is missing or is no text"),
    ],
)
def test_bad_requests_are_refused_in_words(
    visitor: Visitor, wanted: dict[str, Any], sentence: str
) -> None:
    reply = visitor.client.post("/api/jobs", json={"file": "room", "model": "embedded", **wanted})
    assert reply.status_code == 400
    assert sentence in reply.text


def test_models_that_are_not_offered_are_not_loaded(visitor: Visitor) -> None:
    state = visitor.finished(visitor.submit("coffee", model="/etc/passwd"))
    assert "model '/etc/passwd' is none of" in state["error"]
    with pytest.raises(SettingError, match="depth_anything models pull depth_anything_v2_vitl"):
        DemoPage(ModelSettings(model="depth_anything_v2_vitl"))


def test_uploads_are_limited_whatever_they_announce(visitor: Visitor, page: DemoPage) -> None:
    before = set(page.folder.iterdir())
    large = bytes(3_000_001)
    replies = [
        visitor.client.post("/api/files?name=a.png", content=large),
        visitor.client.post("/api/files?name=a.png", content=iter([large])),  # chunked
        visitor.client.post("/api/files?name=a.png", content=b""),
        visitor.client.post("/api/files?name=a.exe", content=b"MZ"),
        visitor.client.post("/api/jobs", content=b" " * 200_000),
        visitor.client.post("/api/jobs", content=b"{"),
    ]
    assert [reply.status_code for reply in replies] == [413, 413, 400, 400, 413, 400]
    assert replies[0].text == "it is larger than the 3 MB that this server takes"
    assert set(page.folder.iterdir()) == before


def test_only_what_was_uploaded_or_made_is_served(visitor: Visitor, page: DemoPage) -> None:
    secret = page.folder / "secret.png"
    secret.write_bytes(png())
    result = visitor.result(visitor.upload(png(), "../../etc/x.png"))
    for path in (
        "/api/results/..%2f..%2fetc/0/depth.npy",
        f"/api/results/{result['id']}/0/..%2f..%2fsecret.png",
        f"/api/results/{result['id']}/0/result_depth.npy",
        f"/api/results/{result['id']}/1/depth",
        "/static/..%2fguards.py",
        "/static/../guards.py",
        "/api/examples/..%2f..%2f__init__.jpg",
    ):
        assert visitor.client.get(path).status_code == 404, path
    assert (
        visitor.client.post("/api/jobs", json={"file": "x", "model": "embedded"}).status_code == 404
    )
    assert result["name"] == "x"
    secret.unlink()


def test_files_are_private_forgotten_when_asked_and_gone_at_the_end() -> None:
    page = DemoPage(SETTINGS, Limits(stored_bytes=30_000))
    assert stat.S_IMODE(page.folder.stat().st_mode) == 0o700
    visitor = Visitor(client_of(page))
    first = visitor.upload(bytes(20_000), "a.png")
    second = visitor.upload(bytes(20_000), "b.png")  # the oldest makes room
    assert [path.stem for path in page.folder.iterdir()] == [second]
    reply = visitor.client.post("/api/jobs", json={"file": first, "model": "embedded"})
    assert reply.text == "this file is no longer on the server; give it again"
    assert visitor.client.delete(f"/api/files/{second}").status_code == 204
    assert not list(page.folder.iterdir())
    page.close()
    assert not page.folder.exists()


def test_two_users_wait_for_each_other_and_get_their_own(page: DemoPage) -> None:
    one, two = Visitor(client_of(page)), Visitor(client_of(page))
    files = [one.upload(png(seed=1)), two.upload(png(seed=2))]
    jobs = [one.submit(files[0]), two.submit(files[1])]
    results = [each.finished(job)["result"] for each, job in zip((one, two), jobs, strict=True)]
    shown = [np.frombuffer(one.get(each, "depth"), "<f4") for each in results]
    for seed, values in zip((1, 2), shown, strict=True):
        rgb = decode_compressed(np.frombuffer(png(seed=seed), np.uint8), "picture")
        expected = da.load(SETTINGS)(rgb).prediction.values
        np.testing.assert_array_equal(values, expected.ravel())


def test_a_full_queue_says_so_and_a_cancelled_job_is_gone() -> None:
    page = DemoPage(SETTINGS, Limits(waiting=1))
    visitor = Visitor(client_of(page))

    def endless(job: Job) -> None:
        while True:
            job.report("busy")

    blocker = page.queue.submit(endless)
    while not blocker.stage:
        pass
    job = visitor.submit("coffee")
    assert visitor.client.get(f"/api/jobs/{job}").json()["ahead"] == 1
    reply = visitor.client.post("/api/jobs", json={"file": "coffee", "model": "embedded"})
    assert (reply.status_code, reply.text) == (
        503,
        "1 jobs are waiting already; try again in a minute",
    )
    assert visitor.client.delete(f"/api/jobs/{job}").status_code == 204
    assert visitor.client.get(f"/api/jobs/{job}").status_code == 404
    page.close()


def test_the_pages_name_no_foreign_host() -> None:
    files = [path for path in STATIC.iterdir() if path.suffix in (".html", ".css", ".js", ".svg")]
    assert len(files) > 5
    for path in files:
        found = set(re.findall(r"https?://[^\s\"'`)]+", path.read_text(encoding="utf-8")))
        # Names of XML languages: never asked for.
        assert found <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}, path.name
        if path.suffix == ".html":
            links = re.findall(r'(?:src|href)="([^"]+)"', path.read_text(encoding="utf-8"))
            assert links and all(link.startswith("/static/") for link in links)


def test_the_bundle_is_of_the_versions_that_are_written_down() -> None:
    versions = json.loads((BUNDLE / "package.json").read_text())["dependencies"]
    licences = (STATIC / "libraries_licences.txt").read_text(encoding="utf-8")
    for name, version in versions.items():
        assert f"{name} {version} (MIT)" in licences
    library = (STATIC / "libraries.js").read_text(encoding="utf-8")
    assert f'"{versions["three"].split(".")[1]}"' in library  # THREE.REVISION
    assert '"img-comparison-slider"' in library
