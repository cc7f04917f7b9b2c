"""Sources, preparation, perturbation and pseudo-labels, on small files written here."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from training_helpers import write_drive

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.picture_folder import PictureFolder
from depth_anything_ros.formats.result_folder import ResultFolder
from depth_anything_ros.training import augmentation
from depth_anything_ros.training.augmentation import Strength, perturb
from depth_anything_ros.training.mixture import Mixture, Part
from depth_anything_ros.training.pseudo_labels import PseudoLabels, write_labels
from depth_anything_ros.training.samples import Sample, fit_size, prepare, to_network
from depth_anything_ros.training.sources.depth_index import DepthIndex
from depth_anything_ros.training.sources.hypersim import Hypersim
from depth_anything_ros.training.sources.images import ImageFolder
from depth_anything_ros.training.sources.recording import extract_recording
from depth_anything_ros.training.sources.synthetic import StoredSynthetic, SyntheticSource
from depth_anything_ros.training.sources.virtual_kitti2 import VirtualKitti2


def picture(seed: int, height: int = 40, width: int = 60) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (5, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, height)), np.uint8)


def write(path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[..., ::-1])


# --- sources ---------------------------------------------------------------------------------


def test_virtual_kitti_2_layout(tmp_path: Path) -> None:
    frames = tmp_path / "Scene01" / "fog" / "frames"
    write(frames / "rgb" / "Camera_1" / "rgb_00007.jpg", picture(0))
    centimetres = np.full((40, 60), 1234, np.uint16)
    centimetres[:5] = 65535
    depth = frames / "depth" / "Camera_1" / "depth_00007.png"
    depth.parent.mkdir(parents=True)
    cv2.imwrite(str(depth), centimetres)
    source = VirtualKitti2(tmp_path)
    assert len(source) == 1
    sample = source.sample(0)
    assert sample.depth is not None
    assert sample.depth[10, 10] == pytest.approx(12.34)
    assert np.isinf(sample.depth[:5]).all()
    with pytest.raises(InputError, match="Scene"):
        VirtualKitti2(tmp_path / "missing")


def test_hypersim_layout(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    images = tmp_path / "ai_001_002" / "images"
    write(images / "scene_cam_00_final_preview" / "frame.0003.tonemap.jpg", picture(1, 48, 64))
    # A wall 5 m before the camera, as distances along the rays.
    x, y = np.arange(64) - 31.5, np.arange(48)[:, None] - 23.5
    focal = 886.81 / 16
    distance = (5 * np.sqrt(x**2 + y**2 + focal**2) / focal).astype(np.float16)
    distance[0, 0] = np.nan
    folder = images / "scene_cam_00_geometry_hdf5"
    folder.mkdir()
    with h5py.File(folder / "frame.0003.depth_meters.hdf5", "w") as file:
        file["dataset"] = distance
    depth = Hypersim(tmp_path).sample(0).depth
    assert depth is not None
    assert np.isnan(depth[0, 0])
    assert np.abs(depth[1:] - 5).max() < 5e-3


def test_index_of_depth_files(tmp_path: Path) -> None:
    write(tmp_path / "a.png", picture(2))
    np.save(tmp_path / "a.npy", np.full((40, 60), 3.5, np.float32))
    write(tmp_path / "b.png", picture(3))
    cv2.imwrite(str(tmp_path / "b_depth.png"), np.full((40, 60), 512, np.uint16))
    index = tmp_path / "index.csv"
    index.write_text("image,depth,scale,sparse\na.png,a.npy,,\nb.png,b_depth.png,256,1\n")
    source = DepthIndex(index)
    first, second = source.sample(0), source.sample(1)
    assert first.depth is not None
    assert second.depth is not None
    assert (first.depth == 3.5).all()
    assert (second.depth == 2.0).all()
    assert (first.sparse, second.sparse) == (False, True)
    assert np.array_equal(first.rgb, picture(2))
    index.write_text("picture,depth\na.png,a.npy\n")
    with pytest.raises(InputError, match="picture is not known"):
        DepthIndex(index)
    np.save(tmp_path / "a.npy", np.ones((3, 4), np.float32))
    index.write_text("image,depth\na.png,a.npy\n")
    with pytest.raises(InputError, match="60x40 but its depth is 4x3"):
        DepthIndex(index).sample(0)


def test_real_recording_becomes_sparse_depth(data_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("rosbags", reason="rosbags is not installed (extra 'demo')")
    index = extract_recording(data_dir / "bags" / "kitti_object_db3", tmp_path)
    source = DepthIndex(index)
    assert len(source) == 2
    for number in range(2):
        sample = source.sample(number)
        assert sample.depth is not None
        known = sample.depth[np.isfinite(sample.depth)]
        print(f"{len(known)} pixels with LiDAR, {known.min():.1f} to {known.max():.1f} m")
        assert sample.sparse
        assert 15_000 < len(known) < 21_000
        assert 3.5 < known.min() < known.max() < 82
    with pytest.raises(InputError, match="no topic /lidar"):
        extract_recording(data_dir / "bags" / "kitti_object_db3", tmp_path, cloud_topic="/lidar")


def test_lidar_of_a_recording_lies_where_the_camera_sees_it(tmp_path: Path) -> None:
    pytest.importorskip("rosbags", reason="rosbags is not installed (extra 'demo')")
    truth = write_drive(tmp_path / "drive", 6)
    source = DepthIndex(extract_recording(tmp_path / "drive", tmp_path / "frames"))
    assert len(source) == 6
    for number, expected in enumerate(truth):
        depth = source.sample(number).depth
        assert depth is not None
        known = np.isfinite(depth)
        error = np.abs(depth / expected - 1)[known]
        assert 0.05 < known.mean() < 0.5
        # A point is up to half a pixel from its pixel's centre.
        assert np.median(error) < 0.01
        assert (error < 0.05).mean() > 0.95


def test_mixture_keeps_shares_and_shows_all_before_any_twice(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / f"{number}.png", picture(number))
    folder = ImageFolder(tmp_path)
    mixture = Mixture((folder, Part(folder, 0.0, 0.5)), (3.0, 1.0), seed=1)
    drawn = [mixture.place(number) for number in range(8 * 400)]
    counts = [sum(1 for source, _ in drawn if source == k) for k in (0, 1)]
    assert counts[0] / len(drawn) == 0.75
    for source, size in ((0, 6), (1, 3)):
        order = [index for k, index in drawn if k == source]
        for start in range(0, len(order) - size, size):
            assert sorted(order[start : start + size]) == list(range(size))
        assert order[:size] != order[size : 2 * size] or order[:size] != order[2 * size : 3 * size]
    assert mixture.place(123) == Mixture((folder, Part(folder, 0.0, 0.5)), (3.0, 1.0), 1).place(123)
    with pytest.raises(SettingError, match="holds none of 6"):
        Part(folder, 0.5, 0.5)
    with pytest.raises(InputError, match="no images"):
        ImageFolder(tmp_path / "missing")


def test_synthetic_source_is_the_generator(tmp_path: Path) -> None:
    source = SyntheticSource(32, 32, seed=2)
    assert len(source) == 0
    sample = source.sample(9)
    again = SyntheticSource(32, 32, seed=2).sample(9)
    assert np.array_equal(sample.rgb, again.rgb)
    assert sample.depth is not None
    assert sample.depth.shape == (32, 32)


# --- preparation -----------------------------------------------------------------------------


def test_stored_pictures_are_made_once_and_nearly_the_fresh_ones(tmp_path: Path) -> None:
    fresh = SyntheticSource(64, 48, seed=3)
    stored = StoredSynthetic(SyntheticSource(64, 48, seed=3), 10, tmp_path)
    assert len(stored) == 10
    expected, sample = fresh.sample(9), stored.sample(9)
    assert len(list(tmp_path.rglob("*.npz"))) == 2  # the block of 8 stops at the last picture
    assert expected.depth is not None and sample.depth is not None
    known = np.isfinite(expected.depth)
    np.testing.assert_allclose(sample.depth[known], expected.depth[known], rtol=1e-3)
    assert np.array_equal(np.isinf(sample.depth), np.isinf(expected.depth))
    assert np.abs(sample.rgb.astype(int) - expected.rgb).mean() < 6
    stamp = next(tmp_path.rglob("0000009.npz")).stat().st_mtime_ns
    again = StoredSynthetic(SyntheticSource(64, 48, seed=4), 10, tmp_path).sample(9)
    assert np.array_equal(again.rgb, sample.rgb)
    assert next(tmp_path.rglob("0000009.npz")).stat().st_mtime_ns == stamp
    next(tmp_path.rglob("0000009.npz")).write_bytes(b"cut short")
    with pytest.raises(InputError, match="cannot be read as a stored picture"):
        stored.sample(9)


def test_relative_labels_are_inverse_depth_and_the_sky_is_zero() -> None:
    depth = np.full((28, 42), 4.0, np.float32)
    depth[:7] = np.inf
    depth[7] = np.nan
    image = prepare(Sample(picture(0, 28, 42), depth=depth), (28, 42), metric=False)
    assert (image.target[:7] == 0).all()
    assert image.valid[:7].all()
    assert not image.valid[7].any()
    assert (image.target[8:] == 0.25).all()
    assert not image.pseudo
    metres = prepare(Sample(picture(0, 28, 42), depth=depth), (28, 42), metric=True, max_depth=10)
    assert not metres.valid[:8].any()
    assert (metres.target[8:] == 4).all()
    far = prepare(Sample(picture(0, 28, 42), depth=depth), (28, 42), metric=True, max_depth=3)
    assert not far.valid.any()


def test_picture_and_label_stay_together() -> None:
    rgb = np.zeros((60, 90, 3), np.uint8)
    rgb[..., 0] = np.arange(90) * 2
    rgb[..., 1] = np.arange(60)[:, None] * 4
    column, row = np.meshgrid(np.arange(90), np.arange(60))
    depth = (1.0 + column + 100 * row).astype(np.float32)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        image = prepare(Sample(rgb, depth=depth), (28, 42), False, rng)
        code = np.rint(1 / image.target[image.valid]) - 1
        red, green = image.rgb[image.valid][:, 0] / 2, image.rgb[image.valid][:, 1] / 4
        assert np.abs(red - code % 100).max() <= 2.5
        assert np.abs(green - code // 100).max() <= 2.5
    sample = Sample(rgb, depth=depth)
    crops = [prepare(sample, (28, 42), False, np.random.default_rng(s)).rgb for s in range(6)]
    assert len({crop.tobytes() for crop in crops}) == 6


def test_metric_pictures_are_not_cropped() -> None:
    depth = np.arange(1, 61, dtype=np.float32)[None].repeat(40, 0)
    image = prepare(Sample(picture(0), depth=depth), (28, 42), True, np.random.default_rng(3))
    seen = image.target[image.valid]
    assert seen.min() <= 2
    assert seen.max() >= 59


def test_labels_of_a_canonical_camera() -> None:
    depth = np.full((60, 90), 6.0, np.float32)
    sample = Sample(picture(0, 60, 90), depth=depth, focal=90.0)
    whole = prepare(sample, (40, 60), True, None, 80.0, 1.0, canonical_focal=30.0)
    # 90 px in 90 columns are 60 px in 60; a camera of 30 px sees the same at half the distance.
    assert np.allclose(whole.target[whole.valid], 3.0)
    assert whole.valid.all()
    assert not prepare(sample, (40, 60), True, None, 2.0, 1.0, canonical_focal=30.0).valid.any()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        part = prepare(sample, (40, 60), True, rng, 80.0, 0.5, canonical_focal=30.0)
        # An enlarged crop is a longer lens: canonical depth shrinks with the crop.
        assert 1.45 <= part.target[part.valid].min() == part.target.max() <= 3.01
    unknown = Sample(picture(0, 60, 90), depth=depth)
    assert not prepare(unknown, (40, 60), True, None, 80.0, 1.0, canonical_focal=30.0).valid.any()
    labelled = Sample(picture(0, 60, 90), disparity=np.full((60, 90), 0.5, np.float32), focal=90.0)
    image = prepare(labelled, (40, 60), True, None, 80.0, 1.0, canonical_focal=60.0)
    assert image.pseudo
    assert np.allclose(image.target, 2.0)


def test_a_stored_world_knows_its_focal_length(tmp_path: Path) -> None:
    source = SyntheticSource(32, 24, 4)
    stored = StoredSynthetic(source, 8, tmp_path)
    assert [stored.sample(number).focal for number in (0, 5)] == [
        source.sample(number).focal for number in (0, 5)
    ]
    assert stored.sample(0).focal != stored.sample(5).focal


def test_sparse_points_survive_a_resize_and_the_nearest_wins() -> None:
    depth = np.full((100, 100), np.nan, np.float32)
    depth[10, 10], depth[11, 11], depth[50, 80] = 5.0, 2.0, 7.0
    image = prepare(Sample(picture(0, 100, 100), depth=depth, sparse=True), (28, 28), True)
    assert sorted(image.target[image.valid].tolist()) == [2.0, 5.0, 7.0]
    coarse = prepare(Sample(picture(0, 100, 100), depth=depth, sparse=True), (14, 14), True)
    assert sorted(coarse.target[coarse.valid].tolist()) == [2.0, 7.0]
    assert image.target[14, 22] == 7.0
    disparity = prepare(Sample(picture(0, 100, 100), depth=depth, sparse=True), (14, 14), False)
    assert disparity.target[1, 1] == pytest.approx(0.5)


def test_network_input_and_size() -> None:
    image = to_network(np.full((14, 14, 3), 255, np.uint8))
    assert image.shape == (3, 14, 14)
    assert image[0, 0, 0] == pytest.approx((1 - 0.485) / 0.229)
    assert fit_size(480, 640, 252, 14) == (252, 336)
    assert fit_size(20, 2000, 14, 14) == (14, 1400)


# --- perturbations ---------------------------------------------------------------------------


def test_perturbation_changes_colours_not_places() -> None:
    rgb = picture(5)
    rng = np.random.default_rng(0)
    changes = [perturb(rng, rgb, Strength()) for _ in range(20)]
    assert all(image.shape == rgb.shape and image.dtype == np.uint8 for image in changes)
    assert np.mean([np.abs(image.astype(int) - rgb).mean() for image in changes]) > 15
    still = perturb(rng, rgb, Strength(jitter=0, grey=0, blur=0))
    assert np.array_equal(still, rgb)
    assert still is not rgb
    grey = perturb(rng, rgb, Strength(jitter=0, grey=1, blur=0))
    assert np.ptp(grey, axis=2).max() == 0
    nothing = Strength(jitter=1, brightness=0, contrast=0, saturation=0, hue=0, grey=0, blur=0)
    assert np.abs(perturb(rng, rgb, nothing).astype(int) - rgb).max() <= 1


def test_cutmix_mixes_pictures_and_splits_the_loss() -> None:
    rng = np.random.default_rng(3)
    cut = augmentation.draw_cutmix(rng, 20, 30)
    share = cut.inside.float().mean().item()
    images = torch.stack([torch.full((1, 20, 30), float(n)) for n in range(3)])
    mixed = cut.mix(images)
    for n in range(3):
        assert (mixed[n, 0][cut.inside] == (n + 1) % 3).all()
        assert (mixed[n, 0][~cut.inside] == n).all()
    target = images[:, 0]
    outside, inside = cut.split(target, torch.ones(3, 20, 30, dtype=torch.bool))
    assert outside[2] + inside[2] == pytest.approx(1)
    assert inside[2] == pytest.approx(share)
    # Each part's labels are those of the picture that is seen there.
    for labels, valid, _ in (outside, inside):
        assert (labels[valid] == mixed[:, 0][valid]).all()
    assert (outside[1] ^ inside[1]).all()
    shares = [augmentation.draw_cutmix(rng, 20, 30).inside.float().mean() for _ in range(50)]
    assert 0.05 < min(shares) < max(shares) <= 0.62


# --- pseudo-labels ---------------------------------------------------------------------------


def teacher(images: list[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
    return [(image[..., 0] / 7).astype(np.float32) for image in images]


def test_pseudo_labels_are_sharded_resumable_and_report_broken_images(tmp_path: Path) -> None:
    pictures, labels = tmp_path / "pictures", tmp_path / "labels"
    for number in range(9):
        write(pictures / f"{number}.png", picture(number))
    (pictures / "4.png").write_bytes(b"not a picture")
    (pictures / "sub").mkdir()
    write(pictures / "sub" / "x.png", picture(20))
    folder, shards = PictureFolder(str(pictures)), ResultFolder(str(labels))
    done: list[tuple[int, int]] = []
    for rank in (0, 1):
        report = write_labels(
            folder, shards, teacher, shard_size=3, batch=2, rank=rank, world=2,
            progress=lambda a, b: done.append((a, b)),
        )  # fmt: skip
        assert report.present == 0
        assert [name for name, _ in report.skipped] == ([] if rank == 0 else ["4.png"])
    assert sorted(path.name for path in labels.iterdir()) == [
        f"shard-{n:06d}.zip" for n in range(4)
    ]
    assert done == [(3, 6), (6, 6), (3, 4), (4, 4)]

    source = PseudoLabels(pictures, labels)
    assert len(source) == 9
    for number in range(9):
        sample = source.sample(number)
        assert sample.disparity is not None
        truth = sample.rgb[..., 0] / 7
        assert np.abs(sample.disparity - truth).max() <= np.ptp(truth) / 65535 + 1e-5

    # Only the shard that is gone is made again, to the byte.
    before = {path.name: path.read_bytes() for path in labels.iterdir()}
    (labels / "shard-000001.zip").unlink()
    calls: list[int] = []

    def counted(images: list[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        calls.append(len(images))
        return teacher(images)

    report = write_labels(folder, shards, counted, shard_size=3, batch=2)
    assert (report.labelled, report.present, sum(calls)) == (2, 3, 2)
    with zipfile.ZipFile(labels / "shard-000001.zip") as archive:
        index = json.loads(archive.read("index.json"))
    assert [item["image"] for item in index["skipped"]] == ["4.png"]
    assert before.keys() == {path.name for path in labels.iterdir()}

    (pictures / "0.png").unlink()
    with pytest.raises(InputError, match="other pictures"):
        write_labels(PictureFolder(str(pictures)), shards, teacher, shard_size=3)
    with pytest.raises(InputError, match="no pseudo-labels"):
        PseudoLabels(pictures, tmp_path / "empty")


def test_pseudo_labels_go_from_store_to_store(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    for name in ("2.png", "10.png", "sub/1.png"):
        (pictures / name).parent.mkdir(exist_ok=True, parents=True)
        write(pictures / name, picture(len(name)))
    (pictures / "3.png").write_bytes(b"not a picture")
    store = f"file://{tmp_path}/store"
    reports = [
        write_labels(PictureFolder(place), ResultFolder(labels), teacher, shard_size=3)
        for place, labels in (
            (str(pictures), str(tmp_path / "here")),
            (f"file://{pictures}", store),
            (f"file://{pictures}", store),
        )
    ]
    assert [(each.labelled, each.present) for each in reports] == [(3, 0), (3, 0), (0, 2)]
    assert [name for name, _ in reports[1].skipped] == ["3.png"]
    for shard in ("shard-000000.zip", "shard-000001.zip"):
        one, other = (
            zipfile.ZipFile(tmp_path / place / shard).read("index.json")
            for place in ("here", "store")
        )
        assert json.loads(one)["labels"] == json.loads(other)["labels"]
