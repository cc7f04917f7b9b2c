"""Every real picture with true depth of the data folder, for the accuracy of relative networks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from real_frames import kitti_scan, read, read_rgb
from scipy.spatial.transform import Rotation

from depth_anything_ros.geometry.camera import Camera, project

Array = npt.NDArray[Any]

MIDDLEBURY = (994.978 * 0.193001, 31.086)
"""Focal length times baseline, and disparity of infinity, of the stereo pair."""


CAPS = {"nyu": 10.0, "tum_kinect": 10.0, "kitti": 80.0, "kitti_depth": 80.0, "ddad": 200.0}
"""Metres up to which a data set is scored (NYU and KITTI: the papers' metric tables; the same
Kinect took TUM's; DDAD: its own benchmark); the others up to their farthest truth."""


@dataclass(frozen=True)
class DepthFrame:
    """A picture and its true depth: HxW metres, NaN where unknown."""

    name: str
    rgb: Array
    depth: Array
    outdoors: bool

    @property
    def max_depth(self) -> float:
        """Metres up to which the frame is scored; nothing is predicted to be farther."""
        return CAPS.get(self.name.split()[0], 1.001 * float(np.nanmax(self.depth)))


def depth_frames(data_dir: Path) -> Iterator[DepthFrame]:
    """All frames, in a fixed order."""
    for name in ("00000", "00050"):
        rgb = read_rgb(data_dir / "nyu" / f"rgb_{name}.jpg")
        yield _dense(f"nyu {name}", rgb, _png(data_dir / "nyu" / f"sync_depth_{name}.png", 1000))
    for name in ("000001", "000002"):
        camera, scan = kitti_scan(data_dir / "kitti", name)
        rgb = read_rgb(data_dir / "kitti" / "image_2" / f"{name}.png")
        yield DepthFrame(f"kitti {name}", rgb, _nearest_points(camera, scan), True)
    folder = data_dir / "kitti_depth"
    rgb = read_rgb(folder / "rgb_0000000005.png")
    yield _dense("kitti_depth", rgb, _png(folder / "depth_0000000005.png", 256), True)
    folder = data_dir / "marigold_dc"
    truth = np.load(folder / "depth.npz")["gt"]
    yield _dense("marigold_dc", read_rgb(folder / "image.png"), truth)
    folder = data_dir / "prior_da"
    for number, suffix in ((1, "jpg"), (3, "png")):
        sample = folder / f"sample-{number}"
        rgb = read_rgb(sample / f"rgb.{suffix}")
        yield _dense(f"prior_da {number}", rgb, _png(sample / "gt_depth.png", 1000))
    rgb = np.ascontiguousarray(np.load(folder / "sample-6" / "rgb.npy"))
    yield _dense("prior_da 6", rgb, np.load(folder / "sample-6" / "gt_depth.npy"))
    for number in range(1, 6):
        rgb = read_rgb(data_dir / "tum_kinect" / "color" / f"{number}.png")
        depth = _png(data_dir / "tum_kinect" / "depth" / f"{number}.pgm", 1000)
        yield _dense(f"tum_kinect {number}", rgb, depth)
    yield from _ddad(data_dir / "ddad")
    folder = data_dir / "middlebury"
    with np.load(folder / "motorcycle_disp.npz") as file:
        disparity = file[file.files[0]].astype(np.float64)
    known = np.isfinite(disparity) & (disparity > 0)
    gain, shift = MIDDLEBURY
    depth = np.where(known, gain / (np.where(known, disparity, 1.0) + shift), 0)
    yield _dense("middlebury", read_rgb(folder / "motorcycle_left.png"), depth)


def _png(path: Path, scale: float) -> Array:
    return read(path, cv2.IMREAD_UNCHANGED) / scale


def _dense(name: str, rgb: Array, depth: Array, outdoors: bool = False) -> DepthFrame:
    known = np.isfinite(depth) & (depth > 0)
    return DepthFrame(name, rgb, np.where(known, depth, np.nan), outdoors)


def _nearest_points(camera: Camera, points: Array) -> Array:
    """Points in the optical frame (Nx3 metres) as a depth image, the nearest in each pixel."""
    u, v, z = project(camera, points)
    column, row = np.rint(u).astype(int), np.rint(v).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    column, row, z = column[inside], row[inside], z[inside]
    order = np.argsort(-z)
    depth = np.full((camera.height, camera.width), np.nan)
    depth[row[order], column[order]] = z[order]
    return depth


def _pose(entry: dict[str, Any]) -> Array:
    matrix = np.eye(4)
    turn = entry["rotation"]
    matrix[:3, :3] = Rotation.from_quat([turn[f"q{axis}"] for axis in "xyzw"]).as_matrix()
    matrix[:3, 3] = [entry["translation"][axis] for axis in "xyz"]
    return matrix


def _ddad(folder: Path) -> Iterator[DepthFrame]:
    (calibration_file,) = (folder / "calibration").glob("*.json")
    calibration = json.loads(calibration_file.read_text())
    intrinsics = dict(zip(calibration["names"], calibration["intrinsics"], strict=True))
    (scene_file,) = folder.glob("scene_a*.json")
    scene = json.loads(scene_file.read_text())
    data = {entry["key"]: entry for entry in scene["data"]}
    for step, sample in enumerate(scene["samples"]):
        present = [data[key] for key in sample["datum_keys"] if key in data]
        scans = [
            entry["datum"]["point_cloud"] for entry in present if "point_cloud" in entry["datum"]
        ]
        scans = [scan for scan in scans if (folder / scan["filename"]).exists()]
        if not scans:
            continue
        points = np.load(folder / scans[0]["filename"])["data"][:, :3].astype(float)
        placed = _pose(scans[0]["pose"])
        world = points @ placed[:3, :3].T + placed[:3, 3]
        for entry in present:
            image = entry["datum"].get("image")
            if image is None or not (folder / image["filename"]).exists():
                continue
            name = entry["id"]["name"]
            rgb = read_rgb(folder / image["filename"])
            k = intrinsics[name]
            camera = Camera(rgb.shape[1], rgb.shape[0], k["fx"], k["fy"], k["cx"], k["cy"])
            into = np.linalg.inv(_pose(image["pose"]))
            local = world @ into[:3, :3].T + into[:3, 3]
            depth = _nearest_points(camera, local[local[:, 2] > 0.5])
            yield DepthFrame(f"ddad {name} {step}", rgb, depth, True)
