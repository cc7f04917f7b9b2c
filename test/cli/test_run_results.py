"""What `depth_anything run` leaves behind: nothing of others replaced, nothing half written."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fake_webcam import FakeWebcam

from depth_anything_ros.cli.support.run_job import Job
from depth_anything_ros.formats import results

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")

RunCli = Callable[..., Any]
QUICK = ("--input-size", "28", "--device", "cpu", "--backend", "torch", "--precision", "fp32")


def write_photo(path: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    cv2.imwrite(str(path), cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (64, 48)))
    return path


def contents(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.is_file()
    }


def made_of(name: str) -> set[str]:
    return {f"{name}{ending}" for ending in ("_depth.npy", "_depth.png", "_preview.png", ".json")}


@pytest.mark.parametrize("foreign", ["img_depth.png", "img.json", "img_preview.png"])
def test_files_of_others_stay_and_are_named(
    run_cli: RunCli, relative_model: Path, tmp_path: Path, foreign: str
) -> None:
    write_photo(tmp_path / "img.jpg")
    write_photo(tmp_path / "other.jpg")
    (tmp_path / foreign).write_bytes(b"the truth of a data set")
    before = contents(tmp_path)
    images = (tmp_path / "img.jpg", tmp_path / "other.jpg")
    result = run_cli("run", *images, "-o", tmp_path, "-m", relative_model, *QUICK)
    assert result.code == 0
    assert f"{foreign} in {tmp_path} would be replaced" in result.err
    assert "1 of 2 inputs" in result.err
    after = contents(tmp_path)
    assert before.items() <= after.items()
    assert set(after) - set(before) == made_of("other")

    result = run_cli("run", images[0], "-o", tmp_path, "-m", relative_model, *QUICK, "--overwrite")
    assert result.code == 0, result.err
    assert made_of("img") <= set(contents(tmp_path))
    assert (tmp_path / foreign).read_bytes() != b"the truth of a data set"


def test_the_folder_of_the_pictures_may_take_the_results(
    run_cli: RunCli, relative_model: Path, tmp_path: Path
) -> None:
    for name in ("a.jpg", "b.png"):
        write_photo(tmp_path / name)
    for _ in range(3):
        result = run_cli("run", tmp_path, "-o", tmp_path, "-m", relative_model, *QUICK)
        assert result.code == 0, result.err
        expected = {"a.jpg", "b.png"} | made_of("a") | made_of("b")
        assert {path.name for path in tmp_path.iterdir()} == expected
    assert "results of all 2 inputs are there already" in result.err


def test_what_is_done_is_not_done_again_unless_something_changed(
    run_cli: RunCli, relative_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = write_photo(tmp_path / "1.png")
    common = ("-o", out, "-m", relative_model, *QUICK)
    assert run_cli("run", first, *common).code == 0
    before = (out / "1.json").stat().st_mtime_ns
    second = write_photo(tmp_path / "2.png", 1)
    result = run_cli("run", first, second, *common)
    assert result.code == 0
    assert "2 of 2 inputs, 1 of them from before, pictures: 1" in result.err
    assert (out / "1.json").stat().st_mtime_ns == before
    for change in (("--scale", "0.3", "--shift", "0.1"), ("--grayscale",), ("--png-scale", "256")):
        assert "pictures: 1" in run_cli("run", first, *common, *change).err
    write_photo(first, 5)
    assert "pictures: 1" in run_cli("run", first, *common).err
    (out / "1_depth.npy").unlink()
    assert "pictures: 1" in run_cli("run", first, *common).err
    assert "pictures: 1" in run_cli("run", first, *common, "--overwrite").err


def write_clip(folder: Path) -> Path:
    writer = cv2.VideoWriter(
        str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48)
    )
    for number in range(400):
        writer.write(np.full((48, 64, 3), number % 250, np.uint8))
    writer.release()
    return folder / "clip.mp4"


def write_recording(folder: Path) -> Path:
    pytest.importorskip("rosbags", reason="rosbags is not installed (extra 'demo')")
    import small_bag

    period = small_bag.SECOND // 10
    images = [small_bag.image("/image", number * period, number % 250) for number in range(400)]
    return Path(small_bag.write_bag(folder / "clip", images))


def run_and_stop(
    arguments: list[str], reached: Path, number: signal.Signals = signal.SIGINT
) -> str:
    """Run the command line until a file is there, then stop it; what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "depth_anything_ros", "run", *arguments, "--input-size", "280",
         "--device", "cpu", "--backend", "torch", "--precision", "fp32"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        # Whoever runs the tests in the background may have made it deaf.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    until = time.monotonic() + 120
    while not reached.exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert not [path for path in reached.parent.iterdir() if ".part" in path.name]
    return said


@pytest.mark.parametrize(
    ("write", "number"), [(write_clip, signal.SIGINT), (write_recording, signal.SIGTERM)]
)
def test_stopped_it_leaves_whole_files_and_says_so(
    relative_model: Path, tmp_path: Path, write: Callable[[Path], Path], number: signal.Signals
) -> None:
    out = tmp_path / "out"
    arguments = [str(write(tmp_path)), "-o", str(out), "-m", str(relative_model), "--frames"]
    run_and_stop(arguments, out / "clip_000003_depth.png", number)
    report = json.loads((out / "clip.json").read_text())
    assert report["complete"] is False
    assert report["stopped"] is True
    done = report["frames"]
    assert 4 <= done < 400
    assert len(report["scale_states"]) == done
    for frame in range(done):
        assert np.load(out / f"clip_{frame:06d}_depth.npy").shape == (48, 64)
    capture = cv2.VideoCapture(str(out / "clip_preview.mp4"))
    frames = 0
    while capture.read()[0]:
        frames += 1
    assert frames == done
    assert not results.is_done(out / "clip", report["request"])


def test_ctrl_c_among_several_pictures_says_how_far_it_came(
    relative_model: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for number in range(300):
        write_photo(folder / f"{number:03d}.png", number)
    said = run_and_stop([str(folder), "-o", str(out), "-m", str(relative_model)], out / "003.json")
    report = json.loads((out / "depth_anything_run.json").read_text())
    assert report["stopped"] is True and report["complete"] is False
    done = report["done"]
    assert 3 <= len(done) < 300
    assert sorted(done + report["waiting"]) == [f"{number:03d}" for number in range(300)]
    assert f"{len(done)} of 300 inputs are done" in said
    for name in done:
        assert json.loads((out / f"{name}.json").read_text())["complete"] is True
        assert np.load(out / f"{name}_depth.npy").shape == (48, 64)
    others = {path.name[:3] for path in out.glob("*_depth.npy")} - set(done)
    for name in others:  # at most the one it was at, whose JSON says that it is not complete
        assert json.loads((out / f"{name}.json").read_text())["complete"] is False
    assert len(others) <= 1


@hypothesis.given(hypothesis.strategies.integers(0, 8))
@hypothesis.settings(max_examples=9)
def test_a_stopped_run_goes_on_wherever_it_was_stopped(
    tmp_path_factory: pytest.TempPathFactory, moment: int
) -> None:
    stem = tmp_path_factory.mktemp("results") / "x"
    count = 0

    def write(path: Path) -> None:
        nonlocal count
        for _ in range(2):
            if count == moment:
                count += 1
                raise KeyboardInterrupt
            count += 1
            path.write_bytes(path.read_bytes() + b"half" if path.exists() else b"half")

    files = dict.fromkeys(("_depth.npy", "_depth.png", "_preview.png"), write)
    stopped = False
    try:
        results.write_results(stem, files, {}, "request")
    except KeyboardInterrupt:
        stopped = True
    assert stopped == (moment < 6)
    assert results.is_done(stem, "request") != stopped
    there = [path for path in stem.parent.iterdir() if path.suffix != ".json"]
    assert all(path.read_bytes() == b"halfhalf" for path in there)
    assert bool(there) == results.named(stem, ".json").exists()
    moment = -1
    results.write_results(stem, files, {}, "request")
    assert results.is_done(stem, "request")


def test_a_killed_program_s_files_are_still_its_own(tmp_path: Path) -> None:
    stem = tmp_path / "clip"
    (tmp_path / "clip_000000_depth.npy").touch()
    with pytest.raises(Exception, match=r"clip_000000_depth\.npy in .* was not written by this"):
        results.check_replaceable(stem, ["_000000_depth.npy"])
    results.claim(stem, ["clip_preview.mp4"], every_frame=True)
    endings = ("_depth.npy", "_depth.png", "_sigma.npy", "_cloud.ply")
    for ending in endings:
        (tmp_path / f"clip_000001{ending}").touch()
    frames = [f"_000001{ending}" for ending in endings]
    results.check_replaceable(stem, ["_preview.mp4", "_000000_depth.npy", ".json", *frames])
    (tmp_path / "clip_a_depth.npy").touch()
    with pytest.raises(Exception, match=r"clip_a_depth\.npy in .* was not written by this"):
        results.check_replaceable(stem, ["_a_depth.npy"])


def test_a_run_that_was_stopped_is_forgotten_once_it_is_through(
    run_cli: RunCli, relative_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        write_photo(tmp_path / name)
    arguments = ("run", tmp_path, "-o", tmp_path, "-m", relative_model, *QUICK)
    run = Job.run

    def stopped_at_b(job: Job) -> None:
        if job._source.name == "b":
            raise KeyboardInterrupt
        run(job)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "run", stopped_at_b)
        assert run_cli(*arguments).code == 130
    report = json.loads((tmp_path / "depth_anything_run.json").read_text())
    assert (report["done"], report["waiting"]) == (["a"], ["b", "c"])
    result = run_cli(*arguments)
    assert result.code == 0, result.err
    assert "3 of 3 inputs, 1 of them from before" in result.err
    assert "left out" not in result.err
    assert not (tmp_path / "depth_anything_run.json").exists()


def test_a_webcam_is_read_until_ctrl_c_or_until_it_is_unplugged(
    run_cli: RunCli, relative_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeWebcam(monkeypatch, pictures=4)
    common = ("run", "webcam:0", "-o", tmp_path, "-m", relative_model, "--frames", *QUICK)
    unplugged = run_cli(*common)
    assert unplugged.code == 0, unplugged.err
    assert "webcam:0 gives no more pictures; webcam0 ends after 4 pictures" in unplugged.err
    report = json.loads((tmp_path / "webcam0.json").read_text())
    assert (report["frames"], report["complete"]) == (4, False)
    for number in range(4):
        assert np.load(tmp_path / f"webcam0_{number:06d}_depth.npy").shape == (48, 64)

    write_frame = Job._write_frame

    def stopped_at_2(job: Job, name: str, answer: Any) -> list[str]:
        if name.endswith("2"):
            signal.raise_signal(signal.SIGINT)
        return write_frame(job, name, answer)

    monkeypatch.setattr(Job, "_write_frame", stopped_at_2)
    stopped = run_cli(*common)
    assert stopped.code == 0, stopped.err
    report = json.loads((tmp_path / "webcam0.json").read_text())
    assert (report["frames"], report["complete"]) == (3, True)
    assert "stopped" not in report


def test_patterns_and_standard_input_are_read(
    run_cli: RunCli, relative_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cat1.png", "cat2.png", "dog.png"):
        write_photo(tmp_path / name)
    out = tmp_path / "out"
    common = ("-o", out, "-m", relative_model, *QUICK)
    assert run_cli("run", tmp_path / "cat*.png", *common).code == 0
    assert {path.stem for path in out.glob("*.json")} == {"cat1", "cat2"}
    piped = io.TextIOWrapper(io.BytesIO((tmp_path / "dog.png").read_bytes()))
    monkeypatch.setattr(sys, "stdin", piped)
    assert run_cli("run", "-", *common).code == 0
    assert (out / "stdin_depth.npy").is_file()
    for wrong, said in (
        (tmp_path / "*.bmp", "no file matches"),
        ("https://example.org/a.jpg", "is a URL, which is not read; download the file first"),
        ("webcam:97", "webcam:97 cannot be opened"),
    ):
        refused = run_cli("run", wrong, *common)
        assert refused.code == 1
        assert said in refused.err


def test_a_folder_names_what_it_leaves_out(
    run_cli: RunCli, relative_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_photo(folder / "a.jpg")
    made = [
        name
        for name in ("b.gif", "c.avif")
        if cv2.imwrite(str(folder / name), np.zeros((48, 64, 3), np.uint8))
    ]
    (folder / "notes.txt").write_text("x")
    (folder / "scan.e57").write_text("x")
    common = ("-o", tmp_path / "out", "-m", relative_model, *QUICK)
    result = run_cli("run", folder, *common)
    assert result.code == 0
    assert "left out, neither image nor video by their suffix: notes.txt, scan.e57" in result.err
    for name in ("a", *(name[0] for name in made)):
        assert (tmp_path / "out" / f"{name}_depth.npy").exists() or f"{name}." in result.err


def test_a_recording_gives_metres_by_its_lidar(
    run_cli: RunCli, fastdepth: Path, data_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("rosbags", reason="rosbags is not installed (extra 'demo')")
    bag = data_dir / "bags" / "kitti_object_db3"
    options = ("-m", fastdepth, "--frames", "--cloud", "--ply-frame", "ros", "--png-scale", "256")
    result = run_cli("run", bag, "-o", tmp_path, *options)
    assert result.code == 0, result.err
    report = json.loads((tmp_path / "kitti_object_db3.json").read_text())
    assert report["frames"] == 2
    assert report["camera"]["fx"] == 721.5377
    assert report["png_scale"] == 256
    assert {state["method"] for state in report["scale_states"]} <= {"auto", "sparse"}
    for number in range(2):
        depth = np.load(tmp_path / f"kitti_object_db3_{number:06d}_depth.npy")
        assert 4 < np.nanmedian(depth) < 60
        png = cv2.imread(str(tmp_path / f"kitti_object_db3_{number:06d}_depth.png"), -1)
        assert png is not None
        near = np.isfinite(depth) & (depth < 250)
        np.testing.assert_allclose(png[near] / 256, depth[near], atol=0.003)
        header, body = (
            (tmp_path / f"kitti_object_db3_{number:06d}_cloud.ply")
            .read_bytes()
            .split(b"end_header\n", 1)
        )
        assert b"ros frame: x forward, y left, z up" in header
        fields = [(name, "<f4") for name in "xyz"] + [(name, "u1") for name in "rgb"]
        points = np.frombuffer(body, np.dtype(fields))
        assert points["x"].min() > 0  # ahead of the camera


def test_a_recording_with_lidar_gives_clouds_of_a_relative_network(
    run_cli: RunCli, relative_model: Path, tmp_path: Path
) -> None:
    small_bag = pytest.importorskip("small_bag", reason="rosbags is not installed (extra 'demo')")
    points = np.random.default_rng(0).uniform([-1, -1, 2], [1, 1, 6], (200, 3))
    recorded = [
        small_bag.image("/image", 0),
        small_bag.info("/camera_info", 0),
        small_bag.cloud("/points", 0, points, frame="cam"),
    ]
    bag = small_bag.write_bag(tmp_path / "drive", recorded)
    out = tmp_path / "out"
    result = run_cli("run", bag, "-o", out, "-m", relative_model, *QUICK, "--cloud", "--frames")
    assert result.code == 0, result.err
    report = json.loads((out / "drive.json").read_text())
    measured = report["scale_states"][0]["quality"] != "INVALID"
    assert (out / "drive_000000_cloud.ply").exists() == measured


def test_png_scale_and_cloud_without_metres_are_refused(
    run_cli: RunCli, relative_model: Path, tmp_path: Path
) -> None:
    photo = write_photo(tmp_path / "a.png")
    assert run_cli("run", photo, "--png-scale", "0").code == 2
    common = ("-o", tmp_path / "out", "-m", relative_model, *QUICK)
    refused = run_cli("run", photo, *common, "--cloud", "--hfov", "60")
    assert refused.code == 1
    assert "gives relative disparity" in refused.err


def test_limits_and_mask_are_those_of_the_node(
    run_cli: RunCli, relative_model: Path, tmp_path: Path
) -> None:
    photo = write_photo(tmp_path / "a.png")
    mask = np.full((48, 64), 255, np.uint8)
    mask[40:] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    common = ("-m", relative_model, *QUICK, "--scale", "0.2", "--shift", "0.1")
    assert run_cli("run", photo, "-o", tmp_path / "all", *common).code == 0
    depth = np.load(tmp_path / "all" / "a_depth.npy")
    low, high = (float(each) for each in np.quantile(depth, [0.2, 0.8]))
    limits = ("--min-range", f"{low}", "--max-range", f"{high}", "--mask", tmp_path / "mask.png")
    result = run_cli("run", photo, "-o", tmp_path / "some", *common, *limits)
    assert result.code == 0, result.err
    limited = np.load(tmp_path / "some" / "a_depth.npy")
    assert np.isnan(limited[40:]).all()
    seen, given = depth[:40], limited[:40]
    np.testing.assert_array_equal(
        given[(seen > low) & (seen < high)], seen[(seen > low) & (seen < high)]
    )
    assert (given[seen < low * 0.999] == -np.inf).all()
    assert (given[seen > high * 1.001] == np.inf).all()
    refused = run_cli(
        "run", photo, "-o", tmp_path / "x", *common, "--min-range", "5", "--max-range", "2"
    )
    assert refused.code == 1
    assert "max_range is 2 m but min_range is 5 m" in refused.err


@hypothesis.given(
    hypothesis.strategies.sets(
        hypothesis.strategies.sampled_from(sorted({*made_of("x"), "x_cloud.ply", "y.json", "x"}))
    )
)
def test_only_files_of_others_are_in_the_way(
    tmp_path_factory: pytest.TempPathFactory, names: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("results")
    for name in names:
        (folder / name).write_text("{}")
    endings = ("_depth.npy", "_depth.png", "_preview.png", ".json")
    in_the_way = names & {f"x{ending}" for ending in endings}
    if in_the_way:
        with pytest.raises(Exception, match="would be replaced") as refused:
            results.check_replaceable(folder / "x", endings)
        assert all(name in str(refused.value) for name in in_the_way)
    else:
        results.check_replaceable(folder / "x", endings)
        results.write_results(folder / "x", {"_depth.npy": lambda path: path.touch()}, {})
        results.check_replaceable(folder / "x", (".json", "_depth.npy"))


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        results.write_results(tmp_path / "x", {"_depth.npy": broken}, {})
    assert list(tmp_path.iterdir()) == []
