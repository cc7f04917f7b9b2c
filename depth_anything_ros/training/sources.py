"""Where training pictures come from: synthetic worlds, folders, data sets, recordings."""

from __future__ import annotations

import csv
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, SettingError, require
from depth_anything_ros.formats import bags
from depth_anything_ros.formats.bags import Transform
from depth_anything_ros.formats.depth_files import read_depth
from depth_anything_ros.formats.media import IMAGE_SUFFIXES, read_image
from depth_anything_ros.geometry.camera import Camera, project
from depth_anything_ros.training.samples import Sample, Source

_SYNTHETIC_BLOCK = 8
_ROUND = 100  # blocks after which every source of a mixture has had its share exactly


class SyntheticSource:
    """Procedural scenes without end (see `synthetic.generator`).

    Args:
        width: Columns of the pictures.
        height: Rows of the pictures.
        seed: Decides everything.
        photos: Folder of photographs for textures, or None.
        kinds: Kinds of world; all by their usual shares when empty.
        device: Where rays are traced.
    """

    def __init__(
        self,
        width: int = 256,
        height: int = 192,
        seed: int = 0,
        photos: Path | None = None,
        kinds: Sequence[str] = (),
        device: str = "cpu",
    ) -> None:
        from depth_anything_ros.synthetic.generator import Generator

        self._generator = Generator(width, height, seed, photos, device, kinds)
        self._block: tuple[int, list[Sample]] | None = None

    def __len__(self) -> int:
        """0: there is no end."""
        return 0

    def sample(self, number: int) -> Sample:
        """Get one picture; pictures are made in blocks, so take neighbours one after another."""
        block, place = divmod(number, _SYNTHETIC_BLOCK)
        if self._block is None or self._block[0] != block:
            first = block * _SYNTHETIC_BLOCK
            images = self._generator.images(range(first, first + _SYNTHETIC_BLOCK))
            samples = [
                Sample(image.rgb, np.where(image.valid, image.depth, np.float32(np.nan)))
                for image in images
            ]
            self._block = block, samples
        return self._block[1][place]


class StoredSynthetic:
    """A number of procedural scenes, kept on disk once they are made.

    Making a picture costs a CPU about as much as learning from it; a run of several epochs makes
    each once. Files hold JPEG and depth as float16, so a stored picture is a little rougher than a
    fresh one, in the first epoch as in all others.

    Args:
        source: Where they come from.
        pictures: How many there are.
        folder: Where they are kept.
    """

    def __init__(self, source: SyntheticSource, pictures: int, folder: Path) -> None:
        self._source, self._pictures, self._folder = source, pictures, folder
        folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        """Number of pictures."""
        return self._pictures

    def sample(self, number: int) -> Sample:
        """Get one picture; its whole block is made and kept when it is not there."""
        path = self._path(number)
        if not path.exists():
            first = number - number % _SYNTHETIC_BLOCK
            for neighbour in range(first, min(first + _SYNTHETIC_BLOCK, self._pictures)):
                self._keep(self._path(neighbour), self._source.sample(neighbour))
        try:
            with np.load(path) as file:
                bgr = np.asarray(cv2.imdecode(file["jpeg"], cv2.IMREAD_COLOR))
                depth = file["depth"].astype(np.float32)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is no stored picture: {error}; delete it") from error
        return Sample(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), depth)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number // 1000:04d}" / f"{number:07d}.npz"

    def _keep(self, path: Path, sample: Sample) -> None:
        assert sample.depth is not None
        path.parent.mkdir(exist_ok=True)
        bgr = cv2.cvtColor(sample.rgb, cv2.COLOR_RGB2BGR)
        jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        part = path.with_suffix(f".{os.getpid()}.part")  # several workers may make the same block
        with open(part, "wb") as stream:
            np.savez(stream, jpeg=jpeg, depth=sample.depth.astype(np.float16))
        part.replace(path)


class ImageFolder:
    """Pictures without labels.

    Args:
        folder: Folder, searched through.

    Raises:
        InputError: It holds no picture.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(
            path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES
        )
        if not self.paths:
            raise InputError(f"{folder} holds no images")

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.paths)

    def sample(self, number: int) -> Sample:
        """Get one picture, without a label."""
        return Sample(read_image(self.paths[number]))


@dataclass(frozen=True)
class _Pair:
    image: Path
    depth: Path
    scale: float = 1000.0
    sparse: bool = False


class DepthIndex:
    """Pictures with depth files, listed in a CSV file.

    Its columns are `image` and `depth` (paths, relative to the CSV file; depth as `.npy` in metres
    or as 16-bit PNG), and optionally `scale` (PNG units per metre, 1000 when missing) and `sparse`
    (1 when only single pixels are known).

    Args:
        index: The CSV file.

    Raises:
        InputError: The file cannot be read, lacks a column, or is empty.
    """

    def __init__(self, index: Path) -> None:
        try:
            with open(index, newline="", encoding="utf-8") as stream:
                rows = list(csv.DictReader(stream))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{index} cannot be read as CSV: {error}") from error
        if not rows or not {"image", "depth"} <= set(rows[0]):
            raise InputError(f"{index} must have rows with the columns image and depth")
        try:
            self._pairs = [
                _Pair(
                    index.parent / row["image"],
                    index.parent / row["depth"],
                    float(row.get("scale") or 1000),
                    (row.get("sparse") or "0") == "1",
                )
                for row in rows
            ]
        except (TypeError, ValueError) as error:
            raise InputError(f"{index} has a row that cannot be understood: {error}") from error

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._pairs)

    def sample(self, number: int) -> Sample:
        """Get one picture with its depth."""
        pair = self._pairs[number]
        return _with_depth(pair.image, read_depth(pair.depth, pair.scale), pair.sparse)


class VirtualKitti2:
    """Virtual KITTI 2 as it is unpacked.

    Layout (europe.naverlabs.com, README of the data set): `SceneXX/VARIATION/frames/` with
    `rgb/Camera_C/rgb_NNNNN.jpg` and `depth/Camera_C/depth_NNNNN.png`, 16 bit in centimetres along
    the optical axis; 65535 is the sky.

    Args:
        folder: Folder with the scenes.

    Raises:
        InputError: It holds no frames.
    """

    def __init__(self, folder: Path) -> None:
        self._images = sorted(folder.glob("Scene*/*/frames/rgb/Camera_*/rgb_*.jpg"))
        if not self._images:
            raise InputError(f"{folder} holds no Scene*/*/frames/rgb/Camera_*/rgb_*.jpg")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._images)

    def sample(self, number: int) -> Sample:
        """Get one frame with its depth."""
        image = self._images[number]
        frames = image.parents[2]
        name = image.stem.replace("rgb_", "depth_") + ".png"
        depth = read_depth(frames / "depth" / image.parent.name / name, 100.0)
        return _with_depth(image, np.where(depth >= 655.35, np.float32(np.inf), depth))


class Hypersim:
    """Hypersim as it is unpacked.

    Layout (github.com/apple/ml-hypersim, README): `ai_VVV_NNN/images/` with
    `scene_cam_XX_final_preview/frame.IIII.tonemap.jpg` and
    `scene_cam_XX_geometry_hdf5/frame.IIII.depth_meters.hdf5`, whose `dataset` is the distance
    from the camera's centre along the ray; NaN where nothing is. The focal length is
    886.81 pixels at 1024x768.

    Args:
        folder: Folder with the scenes.

    Raises:
        InputError: It holds no frames.
        MissingExtraError: h5py is not installed.
    """

    FOCAL = 886.81
    """Focal length in pixels of a picture of 1024 columns (60 degrees)."""

    def __init__(self, folder: Path) -> None:
        require("h5py", "train")
        pattern = "ai_*/images/scene_cam_*_final_preview/frame.*.tonemap.jpg"
        self._images = sorted(folder.glob(pattern))
        if not self._images:
            raise InputError(f"{folder} holds no {pattern}")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._images)

    def sample(self, number: int) -> Sample:
        """Get one frame with its depth along the optical axis."""
        image = self._images[number]
        camera = image.parent.name.replace("_final_preview", "_geometry_hdf5")
        frame = image.name.replace(".tonemap.jpg", ".depth_meters.hdf5")
        path = image.parents[1] / camera / frame
        try:
            with require("h5py", "train").File(path, "r") as file:
                distance = np.asarray(file["dataset"], np.float32)
        except (OSError, KeyError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        return _with_depth(image, distance * self._share_of_axis(*distance.shape))

    def _share_of_axis(self, height: int, width: int) -> npt.NDArray[np.float32]:
        """Depth along the axis per distance along the ray."""
        focal = self.FOCAL * width / 1024
        x = np.arange(width) - (width - 1) / 2
        y = np.arange(height) - (height - 1) / 2
        return (focal / np.sqrt(x**2 + y[:, None] ** 2 + focal**2)).astype(np.float32)


def _with_depth(image: Path, depth: npt.NDArray[np.float32], sparse: bool = False) -> Sample:
    rgb = read_image(image)
    if rgb.shape[:2] != depth.shape:
        raise InputError(
            f"{image} is {rgb.shape[1]}x{rgb.shape[0]} but its depth is "
            f"{depth.shape[1]}x{depth.shape[0]}; they must be of one size"
        )
    return Sample(rgb, depth=depth, sparse=sparse)


@dataclass(frozen=True)
class Part:
    """Some of the pictures of a finite source, as for holding out the rest.

    Attributes:
        source: The source.
        start: First picture, as a share of all.
        stop: End, as a share of all.
    """

    source: Source
    start: float
    stop: float

    def __post_init__(self) -> None:
        """Refuse an empty part.

        Raises:
            SettingError: There is no picture between start and stop.
        """
        if not 0 <= self.start < self.stop <= 1 or not len(self):
            raise SettingError(
                f"start {self.start:g} to stop {self.stop:g} holds none of {len(self.source)} "
                "pictures; they are shares from 0 to 1"
            )

    def __len__(self) -> int:
        """Number of pictures."""
        return self._first(self.stop) - self._first(self.start)

    def _first(self, share: float) -> int:
        return round(share * len(self.source))

    def sample(self, number: int) -> Sample:
        """Get one picture."""
        return self.source.sample(self._first(self.start) + number)


class Mixture:
    """Several sources drawn by weight; every number gives the same picture of the same source.

    Args:
        sources: The sources.
        weights: How often each is drawn, relative to the others.
        seed: Decides the draw.

    Attributes:
        block: So many numbers in a row are of one source.
    """

    def __init__(self, sources: Sequence[Source], weights: Sequence[float], seed: int = 0) -> None:
        self.sources = tuple(sources)
        self._shares = np.cumsum(weights) / sum(weights)
        self._seed = seed
        # Sources without end are made in blocks; all others are best mixed within a batch.
        self.block = 1 if all(len(source) for source in sources) else _SYNTHETIC_BLOCK
        self._orders: dict[tuple[int, int], npt.NDArray[np.int64]] = {}

    def place(self, number: int) -> tuple[int, int]:
        """Which picture a number stands for.

        Finite sources are gone through in a new order each time, none twice before all once.

        Args:
            number: 0 or more.

        Returns:
            The source, and the picture's number in it.
        """
        block, rest = divmod(number, self.block)
        # In each round of blocks every source has its share, to the nearest block.
        cycle, turn = divmod(block, _ROUND)
        drawn = self._order(-1, cycle, _ROUND)
        counts = np.diff(np.rint(self._shares * _ROUND).astype(int), prepend=0)
        slots = np.repeat(np.arange(len(self.sources)), counts)[drawn]
        source = int(slots[turn])
        size = len(self.sources[source])
        if size == 0:
            return source, number
        before = cycle * int(counts[source]) + int(np.count_nonzero(slots[:turn] == source))
        epoch, index = divmod(before * self.block + rest, size)
        return source, int(self._order(source, epoch, size)[index])

    def _order(self, source: int, epoch: int, size: int) -> npt.NDArray[np.int64]:
        """A shuffled order; the latest ones are kept."""
        key = (source, epoch)
        if key not in self._orders:
            if len(self._orders) > 2 * len(self.sources) + 2:
                self._orders.clear()
            rng = np.random.default_rng([self._seed, 3, source + 1, epoch])
            self._orders[key] = rng.permutation(size)
        return self._orders[key]


def extract_recording(
    bag: Path,
    folder: Path,
    image_topic: str = "",
    cloud_topic: str = "",
    extrinsics: npt.NDArray[np.float64] | None = None,
    slop: float = 0.1,
) -> Path:
    """Turn a rosbag2 recording of a camera and a LiDAR into pictures with sparse depth.

    Every picture gets the cloud nearest in time, projected through K and D.

    Args:
        bag: The recording.
        folder: Where to write pictures (PNG), depth (`.npy`, metres, 0 = unknown) and `index.csv`,
            which `DepthIndex` reads.
        image_topic: Topic of the pictures; the only one when empty.
        cloud_topic: Topic of the PointCloud2; the only one when empty.
        extrinsics: 4x4 float64, LiDAR -> optical frame; from the recording's /tf_static when None.
        slop: Largest difference of the stamps in seconds.

    Returns:
        The index.

    Raises:
        InputError: The recording lacks something, or no picture has a cloud.
        MissingExtraError: `rosbags` is not installed.
    """
    with bags.Bag(bag) as recording:
        images = _only(recording.topics_of(*bags.IMAGE_TYPES), image_topic, "image", bag)
        clouds = _only(recording.topics_of(bags.POINT_CLOUD_TYPE), cloud_topic, "PointCloud2", bag)
        infos = recording.topics_of(bags.CAMERA_INFO_TYPE)
        near = [topic for topic in infos if topic.rsplit("/", 1)[0] == images.rsplit("/", 1)[0]]
        info = _only(near or infos, "", "CameraInfo", bag)
        static = [topic for topic in recording.topics if topic == "/tf_static"]
        camera: Camera | None = None
        frames: tuple[str, str] = ("", "")
        transforms: list[Transform] = []
        points: list[tuple[int, npt.NDArray[np.floating]]] = []
        for message in recording.messages([info, clouds, *static]):
            if message.topic == info and camera is None:
                camera = bags.camera_of(message.content)
                frames = (frames[0], message.content.header.frame_id.lstrip("/"))
            elif message.topic == clouds:
                points.append((bags.stamp_of(message.content), bags.points_of(message.content)))
                frames = (message.content.header.frame_id.lstrip("/"), frames[1])
            elif message.topic in static:
                transforms += bags.transforms_of(message.content)
        if camera is None or not points:
            raise InputError(f"{bag} has no message on {info if camera is None else clouds}")
        if extrinsics is None:
            extrinsics = _chain(transforms, *frames, bag)
        stamps = np.array([stamp for stamp, _ in points])
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for number, message in enumerate(recording.messages([images])):
            offset = np.abs(stamps - bags.stamp_of(message.content))
            best = int(offset.argmin())
            if offset[best] > slop * 1e9:
                continue
            rgb = bags.image_of(message.content)
            seen = camera.resized(rgb.shape[1], rgb.shape[0])
            local = points[best][1] @ extrinsics[:3, :3].T + extrinsics[:3, 3]
            u, v, z = project(seen, local)
            depth = np.zeros(rgb.shape[:2], np.float32)
            order = np.argsort(-z)  # the nearest is written last
            depth[np.rint(v[order]).astype(int), np.rint(u[order]).astype(int)] = z[order]
            name = f"{number:06d}"
            cv2.imwrite(str(folder / f"{name}.png"), rgb[..., ::-1])
            np.save(folder / f"{name}.npy", depth)
            rows.append((f"{name}.png", f"{name}.npy", "1", "1"))
    if not rows:
        raise InputError(f"{bag}: no image has a cloud within {slop:g} s; raise slop")
    index = folder / "index.csv"
    part = index.with_suffix(".part")
    with open(part, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("image", "depth", "scale", "sparse"), *rows])
    part.replace(index)  # an index that is there is complete
    return index


def _only(topics: Sequence[str], wanted: str, what: str, bag: Path) -> str:
    if wanted:
        return wanted
    if len(topics) != 1:
        found = ", ".join(topics) or "none"
        raise InputError(f"{bag} has {what} topics: {found}; name the one to use")
    return topics[0]


def _chain(
    transforms: Sequence[Transform], source: str, target: str, bag: Path
) -> npt.NDArray[np.float64]:
    """Source -> target through a tree of static transforms."""
    edges: dict[str, list[tuple[str, npt.NDArray[np.floating]]]] = {}
    for item in transforms:
        edges.setdefault(item.child, []).append((item.parent, item.matrix))
        edges.setdefault(item.parent, []).append((item.child, np.linalg.inv(item.matrix)))
    found: dict[str, npt.NDArray[np.floating]] = {source: np.eye(4)}
    open_ends = [source]
    while open_ends:
        frame = open_ends.pop()
        for other, matrix in edges.get(frame, []):
            if other not in found:
                found[other] = matrix @ found[frame]
                open_ends.append(other)
    if target not in found:
        raise InputError(
            f"{bag} has no static transform from '{source}' to '{target}'; give extrinsics"
        )
    return np.asarray(found[target], np.float64)
