"""From a recording to the YAML files the node loads: the work behind `depth_anything calibrate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import yaml

from depth_anything_ros.cli.support.terminal import STDERR, STDOUT, warn
from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.bags import (
    CAMERA_INFO_TYPE,
    IMAGE_TYPES,
    POINT_CLOUD_TYPE,
    Bag,
    Transform,
    camera_of,
    image_of,
    points_of,
)
from depth_anything_ros.formats.recorded_points import chained, pair_by_stamp, static_transforms
from depth_anything_ros.frames import Prediction, RgbImage, SparsePoints
from depth_anything_ros.geometry.camera import Camera, project
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.metric.apply import to_metres
from depth_anything_ros.metric.camera_mount import CameraMount, find_ground, mount_over
from depth_anything_ros.metric.fit import FitSettings, UnmeasurableError, values_at
from depth_anything_ros.metric.pooled_scale import pooled_scale
from depth_anything_ros.metric.scale_file import save_scale
from depth_anything_ros.metric.source import Measurement
from depth_anything_ros.metric.sources.sparse import measure_points

GROUND_RANGE_M = 25.0
"""How far ahead the ground is looked for: dense in a LiDAR's scan and still level (own choice)."""

Matrix = npt.NDArray[np.float64]
Moment = TypeVar("Moment")
Found = TypeVar("Found")


class Recording:
    """A recording of camera and LiDAR, its points in the camera's optical frame.

    Args:
        bag: The open recording.
        image_topic: Topic of the images; None takes the only one.
        camera_info_topic: Topic of the calibration; None takes the one beside the images, else the
            only one.
        points_topic: Topic of the clouds; None takes the only one.
        extrinsics: 4x4 float64, LiDAR -> optical frame; None takes the recording's /tf_static.
        every: Each n-th cloud is used.

    Raises:
        InputError: The recording has no such clouds.
    """

    def __init__(
        self,
        bag: Bag,
        image_topic: str | None = None,
        camera_info_topic: str | None = None,
        points_topic: str | None = None,
        extrinsics: Matrix | None = None,
        every: int = 1,
    ) -> None:
        self._bag = bag
        self._image_topic = image_topic
        self._camera_info_topic = camera_info_topic
        self._clouds = self._topic(points_topic, (POINT_CLOUD_TYPE,), "--points-topic")
        self._extrinsics = extrinsics
        self._every = every

    def views(self) -> Iterator[tuple[RgbImage, SparsePoints]]:
        """Read the images that were taken together with a cloud.

        Yields:
            The image and the points in it.

        Raises:
            InputError: A topic is missing or cannot be read, or image and calibration differ.
        """
        camera, _ = self._calibration
        images, clouds = self._images, self._clouds
        for image, cloud in self._some(pair_by_stamp(self._bag.messages({images, clouds}), images)):
            rgb = image_of(image)
            if rgb.shape[:2] != (camera.height, camera.width):
                raise InputError(
                    f"{images} is {rgb.shape[1]}x{rgb.shape[0]} but its camera_info is for "
                    f"{camera.width}x{camera.height}; choose another --camera-info-topic"
                )
            yield rgb, SparsePoints(*project(camera, self._in_camera(cloud)), clouds)

    def scans(self) -> Iterator[Matrix]:
        """Read the clouds.

        Yields:
            Nx3 metres in the optical frame.

        Raises:
            InputError: A topic is missing or cannot be read, or it is unknown where the LiDAR is.
        """
        for message in self._some(self._bag.messages([self._clouds])):
            yield self._in_camera(message.content)

    def _some(self, items: Iterable[Moment]) -> Iterator[Moment]:
        """Each n-th of some items, counted on the terminal."""
        with STDERR.status("reading") as status:
            for number, item in enumerate(items):
                if number % self._every == 0:
                    status.update(f"cloud {number + 1}")
                    yield item

    def _in_camera(self, cloud: Any) -> Matrix:
        matrix = self._extrinsics
        if matrix is None:
            _, optical_frame = self._calibration
            matrix = chained(self._transforms, optical_frame, cloud.header.frame_id)
        return points_of(cloud) @ matrix[:3, :3].T + matrix[:3, 3]

    @cached_property
    def _images(self) -> str:
        return self._topic(self._image_topic, IMAGE_TYPES, "--image-topic")

    @cached_property
    def _transforms(self) -> list[Transform]:
        return static_transforms(self._bag)

    @cached_property
    def _calibration(self) -> tuple[Camera, str]:
        """The camera and the name of its optical frame."""
        given, types = self._camera_info_topic, (CAMERA_INFO_TYPE,)
        if given is None and len(self._bag.topics_of(*types)) > 1:
            namespace = self._images.removesuffix("/compressed").rsplit("/", 1)[0]
            given = f"{namespace}/camera_info"
        topic = self._topic(given, types, "--camera-info-topic")
        for message in self._bag.messages([topic]):
            return camera_of(message.content), message.content.header.frame_id
        raise InputError(f"{topic} holds no message")

    def _topic(self, given: str | None, types: tuple[str, ...], option: str) -> str:
        """The topic the user names, or the only one of its type."""
        found = self._bag.topics_of(*types)
        if given is None and len(found) == 1:
            return found[0]
        if given in found:
            return given
        kinds = " or ".join(kind.rsplit("/", 1)[-1] for kind in types)
        raise InputError(
            f"{option} must name one topic of type {kinds}; the recording has "
            f"{', '.join(found) or 'none'}"
        )


def calibrate_scale(
    recording: Recording, loaded: LoadedModel, fit: FitSettings, output: Path
) -> None:
    """Write the scale and shift that a recording's points give a network.

    Args:
        recording: Images with points in them.
        loaded: The network.
        fit: How scale and shift are fitted in each frame.
        output: The scale file, for scaler fixed.

    Raises:
        InputError: The recording cannot be read or gives no scale, or the file cannot be written.
    """
    kind = loaded.estimator.kind
    values: list[Matrix] = []

    def measure(view: tuple[RgbImage, SparsePoints]) -> Measurement:
        rgb, points = view
        (prediction,) = loaded.estimator.estimate([rgb])
        found = measure_points(prediction, points, fit, "sparse")
        assert found.points is not None
        values.append(values_at(prediction.values, found.points))
        return found

    measured, frames = _each(recording.views(), measure, "scale")
    low, high = np.median([np.percentile(part, (10, 90)) for part in values], axis=0)
    pooled = pooled_scale(measured, (float(low), float(high)), kind)
    save_scale(pooled, output)

    seen = np.concatenate(values).astype(np.float32)[None]
    depth = to_metres(Prediction(seen, kind, (1, 1)), pooled.scale, pooled.shift)[0]
    truth = np.concatenate([each.points.z for each in measured if each.points is not None])
    off = float(np.nanmedian(np.abs(depth / truth - 1)))
    _say(
        f"{output}: scale {pooled.scale:.6g}, shift {pooled.shift:.6g} for "
        f"{loaded.info.name} from {len(measured)} of {frames} frames; half of their points are "
        f"within {off:.1%}. Node parameters: scaler fixed, scale_file {output}"
    )


def calibrate_ground(recording: Recording, output: Path) -> None:
    """Write how the camera stands over the ground that a recording's LiDAR sees.

    Args:
        recording: Clouds, and where the camera is.
        output: The node's parameter file, for scaler ground_plane.

    Raises:
        InputError: The recording cannot be read or shows no ground, or the file cannot be written.
    """

    def mount(points: Matrix) -> CameraMount:
        ahead = (points[:, 2] > 0) & (points[:, 2] < GROUND_RANGE_M)
        return mount_over(find_ground(points[ahead]))

    mounts, frames = _each(recording.scans(), mount, "ground")
    numbers = [(each.height, each.pitch_deg, each.roll_deg) for each in mounts]
    height, pitch, roll = (float(value) for value in np.median(numbers, axis=0))
    height_span, pitch_span, roll_span = np.ptp(numbers, axis=0)
    parameters = {
        "scaler": "ground_plane",
        "camera_height": round(height, 4),
        "camera_pitch_deg": round(pitch, 3),
        "camera_roll_deg": round(roll, 3),
    }
    _write_parameters(parameters, output)
    _say(
        f"{output}: height {height:.3f} m, pitch {pitch:.2f} and roll {roll:.2f} degrees from "
        f"{len(mounts)} of {frames} clouds, among which they differ by up to {height_span:.3f} m, "
        f"{pitch_span:.2f} and {roll_span:.2f} degrees. The node takes it as --params-file"
    )


def _each(
    moments: Iterable[Moment], measure: Callable[[Moment], Found], what: str
) -> tuple[list[Found], int]:
    """What is measured in each moment of a recording that gives something, and their number."""
    found, frames, reason = [], 0, "no image and cloud lie near each other in time"
    for moment in moments:
        frames += 1
        try:
            found.append(measure(moment))
        except UnmeasurableError as error:
            reason = str(error)
    if not found:
        raise InputError(f"no {what} was found in {frames} moments of the recording: {reason}")
    if len(found) < frames:
        warn(f"no {what} in {frames - len(found)} of {frames} moments, at last because: {reason}")
    return found, frames


def _write_parameters(parameters: dict[str, Any], path: Path) -> None:
    """Write a ROS 2 parameter file for any node name and namespace."""
    text = yaml.safe_dump({"/**": {"ros__parameters": parameters}}, sort_keys=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the parameters {path}: {error.strerror}") from error


def _say(text: str) -> None:
    STDOUT.print(text, markup=False, soft_wrap=True)
