"""The Python interface: a network by name, pictures in, depth out.

import depth_anything_ros as da

model = da.load("depth_anything_v2_metric_hypersim_vits")
frame = model("room.jpg", camera=da.Camera.from_hfov(640, 480, 70))
frame.cloud().save("room.ply")
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from depth_anything_ros import frames
from depth_anything_ros.confidence.agreement import FLIP, ZOOMS
from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats import preview, results
from depth_anything_ros.formats.camera_yaml import read_camera
from depth_anything_ros.formats.depth_files import (
    farthest_of_png,
    write_metric_png,
    write_npy,
    write_relative_png,
)
from depth_anything_ros.formats.extrinsics import extrinsics_of
from depth_anything_ros.formats.media import read_image, write_image
from depth_anything_ros.formats.ply import write_ply
from depth_anything_ros.formats.point_cloud2 import hits
from depth_anything_ros.formats.point_files import POINT_SUFFIXES, read_points
from depth_anything_ros.formats.whole_file import whole_file
from depth_anything_ros.frames import (
    FloatImage,
    Frame,
    Plane,
    PredictionKind,
    RgbImage,
    SparsePoints,
)
from depth_anything_ros.geometry.camera import Camera, project
from depth_anything_ros.geometry.cloud import Cloud, build_cloud
from depth_anything_ros.geometry.cloud_filters import flying_pixels
from depth_anything_ros.inference.frame_context import context_of
from depth_anything_ros.inference.preprocess import check_image
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.metric.ground_fusion import GroundFusion
from depth_anything_ros.metric.selection import make_scaler
from depth_anything_ros.metric.temporal_filter import TemporalFilter
from depth_anything_ros.pipeline import ConfidenceSources, DepthLimits, DepthRequest, process_batch
from depth_anything_ros.settings import ModelSettings, ScalerSettings

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

    from depth_anything_ros.inference.backend import LoadedModel
    from depth_anything_ros.inference.estimator import DepthEstimator
    from depth_anything_ros.metric.scaler import MetricScaler
    from depth_anything_ros.network.model_info import ModelInfo

Picture: TypeAlias = "npt.NDArray[np.uint8] | PilImage | str | os.PathLike[str] | Frame"
"""A picture: HxWx3 uint8 RGB, a PIL image, the path of a file, or a `Frame` that has it all."""

PictureT = TypeVar(
    "PictureT", bound="npt.NDArray[np.uint8] | PilImage | str | os.PathLike[str] | Frame"
)

CameraLike: TypeAlias = "Camera | str | os.PathLike[str] | Callable[[int, int], Camera | None]"
"""A camera at any size of its aspect ratio, a calibration file, or a function of the size."""

logger = logging.getLogger("depth_anything_ros")

EDGE_ANGLE_DEG = 2.0
"""Points seen at a flatter angle than this at an edge of depth are left out of clouds."""


class PointCloud(Cloud):
    """Points in the optical frame (x right, y down, z forward), metres."""

    def save(self, path: str | os.PathLike[str], frame: str = "optical") -> Path:
        """Write the known points as binary PLY.

        Args:
            path: The file.
            frame: Axes: "optical" (x right, y down, z forward), "ros" (x forward, y left, z up,
                REP-103) or "gl" (x right, y up, z backward, as viewers of meshes have it).

        Returns:
            The file.

        Raises:
            SettingError: The axes are unknown.
        """
        known = np.isfinite(self.xyz[:, 2])
        rgb = self.rgb
        colours = None if rgb is None else rgb[known]
        with whole_file(Path(path)) as part:
            write_ply(part, self.xyz[known], colours, frame)
        return Path(path)


@dataclass(frozen=True)
class DepthFrame(frames.DepthFrame):
    """One picture's depth.

    Attributes:
        metres: Whether metres were asked for or the network gives them; `depth_m` is None where
            they could not be had, and `scale_state.reason` says why.
        model: What made it, by name: model, kind, licence, backend, device, precision.
    """

    metres: bool = True
    model: Mapping[str, Any] | None = None

    @property
    def disparity(self) -> FloatImage | None:
        """HxW float32 of a network that gives it: larger is nearer; None of others."""
        return self.prediction.values if self.prediction.kind.inverse else None

    @property
    def values(self) -> FloatImage:
        """What `save` writes: metres (NaN where unknown), else disparity."""
        if not self.metres:
            return self.prediction.values
        if self.depth_m is None:
            return np.full_like(self.prediction.values, np.nan)
        return self.depth_m

    def cloud(
        self,
        color: bool = True,
        edge_angle_deg: float = EDGE_ANGLE_DEG,
        max_range: float = np.inf,
        camera: Camera | None = None,
    ) -> PointCloud:
        """The points of the picture.

        Args:
            color: Whether they have the picture's colours.
            edge_angle_deg: Points in mid-air at edges of depth are left out where two neighbours
                are seen at a flatter angle than this, as the node does; 0 keeps all.
            max_range: Metres along Z beyond which points (the sky) are left out.
            camera: The camera where none was given with the picture.

        Returns:
            1xN points in the optical frame.

        Raises:
            InputError: There are no metres or no camera.
        """
        seen_by = camera or self.frame.camera
        if self.depth_m is None:
            raise InputError(f"a cloud needs metres: {self.scale_state.reason}")
        if seen_by is None:
            raise InputError(
                "a cloud needs the camera: give camera=Camera.from_hfov(w, h, degrees)"
            )
        hidden = (
            flying_pixels(self.depth_m, seen_by, edge_angle_deg) if edge_angle_deg > 0 else None
        )
        rgb = self.frame.rgb if color else None
        cloud = build_cloud(
            self.depth_m, seen_by, rgb, organized=False, max_range=max_range, hidden=hidden
        )
        return PointCloud(cloud.data, cloud.fields)

    def preview(
        self, grayscale: bool = False, colors: preview.DepthColors | None = None
    ) -> RgbImage:
        """The depth as a picture for people: near is bright, unknown is black.

        Args:
            grayscale: Grey in place of colours.
            colors: Keeps the range of colours steady over a sequence; None takes the picture's own.

        Returns:
            HxWx3 uint8 RGB.
        """
        return (colors or preview.DepthColors(grayscale)).answer(self)

    def describe(self, png_scale: float = 1000.0) -> dict[str, Any]:
        """What there is to know besides the depth, as the JSON of `save` has it.

        Args:
            png_scale: As for `save`.
        """
        # 16 bits hold what they can: a relative picture's stretch is needed to undo it.
        png = {"png_scale": png_scale} if self.metres else {"png_range": _range(self._nearness)}
        return {**(self.model or {}), **results.describe(self, self.metres), **png}

    def save(
        self,
        folder: str | os.PathLike[str],
        stem: str = "depth",
        *,
        cloud: bool = False,
        grayscale: bool = False,
        image_beside: bool = True,
        png_scale: float = 1000.0,
        ply_frame: str = "optical",
        overwrite: bool = False,
        request: str = "",
        details: Mapping[str, Any] | None = None,
        preview_range: tuple[float, float] | None = None,
        controlnet: bool = False,
    ) -> list[Path]:
        """Write STEM_depth.npy, STEM_depth.png, STEM_preview.png and STEM.json.

        Metres have their standard deviation with them in STEM_sigma.npy, and STEM_sigma.png shows
        it: dark is sure, the brightest colour is 30 % of the depth and more.

        Args:
            folder: Where; made if missing.
            stem: What the files are called.
            cloud: Write STEM_cloud.ply, too.
            grayscale: Preview in grey.
            image_beside: Preview with the picture and, for metres, a legend beside it.
            png_scale: Units of the 16-bit PNG per metre: 1000 (millimetres), 256 (KITTI), 5000
                (TUM). What is too far for 16 bits is 0 = unknown.
            ply_frame: Axes of the cloud, as `PointCloud.save` has them.
            overwrite: Replace files that this package did not write.
            request: What was asked for, to know a result that is there already.
            details: Further content of STEM.json.
            preview_range: Metres of the brightest and the darkest colour of the preview; None
                takes the picture's own.
            controlnet: Write STEM_controlnet.png, too (8 bit, near is white).

        Returns:
            The files.

        Raises:
            InputError: A file that this package did not write is in the way, or a cloud is asked
                for without metres or camera.
        """
        writers = self.writers(
            cloud=cloud, png_scale=png_scale, ply_frame=ply_frame, controlnet=controlnet
        )
        writers["_preview.png"] = lambda path: write_image(
            path, self._picture(grayscale, image_beside, preview_range)
        )
        depth_m, sigma_m = self.depth_m, self.sigma_m
        if self.metres and depth_m is not None and sigma_m is not None:
            writers["_sigma.png"] = lambda path: write_image(
                path, preview.colorize_sigma(depth_m, sigma_m)
            )
        report = self.describe(png_scale) | dict(details or {})
        return results.write_results(Path(folder) / stem, writers, report, request, overwrite)

    def writers(
        self,
        *,
        cloud: bool = False,
        png_scale: float = 1000.0,
        ply_frame: str = "optical",
        controlnet: bool = False,
    ) -> dict[str, Callable[[Path], object]]:
        """What writes the depth and the cloud to a path, by the ending of the file.

        Args:
            cloud: Whether to write the cloud, where there are metres.
            png_scale: As for `save`.
            ply_frame: As for `save`.
            controlnet: As for `save`.

        Returns:
            Functions for `_depth.npy`, `_depth.png`, `_sigma.npy` (metres), `_cloud.ply` and
            `_controlnet.png`.
        """
        writers: dict[str, Callable[[Path], object]] = {
            "_depth.npy": partial(write_npy, values=self.values)
        }
        if self.metres:
            writers["_depth.png"] = partial(
                write_metric_png, depth_m=self.values, png_scale=png_scale
            )
        else:
            writers["_depth.png"] = partial(write_relative_png, disparity=self._nearness)
        if self.metres and self.sigma_m is not None:
            writers["_sigma.npy"] = partial(write_npy, values=self.sigma_m)
        if controlnet:
            writers["_controlnet.png"] = partial(
                write_image, rgb=preview.conditioning_image(self._nearness)
            )
        if cloud and self.depth_m is not None:
            writers["_cloud.ply"] = partial(self.cloud().save, frame=ply_frame)
        return writers

    def beyond_png(self, png_scale: float = 1000.0) -> int:
        """How many known pixels lie beyond what a 16-bit PNG of this scale holds."""
        if not self.metres:
            return 0
        far = np.isfinite(self.values) & (self.values > farthest_of_png(png_scale))
        return int(np.count_nonzero(far))

    @property
    def _nearness(self) -> FloatImage:
        """Relative values so that larger is nearer; the sky is unknown."""
        prediction = self.prediction
        if prediction.kind.inverse:
            return prediction.values
        nearness = 1 / np.maximum(prediction.values, np.float32(1e-6))
        if prediction.sky is not None:
            nearness[prediction.sky] = np.nan
        return nearness

    def _picture(
        self, grayscale: bool, image_beside: bool, limits: tuple[float, float] | None
    ) -> RgbImage:
        fixed = None if limits is None else preview.ColorRange.of_metres(*limits)
        painter = preview.DepthColors(grayscale, fixed=fixed)
        picture = self.preview(colors=painter)
        if not image_beside:
            return picture
        return preview.side_by_side(self.frame.rgb, picture, painter.legend())


class Model:
    """A network ready to run, and its scaler settings.

    Pictures are independent of each other: `model(picture)` gives the same whatever came before.
    For a sequence `stream` keeps the scale steady from picture to picture.
    """

    def __init__(
        self, loaded: LoadedModel, scaler: ScalerSettings, limits: DepthLimits | None = None
    ) -> None:
        """Take a network that is loaded; `load` does both.

        Args:
            loaded: The network.
            scaler: Settings of the scaler.
            limits: Which depths are given out.

        Raises:
            SettingError: The scaler does not fit the network.
        """
        self._loaded = loaded
        self._settings = scaler
        self._limits = limits or DepthLimits()
        make_scaler(scaler, loaded.info)  # refuses what does not fit before the first picture

    @property
    def estimator(self) -> DepthEstimator:
        """The network itself: pictures in, predictions out, without a way to metres."""
        return self._loaded.estimator

    @property
    def info(self) -> ModelInfo:
        """What is known about the network: name, kind, licence, sizes."""
        return self._loaded.info

    @property
    def kind(self) -> PredictionKind:
        """What the numbers of the network are."""
        return self._loaded.estimator.kind

    @property
    def needs_confidence(self) -> bool:
        """Whether the limits are about confidence, which must then be asked for."""
        return self._limits.min_confidence > 0

    @property
    def description(self) -> dict[str, str]:
        """Model, kind, licence, backend, device and precision, by name."""
        return self._loaded.description()

    @property
    def is_metric(self) -> bool:
        """Whether the network itself gives metres, with the camera's focal length or without."""
        return self._loaded.estimator.kind.metric or self.info.canonical_focal is not None

    @overload
    def __call__(
        self,
        pictures: Picture,
        *,
        camera: CameraLike | None = None,
        points: SparsePoints | str | os.PathLike[str] | None = None,
        ground: Plane | None = None,
        confidence: bool = False,
    ) -> DepthFrame: ...

    @overload
    def __call__(
        self,
        pictures: list[PictureT] | tuple[PictureT, ...],
        *,
        camera: CameraLike | None = None,
        points: Sequence[SparsePoints | str | os.PathLike[str] | None] | None = None,
        ground: Plane | None = None,
        confidence: bool = False,
    ) -> list[DepthFrame]: ...

    def __call__(
        self,
        pictures: Any,
        *,
        camera: CameraLike | None = None,
        points: Any = None,
        ground: Plane | None = None,
        confidence: bool = False,
    ) -> DepthFrame | list[DepthFrame]:
        """Estimate the depth of a picture, or of several that have nothing to do with each other.

        Args:
            pictures: A picture, or a list of them, which go through the network together.
            camera: The camera of the pictures.
            points: Measured depths in the picture, or the file of them; a list for a list.
            ground: The ground plane in the optical frame.
            confidence: Whether to ask the network about views of the picture, too, and give
                `confidence`; takes two to three times as long.

        Returns:
            The depth, or a list of depths.

        Raises:
            InputError: A picture, camera or points cannot be used.
        """
        if isinstance(pictures, (list, tuple)):
            many = [None] * len(pictures) if points is None else list(points)
            if len(many) != len(pictures):
                raise InputError(f"{len(pictures)} pictures come with {len(many)} lists of points")
            made = [
                as_frame(picture, camera, each, ground)
                for picture, each in zip(pictures, many, strict=True)
            ]
            return self._process(made, [self._scaling() for _ in made], confidence)
        frame = as_frame(pictures, camera, points, ground)
        return self._process([frame], [self._scaling()], confidence)[0]

    def stream(
        self,
        pictures: Iterable[Picture] | str | os.PathLike[str],
        *,
        camera: CameraLike | None = None,
        ground: Plane | None = None,
        confidence: bool = False,
        rate: float = 30.0,
    ) -> Iterator[DepthFrame]:
        """Estimate the depth of pictures of one camera that follow each other.

        The scale of one picture is kept for the next ones and followed over time; with the setting
        `temporal_filter` depth itself is steadied, too. A network with
        a window sees keyframes with each picture, where the pictures are frames with poses, and one
        for videos looks back at the pictures before.

        Args:
            pictures: A video, a rosbag2 recording, "webcam:0", or any iterable of pictures.
            camera: The camera; a recording brings its own.
            ground: The ground plane in the optical frame.
            confidence: As for a single picture.
            rate: Pictures per second where they have no time of their own.

        Yields:
            One depth per picture, in order.

        Raises:
            InputError: A picture or the file cannot be used.
        """
        scaling = self._scaling()
        steady = TemporalFilter() if self._settings.temporal_filter else None
        context = context_of(self.estimator)
        for number, picture in enumerate(_sequence(pictures)):
            frame = as_frame(picture, camera, None, ground)
            if not isinstance(picture, Frame):
                frame = replace(frame, stamp=round(number * 1e9 / rate))
            if context is not None:
                frame = context.complete(frame)
            yield self._process([frame], [scaling], confidence, steady)[0]

    def _scaling(self) -> tuple[MetricScaler, GroundFusion | None]:
        """What gives one camera's frames metres."""
        scaler = make_scaler(self._settings, self._loaded.info)
        return scaler, GroundFusion() if self._settings.ground_fusion else None

    def _process(
        self,
        made: list[Frame],
        scaling: list[tuple[MetricScaler, GroundFusion | None]],
        confidence: bool,
        steady: TemporalFilter | None = None,
    ) -> list[DepthFrame]:
        estimator = self._loaded.estimator
        views = ZOOMS if estimator.kind.metric else FLIP
        requests = [
            DepthRequest(frame, scaler, self._limits, confidence, ground_fusion, steady)
            for frame, (scaler, ground_fusion) in zip(made, scaling, strict=True)
        ]
        answers = process_batch(estimator, requests, ConfidenceSources(views=views))
        description = {**self.description, "max_depth": self.info.max_depth}
        return [
            DepthFrame(
                **{field.name: getattr(answer, field.name) for field in fields(answer)},
                metres=self._wants_metres(answer.frame),
                model=description,
            )
            for answer in answers
        ]

    def _wants_metres(self, frame: Frame) -> bool:
        """Whether the network gives metres or anything was given to make them of."""
        settings = self._settings
        if self.is_metric or settings.scaler not in ("auto", "none"):
            return True
        return settings.scaler == "auto" and bool(
            frame.points is not None
            or frame.ground is not None
            or (self.info.window > 1 and frame.pose is not None)
            or settings.scale > 0
            or settings.scale_file is not None
            or settings.baseline > 0
        )


def load(
    model: str | os.PathLike[str] | ModelSettings = "auto",
    *,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    input_size: int = 0,
    scaler: str | ScalerSettings = "auto",
    limits: DepthLimits | None = None,
) -> Model:
    """Get a network ready to run.

    Args:
        model: Catalogue name, Hugging Face id, path of a .pth, .safetensors or .onnx file,
            "embedded" or "auto"; or all settings at once.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "fp16", "bf16" or "int8".
        backend: "auto" or the name of a backend.
        input_size: Shorter side of the picture as the network sees it; 0 takes the model's own.
        scaler: Source of metres: "auto" takes the best that what comes with a picture allows,
            "none" leaves the network's values; or all settings at once.
        limits: Which depths are given out: range, confidence, a mask of the robot's own parts.

    Returns:
        The network.

    Raises:
        CheckpointError: The model cannot be found or used.
        SettingError: A setting cannot be used here.
        MissingExtraError: A library is not installed.
    """
    settings = (
        model
        if isinstance(model, ModelSettings)
        else ModelSettings(os.fspath(model), device, precision, input_size, backend=backend)
    )
    way = scaler if isinstance(scaler, ScalerSettings) else ScalerSettings(scaler=scaler)
    return Model(make_estimator(settings), way, limits)


def as_frame(
    picture: Any,
    camera: CameraLike | None = None,
    points: SparsePoints | str | os.PathLike[str] | None = None,
    ground: Plane | None = None,
) -> Frame:
    """Make a frame of a picture and what is known about it.

    Args:
        picture: As `Picture`.
        camera: The camera, which is fitted to the picture's size.
        points: Measured depths in the picture, or the file of them.
        ground: The ground plane in the optical frame.

    Returns:
        The frame; what a `Frame` brings itself stays where nothing else is given.

    Raises:
        InputError: It is no picture, or camera or points do not fit it.
    """
    frame = picture if isinstance(picture, Frame) else Frame(_pixels(picture))
    check_image(frame.rgb)
    height, width = frame.rgb.shape[:2]
    if camera is not None:
        frame = replace(frame, camera=_camera(camera, width, height))
    if points is not None:
        frame = replace(frame, points=_points(points, frame))
    return frame if ground is None else replace(frame, ground=ground)


def _pixels(picture: Any) -> RgbImage:
    if isinstance(picture, (str, os.PathLike)):
        return read_image(Path(picture))
    if isinstance(picture, np.ndarray):
        return picture
    if type(picture).__module__.partition(".")[0] == "PIL":
        from PIL import ImageOps

        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"), np.uint8)
    raise InputError(
        f"a picture of type {type(picture).__name__} cannot be used; give HxWx3 uint8 RGB (NumPy), "
        "a PIL image, the path of a file, or a list of these"
    )


def _camera(camera: CameraLike, width: int, height: int) -> Camera | None:
    if isinstance(camera, (str, os.PathLike)):
        camera = read_camera(Path(camera))
    if isinstance(camera, Camera):
        return camera.fitted(width, height)
    if callable(camera):
        return camera(width, height)
    raise InputError(
        f"a camera of type {type(camera).__name__} cannot be used; give a Camera "
        "(Camera.from_hfov(width, height, degrees)) or a camera_info YAML"
    )


def _points(points: Any, frame: Frame) -> SparsePoints:
    if isinstance(points, (str, os.PathLike)):
        return points_of_file(Path(points), frame.camera)
    if not isinstance(points, SparsePoints):
        raise InputError(
            f"points of type {type(points).__name__} cannot be used; give SparsePoints(u, v, z) or "
            f"a file ({', '.join(POINT_SUFFIXES)})"
        )
    try:
        u, v, z = (np.asarray(each, np.float64).ravel() for each in (points.u, points.v, points.z))
    except (TypeError, ValueError) as error:
        raise InputError(f"points hold something that is not a number: {error}") from error
    if not len(u) == len(v) == len(z):
        raise InputError(f"points have {len(u)} u, {len(v)} v and {len(z)} z; they must match")
    return SparsePoints(u, v, z, points.source)


def points_of_file(
    path: Path, camera: Camera | None, extrinsics: npt.NDArray[np.float64] | None = None
) -> SparsePoints:
    """Read the measured points of a picture.

    Args:
        path: A .npz or .csv file, as `formats.point_files.read_points` takes it.
        camera: The camera of the picture; needed for points in space.
        extrinsics: 4x4 float64, sensor -> optical frame, in place of the file's.

    Returns:
        The points in the picture.

    Raises:
        InputError: The file cannot be read.
        SettingError: Points in space come without camera or extrinsics.
    """
    found = read_points(path)
    if found.uvz is not None:
        return SparsePoints(*found.uvz.T)
    assert found.xyz is not None
    if camera is None:
        raise SettingError("points in x y z need --camera, --intrinsics or --hfov (camera=)")
    to_camera = found.extrinsics if extrinsics is None else extrinsics_of(extrinsics, "extrinsics")
    if to_camera is None:
        raise SettingError(
            "points in x y z need --extrinsics; for points in the camera's optical frame (x "
            "right, y down, z forward) give '0 0 0 0 0 0 1'"
        )
    in_camera = hits(found.xyz) @ to_camera[:3, :3].T + to_camera[:3, 3]
    points = SparsePoints(*project(camera, in_camera))
    if len(in_camera) and not len(points):
        behind = int(np.count_nonzero(in_camera[:, 2] <= 0))
        logger.warning(
            "none of the %d points of %s lies in the image, %d are behind the camera; the optical "
            "frame is x right, y down, z forward: check the extrinsics",
            len(in_camera),
            path.name,
            behind,
        )
    return points


def _sequence(pictures: Any) -> Iterable[Any]:
    if not isinstance(pictures, (str, os.PathLike)):
        return pictures
    from depth_anything_ros.formats.inputs import find_inputs, read_input

    inputs = find_inputs([os.fspath(pictures)])
    return (item.frame for each in inputs for item in read_input(each))


def _range(values: FloatImage) -> list[float]:
    known = values[np.isfinite(values)]
    return [float(known.min()), float(known.max())] if known.size else [0.0, 0.0]
