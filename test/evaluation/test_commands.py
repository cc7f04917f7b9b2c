"""`depth_anything eval` and `depth_anything vote`, with real networks."""

from __future__ import annotations

import csv
import http.client
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from depth_anything_ros.cli.main import app
from depth_anything_ros.evaluation.pairs import read_pairs
from depth_anything_ros.evaluation.vote import POINT1, UNCLEAR, Ballot
from depth_anything_ros.formats.media import read_image

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
tiny_networks = pytest.importorskip("tiny_networks", reason="onnx is not installed (extra 'onnx')")


def depth_anything(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def read_json(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    return report


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures at the size the tiny networks see unchanged; red is brightest on the right."""
    folder = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for name in ("indoor/a.png", "aerial/b.png"):
        bgr = rng.integers(0, 255, (120, 160, 3), np.uint8)
        bgr[..., 2] = np.linspace(0, 255, 160)
        (folder / name).parent.mkdir(parents=True)
        cv2.imwrite(str(folder / name), bgr)
    return folder


def test_fastdepth_on_measured_depth(data_dir: Path, tmp_path: Path) -> None:
    index = tmp_path / "index.csv"
    nyu = data_dir / "nyu"
    index.write_text(
        "image,depth\n"
        + "".join(
            f"{nyu / f'rgb_{frame}.jpg'},{nyu / f'sync_depth_{frame}.png'}\n"
            for frame in ("00000", "00050")
        )
    )
    means = {}
    for align in ("none", "median", "disparity"):
        result = depth_anything(
            *("eval", "depth", index, "--model", data_dir / "fastdepth" / "fastdepth_7.onnx"),
            *("--align", align, "--each"),
            *("--json", tmp_path / "scores.json", "--csv", tmp_path / "scores.csv"),
        )
        assert result.exit_code == 0, result.output
        report = read_json(tmp_path / "scores.json")
        means[align] = report["mean"]
        print(align, {name: round(value, 4) for name, value in means[align].items()})
        assert report["protocol"]["align"] == align
        with (tmp_path / "scores.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        each = [float(row["abs_rel"]) for row in rows]
        assert each == [image["abs_rel"] for image in report["images"]]
        assert means[align]["abs_rel"] == pytest.approx(np.mean(each))
        *_, table_end, aligned = result.stdout.splitlines()
        assert f"{means[align]['abs_rel']:.3f}" in table_end
        assert ("scored as it is" in aligned) == (align == "none")
        if align == "none":
            assert each == pytest.approx([0.138, 0.110], abs=2e-3)
    assert means["none"]["abs_rel"] == pytest.approx(0.124, abs=1e-3)
    assert means["median"]["abs_rel"] < 0.09
    assert means["disparity"]["abs_rel"] < 0.09
    assert means["median"]["silog"] == pytest.approx(means["none"]["silog"], rel=1e-3)


def test_relative_network_is_aligned_unasked(photos: Path, tmp_path: Path) -> None:
    model = tiny_networks.write_red_network(tmp_path, "relative_disparity")
    red = read_image(photos / "indoor" / "a.png")[..., 0].astype(np.float32)
    np.save(tmp_path / "truth.npy", 1 / (0.1 + red / 255))
    index = tmp_path / "index.yaml"
    index.write_text("- {image: photos/indoor/a.png, depth: truth.npy}\n")
    result = depth_anything("eval", "depth", index, "-m", model, "--json", tmp_path / "s.json")
    assert result.exit_code == 0, result.output
    report = read_json(tmp_path / "s.json")
    assert report["protocol"]["align"] == "disparity"
    assert report["mean"]["abs_rel"] < 1e-5
    assert report["mean"]["delta1"] == 1

    refused = depth_anything("eval", "depth", index, "-m", model, "--align", "none")
    assert "a.png: alignment 'none' scores metres" in str(refused.exception)


def test_focal_correction(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_networks.write_red_network(tmp_path, "metric_depth")
    rgb = read_image(photos / "indoor" / "a.png")
    np.save(tmp_path / "truth.npy", 2 * tiny_networks.red_depth(rgb))
    index = tmp_path / "index.csv"
    index.write_text("image,depth,fx,fy,cx,cy\nphotos/indoor/a.png,truth.npy,1196.2,1196.2,80,60\n")
    refused = depth_anything("eval", "depth", index, "-m", model, "--focal")
    assert "--focal needs the focal length" in str(refused.exception)

    # Under the name of a checkpoint trained at 598.1 px; the camera's focal length is twice that.
    hypersim = tmp_path / "depth_anything_v2_metric_hypersim_vits.onnx"
    hypersim.write_bytes(model.read_bytes())
    hypersim.with_suffix(".yaml").write_text(model.with_suffix(".yaml").read_text())
    for option, expected in (("--each", 0.5), ("--focal", 0.0)):
        result = depth_anything(
            *("eval", "depth", index, "-m", hypersim, option, "--json", tmp_path / "s.json")
        )
        assert result.exit_code == 0, result.exception
        report = read_json(tmp_path / "s.json")
        assert report["mean"]["abs_rel"] == pytest.approx(expected, abs=1e-3)


def test_accuracy_on_pairs(photos: Path, tmp_path: Path) -> None:
    model = tiny_networks.write_red_network(tmp_path, "metric_depth")
    right = {"point1": [60, 10], "point2": [20, 150], "closer_point": "point1"}
    wrong = {"point1": [60, 10], "point2": [20, 150], "closer_point": "point2"}
    annotations = tmp_path / "annotations.json"
    content = {"indoor/a.png": [right, right, wrong], "aerial/b.png": [right]}
    annotations.write_text(json.dumps(content))
    result = depth_anything(
        *("eval", "pairs", annotations, "--images", photos, "--model", model),
        *("--json", tmp_path / "s.json", "--csv", tmp_path / "s.csv"),
    )
    assert result.exit_code == 0, result.output
    table = [line.split() for line in result.stdout.splitlines()]
    assert table[1:] == [
        ["indoor", "3", "66.7", "%"],
        ["aerial", "1", "100.0", "%"],
        ["all", "4", "75.0", "%"],
    ]
    report = read_json(tmp_path / "s.json")
    assert report["accuracy"] == 0.75
    assert [each["accuracy"] for each in report["scenarios"]] == pytest.approx([2 / 3, 1])
    assert (tmp_path / "s.csv").read_text().splitlines()[1].startswith("indoor/a.png,3,2,0.66")


def test_experts_vote_and_a_person_settles(photos: Path, tmp_path: Path) -> None:
    metric = tiny_networks.write_red_network(tmp_path, "metric_depth")
    # The same numbers taken as disparity: an expert that is wrong on every pair.
    relative = tiny_networks.write_red_network(tmp_path, "relative_disparity")
    folder = tmp_path / "vote"
    experts = (metric, metric, metric, relative)
    arguments = ("vote", "--experts", *experts, photos, "-r", "-o", folder, "--no-settle")
    result = depth_anything(*arguments, "--pairs", 8)
    assert result.exit_code == 0, result.exception
    assert "2 images: 0 pairs agreed, 0 settled" in result.stdout
    ballot = Ballot.load(folder)
    assert sorted(ballot.images) == ["aerial/b.png", "indoor/a.png"]
    assert all(question.verdict in (None, UNCLEAR) for _, question in ballot.questions())
    disputed = [question for _, question in ballot.questions() if question.verdict is None]
    assert len(disputed) >= 8
    assert read_pairs(folder / "annotations.json") == {}

    # What was voted on stays as it is, and the same command goes on with the page.
    before = (folder / "ballot.json").read_text()
    assert depth_anything(*arguments, "--seed", 1).exit_code == 0
    assert (folder / "ballot.json").read_text() == before
    other = depth_anything("vote", "--experts", *([metric] * 4), photos, "-r", "-o", folder)
    assert "name the same experts" in str(other.exception)

    page = subprocess.Popen(
        [sys.executable, "-u", "-m", "depth_anything_ros", "vote", "-o", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert page.stdout is not None
    assert f"{len(disputed)} disputed" in page.stdout.readline()
    address = re.search(r"http://([0-9.:]+)/", page.stdout.readline())
    assert address is not None
    connection = http.client.HTTPConnection(address[1], timeout=10)
    for number in range(len(disputed)):
        # The person looks: red is far.
        first, second = disputed[number].point1, disputed[number].point2
        verdict = "point1" if first[1] < second[1] else "point2"
        connection.request("POST", "/answer", json.dumps({"id": number, "verdict": verdict}))
        assert connection.getresponse().read()
    connection.request("POST", "/finish", "{}")
    assert connection.getresponse().status == 200
    connection.close()
    assert f"{len(disputed)} settled" in page.stdout.read()
    assert page.wait(10) == 0

    # What came out is a benchmark: the metric network is right on all of it, the other on none.
    for model, accuracy in ((metric, 1.0), (relative, 0.0)):
        scored = depth_anything(
            *("eval", "pairs", folder / "annotations.json", "--images", photos),
            *("-m", model, "--json", tmp_path / "s.json"),
        )
        assert scored.exit_code == 0, scored.exception
        assert read_json(tmp_path / "s.json")["accuracy"] == accuracy


def test_agreeing_experts_need_no_person(photos: Path, tmp_path: Path) -> None:
    model = tiny_networks.write_red_network(tmp_path, "metric_depth")
    (photos / "indoor" / "broken.jpg").write_bytes(b"no picture")
    folder = tmp_path / "vote"
    result = depth_anything("vote", "--experts", *([model] * 4), photos / "indoor", "-o", folder)
    assert result.exit_code == 0, result.exception
    assert " 0 disputed" in result.stdout
    assert "broken.jpg" in result.output
    pairs = read_pairs(folder / "annotations.json")["a.png"]
    assert len(pairs) >= 5
    assert all(pair.closer[1] < pair.farther[1] for pair in pairs)
    questions = Ballot.load(folder).images["a.png"]
    assert {vote for question in questions for vote in question.votes} >= {POINT1}


def test_experts_and_images_go_together(tmp_path: Path) -> None:
    result = depth_anything("vote", tmp_path)
    assert result.exit_code == 2
    assert "go together" in result.output
    assert "cannot be read as a ballot" in str(depth_anything("vote", "-o", tmp_path).exception)
