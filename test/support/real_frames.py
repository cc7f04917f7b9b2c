"""Real images with truth, and a real network run on them, for the tests of metric/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import Frame, Prediction, PredictionKind, SparsePoints
from depth_anything_ros.geometry.camera import Camera, project

Array = npt.NDArray[Any]
FASTDEPTH_SIZE = (224, 224)


@dataclass(frozen=True)
class RealFrame:
    """An image, what FastDepth says about it as disparity, and its measured pixels."""

    name: str
    rgb: Array
    prediction: Prediction
    truth: SparsePoints
    camera: Camera | None = None
    scan: Array | None = None

    def split(self, count: int, seed: int = 0) -> tuple[SparsePoints, SparsePoints]:
        """`count` random truth points to learn from, and all the others to score on."""
        order = np.random.default_rng(seed).permutation(len(self.truth))
        return self.take(order[:count]), self.take(order[count:])

    def take(self, index: Array) -> SparsePoints:
        return SparsePoints(self.truth.u[index], self.truth.v[index], self.truth.z[index])

    def frame(self, points: SparsePoints | None) -> Frame:
        return Frame(self.rgb, camera=self.camera, points=points)


class FastDepth:
    """The real network of the data folder, run without the package's own inference."""

    def __init__(self, data_dir: Path) -> None:
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        options.log_severity_level = 3
        path = data_dir / "fastdepth" / "fastdepth_7.onnx"
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, rgb: Array) -> Prediction:
        image = cv2.resize(rgb, FASTDEPTH_SIZE, interpolation=cv2.INTER_AREA)
        tensor = image.astype(np.float32).transpose(2, 0, 1)[None] / 255
        depth = self._session.run(None, {"0": tensor})[0][0, 0]
        depth = cv2.resize(depth, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        disparity = (1 / np.maximum(depth, 1e-3)).astype(np.float32)
        return Prediction(disparity, PredictionKind.RELATIVE_DISPARITY, FASTDEPTH_SIZE)


def read(path: Path, flags: int = cv2.IMREAD_COLOR) -> Array:
    image = cv2.imread(str(path), flags)
    assert image is not None, path
    return image


def read_rgb(path: Path) -> Array:
    return cv2.cvtColor(read(path), cv2.COLOR_BGR2RGB)


def points_of_depth(depth: Array) -> SparsePoints:
    v, u = np.nonzero(np.isfinite(depth) & (depth > 0))
    return SparsePoints(u.astype(float), v.astype(float), depth[v, u].astype(float))


def kitti_scan(folder: Path, name: str) -> tuple[Camera, Array]:
    """Camera of image_2 and the scan (Nx3 metres) in its optical frame."""
    lines = (folder / "calib" / f"{name}.txt").read_text().splitlines()
    fields = {
        line.split(":")[0]: np.array(line.split(":")[1].split(), float) for line in lines if line
    }
    p2 = fields["P2"].reshape(3, 4)
    rgb = read_rgb(folder / "image_2" / f"{name}.png")
    k = p2[:, :3]
    camera = Camera(rgb.shape[1], rgb.shape[0], k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    lidar = np.fromfile(folder / "velodyne" / f"{name}.bin", np.float32).reshape(-1, 4)[:, :3]
    rotation = fields["Tr_velo_to_cam"].reshape(3, 4)
    rectified = fields["R0_rect"].reshape(3, 3) @ (
        rotation[:, :3] @ lidar.T.astype(float) + rotation[:, 3:]
    )
    return camera, (rectified + np.linalg.solve(k, p2[:, 3:])).T


def beams_of_scan(scan: Array) -> Array:
    """Index 0..63 of the beam that measured each point of a KITTI scan, from its elevation."""
    elevation = np.degrees(np.arcsin(scan[:, 1] / np.linalg.norm(scan, axis=1)))
    edges = np.quantile(elevation, np.linspace(0, 1, 65)[1:-1])
    return np.searchsorted(edges, elevation)


def kitti_truth(camera: Camera, scan: Array) -> SparsePoints:
    """The nearest return of every pixel."""
    u, v, z = project(camera, scan)
    pixel = np.rint(v).astype(int) * camera.width + np.rint(u).astype(int)
    order = np.lexsort((z, pixel))
    first = order[np.unique(pixel[order], return_index=True)[1]]
    return SparsePoints(u[first], v[first], z[first], "lidar")


def load_frames(data_dir: Path) -> list[RealFrame]:
    """The five frames that the bars of the sparse scaler are set on."""
    network = FastDepth(data_dir)
    frames = []
    for name in ("00000", "00050"):
        rgb = read_rgb(data_dir / "nyu" / f"rgb_{name}.jpg")
        depth = read(data_dir / "nyu" / f"sync_depth_{name}.png", cv2.IMREAD_UNCHANGED)
        truth = points_of_depth(depth / 1000.0)
        frames.append(RealFrame(f"nyu {name}", rgb, network(rgb), truth))
    rgb = read_rgb(data_dir / "marigold_dc" / "image.png")
    truth = points_of_depth(np.load(data_dir / "marigold_dc" / "depth.npz")["gt"])
    frames.append(RealFrame("marigold_dc", rgb, network(rgb), truth))
    for name in ("000001", "000002"):
        camera, scan = kitti_scan(data_dir / "kitti", name)
        rgb = read_rgb(data_dir / "kitti" / "image_2" / f"{name}.png")
        frames.append(
            RealFrame(f"kitti {name}", rgb, network(rgb), kitti_truth(camera, scan), camera, scan)
        )
    return frames
