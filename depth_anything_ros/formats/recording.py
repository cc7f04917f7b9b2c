"""A recording of a robot's camera: which topics it is made of, and its frames with LiDAR points.

Topics are chosen by what they hold. Everything that reads recordings (`run`, `calibrate`, `train`,
`image_player`) chooses them here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.bags import (
    CAMERA_INFO_TYPE,
    IMAGE_TYPES,
    POINT_CLOUD_TYPE,
    TRANSFORM_TYPE,
    Bag,
    BagMessage,
    Transform,
    logger,
    points_of,
    stamp_of,
)
from depth_anything_ros.formats.encodings import DEPTH_ENCODINGS
from depth_anything_ros.formats.point_cloud2 import hits
from depth_anything_ros.frames import Frame, RgbImage, SparsePoints
from depth_anything_ros.geometry.camera import Camera, project

SLOP = 0.1
"""Seconds between an image and a cloud that go together, at most; the node's `points_slop`."""

_IMAGES_KEPT = 20

_NOT_COLOUR = frozenset(
    ("depth", "disparity", "ir", "infra", "infra1", "infra2", "infrared", "thermal", "mask")
) | {"label", "labels", "segmentation", "semantic", "confidence", "annotated", "heatmap", "debug"}
"""Parts of names of image topics that are not a camera's picture."""

_TRANSPORTS = ("compressed", "theora", "ffmpeg", "zstd", "compressedDepth")
"""Endings of topics of image_transport's plugins."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Topics:
    """The topics of a recording that the user names; empty ones are chosen.

    Attributes:
        image: Images; chosen by what they hold.
        camera_info: Their calibration; the one beside the images.
        points: LiDAR; the only one with x, y and z.
    """

    image: str = ""
    camera_info: str = ""
    points: str = ""


class Recording:
    """A camera of a recording, with its calibration, LiDAR and static transforms.

    Args:
        path: As `Bag` takes it.
        topics: The topics that the user names.
        extrinsics: 4x4 float64, LiDAR -> optical frame; None takes the recording's /tf_static.
        slop: Seconds between an image and a cloud that go together, at most.
        report: Called with what is chosen, passed over and odd; by default logged.

    Raises:
        InputError: The recording cannot be read.
        MissingExtraError: `rosbags` is not installed.
    """

    def __init__(
        self,
        path: Path,
        topics: Topics | None = None,
        extrinsics: Matrix | None = None,
        slop: float = SLOP,
        report: Callable[[str], None] = logger.warning,
    ) -> None:
        self.bag = Bag(path, report)
        self._path = path
        self._given = topics or Topics()
        self._report = report
        self._extrinsics = extrinsics
        self._slop = slop

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bag.close()

    @cached_property
    def image_topic(self) -> str:
        """Topic of the images.

        Raises:
            InputError: There is none, or several are as good as each other.
        """
        return choose_image_topic(self.bag, self._given.image)

    @cached_property
    def camera_info_topic(self) -> str | None:
        """Topic of the images' calibration, None where the recording has none.

        Raises:
            InputError: The one that was named is not there.
        """
        return choose_camera_info_topic(self.bag, self.image_topic, self._given.camera_info)

    @cached_property
    def points_topic(self) -> str | None:
        """Topic of the LiDAR, None where the recording has none.

        Raises:
            InputError: The one that was named is not there, or there are several.
        """
        found = point_topics(self.bag)
        if self._given.points:
            _check_topic(self.bag, self._given.points, (POINT_CLOUD_TYPE,))
            return self._given.points
        if len(found) > 1:
            raise InputError(
                f"{self._path} has several topics of points: {', '.join(found)}; name one "
                "(points_topic, --points-topic)"
            )
        return found[0] if found else None

    @cached_property
    def camera(self) -> Camera | None:
        """The camera of the images, None where the recording has no usable calibration."""
        return self._calibration[0]

    @cached_property
    def optical_frame(self) -> str:
        """Frame of the images, as their calibration names it."""
        return self._calibration[1]

    @cached_property
    def _calibration(self) -> tuple[Camera | None, str]:
        if self.camera_info_topic is not None:
            for value in self.bag.values([self.camera_info_topic]):
                camera: Camera = value.value
                return camera_of_topic(camera, self.image_topic), value.frame_id
        for message in self.bag.messages([self.image_topic]):
            return None, message.content.header.frame_id.lstrip("/")
        return None, ""

    @cached_property
    def transforms(self) -> list[Transform]:
        """The static transforms."""
        return static_transforms(self.bag)

    def frames(self) -> Iterator[Frame]:
        """Read all images with what was measured around them.

        Yields:
            Image, camera and, where the LiDAR's place is known, the points of the cloud whose
            nearest image it is.

        Raises:
            InputError: The topic of the images cannot be chosen.
        """
        points_topic = self._usable_points_topic()
        topics = {self.image_topic, points_topic or self.image_topic}
        pictures = _with_clouds(self.bag.messages(topics), self.image_topic, self._slop)
        for message, cloud in pictures:
            picture = self.bag.decoded(message)
            if picture is None:
                continue
            rgb: RgbImage = picture.value
            try:
                camera = self._camera_of(rgb)
            except InputError as error:
                self.bag.skip(message.topic, message.index, str(error))
                continue
            points = None
            if cloud is not None and camera is not None:
                points = self._points_in(camera, cloud, picture.stamp)
            yield Frame(rgb, picture.stamp, picture.frame_id, camera, points)

    def pairs(self) -> Iterator[tuple[RgbImage, SparsePoints]]:
        """Read for every cloud the image nearest in time.

        Yields:
            HxWx3 uint8 RGB and the points in it.

        Raises:
            InputError: A topic cannot be chosen, or it is unknown where the LiDAR is.
        """
        images, clouds = self.image_topic, self._needed_points_topic()
        if self.camera is None:
            raise InputError(f"{self._path} has no camera_info that can be used for {images}")
        stamps: dict[bool, list[int]] = {True: [], False: []}

        def seen() -> Iterator[BagMessage]:
            for message in self.bag.messages({images, clouds}):
                stamps[message.topic == images].append(_stamp(message))
                yield message

        found = False
        for message, cloud in pair_by_stamp(seen(), images, self._slop):
            found = True
            picture = self.bag.decoded(message)
            if picture is None:
                continue
            try:
                camera = self._camera_of(picture.value)
            except InputError as error:
                self.bag.skip(message.topic, message.index, str(error))
                continue
            points = None
            if camera is not None:
                points = self._points_in(camera, cloud, picture.stamp)
            if points is not None:
                yield picture.value, points
        if not found:
            raise InputError(_why_no_pairs(images, clouds, stamps[True], stamps[False], self._slop))

    def scans(self) -> Iterator[Matrix]:
        """Read the clouds.

        Yields:
            Nx3 metres in the optical frame.

        Raises:
            InputError: A topic cannot be chosen, or it is unknown where the LiDAR is.
        """
        for message in self.bag.messages([self._needed_points_topic()]):
            points = self._in_camera(message)
            if points is not None:
                yield points

    def points_pose(self) -> tuple[str, Matrix]:
        """Where the LiDAR stands.

        Returns:
            Its frame, and 4x4 float64 from it into the optical frame.

        Raises:
            InputError: It is unknown, or there is no LiDAR.
        """
        for message in self.bag.messages([self._needed_points_topic()]):
            frame = message.content.header.frame_id.lstrip("/")
            if self._extrinsics is not None:
                return frame, self._extrinsics
            return frame, chained(self.transforms, self.optical_frame, frame)
        raise InputError(f"{self._path} has no cloud on {self.points_topic}")

    def _usable_points_topic(self) -> str | None:
        """Topic of the LiDAR where its points can be brought into the image, else None."""
        try:
            topic = self.points_topic if self.camera is not None else None
            if topic is not None and self._extrinsics is None:
                for message in self.bag.messages([topic]):
                    frame = message.content.header.frame_id
                    chained(self.transforms, self.optical_frame, frame)
                    break
        except InputError as error:
            self._report(f"{self._path}: LiDAR points are not used: {error}")
            return None
        return topic

    def _needed_points_topic(self) -> str:
        if self.points_topic is None:
            raise InputError(f"{self._path} has no topic of type PointCloud2 with x, y and z")
        return self.points_topic

    def _camera_of(self, rgb: RgbImage) -> Camera | None:
        return self.camera.fitted(rgb.shape[1], rgb.shape[0]) if self.camera is not None else None

    def _points_in(self, camera: Camera, cloud: BagMessage, image: int) -> SparsePoints | None:
        """The points of a cloud in an image of this stamp."""
        points = self._in_camera(cloud)
        if points is None:
            return None
        apart = (_stamp(cloud) - image) * 1e-9
        return SparsePoints(*project(camera, points), cloud.topic, apart=apart)

    def _in_camera(self, cloud: BagMessage) -> Matrix | None:
        """The points of a cloud in the optical frame, None where it cannot be read."""
        matrix = self._extrinsics
        if matrix is None:
            matrix = chained(self.transforms, self.optical_frame, cloud.content.header.frame_id)
        try:
            points = hits(points_of(cloud.content))
        except InputError as error:
            self.bag.skip(cloud.topic, cloud.index, str(error))
            return None
        return points @ matrix[:3, :3].T + matrix[:3, 3]


def choose_image_topic(bag: Bag, given: str = "") -> str:
    """The topic of a recording's pictures.

    Of a picture and its compressed twin the picture is taken; depth, infrared, masks and the like
    are recognised by their encodings and names.

    Args:
        bag: The recording.
        given: The topic the user names, or empty.

    Returns:
        The topic.

    Raises:
        InputError: There is none, or several are as good as each other.
    """
    found = bag.topics_of(*IMAGE_TYPES)
    if given:
        _check_topic(bag, given, IMAGE_TYPES)
        return given
    pictures = [topic for topic in found if _is_colour(bag, topic)]
    twins = {base: topic for topic in reversed(pictures) for base in [transport_base(topic)]}
    cameras = list(twins.values())
    calibrated = [
        topic for topic in cameras if camera_info_beside(topic) in bag.topics_of(CAMERA_INFO_TYPE)
    ]
    best = calibrated or cameras
    if len(best) == 1:
        return best[0]
    if best:
        raise InputError(
            f"there are several cameras: {', '.join(sorted(best))}; name one of these topics "
            "(image_topic, --image-topic)"
        )
    raise InputError(
        f"there is no topic of pictures; of type Image or CompressedImage are "
        f"{', '.join(found) or 'none'}" + ("; name one (image_topic, --image-topic)" * bool(found))
    )


def choose_camera_info_topic(bag: Bag, image_topic: str, given: str = "") -> str | None:
    """The topic of the calibration of some images.

    Args:
        bag: The recording.
        image_topic: Topic of the images.
        given: The topic the user names, or empty.

    Returns:
        The one beside the images, else the only one; None where there is none.

    Raises:
        InputError: The one that was named is not there, or none of several is beside the images.
    """
    if given:
        _check_topic(bag, given, (CAMERA_INFO_TYPE,))
        return given
    found = bag.topics_of(CAMERA_INFO_TYPE)
    beside = camera_info_beside(image_topic)
    if beside in found:
        return beside
    if len(found) > 1:
        raise InputError(
            f"{image_topic} has no {beside}; name its calibration (--camera-info-topic): "
            f"{', '.join(found)}"
        )
    return found[0] if found else None


def point_topics(bag: Bag) -> list[str]:
    """The topics of point clouds with x, y and z.

    Args:
        bag: The recording.

    Returns:
        Their names; a topic whose clouds are all empty is among them.
    """
    return [topic for topic in bag.topics_of(POINT_CLOUD_TYPE) if _has_xyz(bag, topic)]


def transport_base(topic: str) -> str:
    """The topic that image_transport's plugins carry: /camera/image_raw of its compressed one."""
    head, _, last = topic.rpartition("/")
    return head if last in _TRANSPORTS and head else topic


def camera_info_beside(image_topic: str) -> str:
    """Where image_transport looks for the calibration of images: `camera_info` beside them."""
    return transport_base(image_topic).rpartition("/")[0] + "/camera_info"


def camera_of_topic(camera: Camera, image_topic: str) -> Camera:
    """The camera of a topic's images: image_rect and the like are rectified already.

    Args:
        camera: The calibration beside them, of the picture as taken.
        image_topic: Topic of the images.

    Returns:
        The camera, that of P without distortion where the images are rectified.
    """
    name = transport_base(image_topic).rpartition("/")[2]
    return camera.rectified() if name.startswith("image_rect") else camera


def _is_colour(bag: Bag, topic: str) -> bool:
    """Whether a topic of images holds pictures rather than depth, infrared or masks."""
    words = topic.lower().replace("_", "/").split("/")
    if _NOT_COLOUR.intersection(words):
        return False
    for message in bag.messages([topic]):
        content = message.content
        if hasattr(content, "format"):
            return "compresseddepth" not in content.format.lower()
        return content.encoding not in DEPTH_ENCODINGS or content.encoding == "mono16"
    return True


def _has_xyz(bag: Bag, topic: str) -> bool:
    for message in bag.messages([topic]):
        names = {field.name for field in message.content.fields}
        if names:
            return {"x", "y", "z"} <= names
    return True


def _check_topic(bag: Bag, topic: str, types: Sequence[str]) -> None:
    found = bag.topics_of(*types)
    if topic not in found:
        kinds = " or ".join(kind.rsplit("/", 1)[-1] for kind in types)
        raise InputError(
            f"the recording has no topic {topic} of type {kinds}; it has "
            f"{', '.join(found) or 'none'}"
        )


def static_transforms(bag: Bag) -> list[Transform]:
    """The transforms of a recording that never change.

    Args:
        bag: The recording.

    Returns:
        The newest transform of every child frame on its /tf_static topics, as tf2 takes it.
    """
    topics = [
        topic for topic in bag.topics_of(TRANSFORM_TYPE) if topic.rsplit("/", 1)[-1] == "tf_static"
    ]
    newest = {item.child: item for value in bag.values(topics) for item in value.value}
    return list(newest.values())


def moving_transforms(bag: Bag) -> list[str]:
    """Names of the topics of a recording that say where moving frames are.

    Args:
        bag: The recording.
    """
    return [topic for topic in bag.topics_of(TRANSFORM_TYPE) if topic.rsplit("/", 1)[-1] == "tf"]


def chained(transforms: Sequence[Transform], target: str, source: str) -> npt.NDArray[np.float64]:
    """The transform between two frames of a tree.

    Args:
        transforms: The tree's edges, in any order.
        target: Frame of the result.
        source: Frame the points are in.

    Returns:
        4x4 float64, source -> target.

    Raises:
        InputError: The frames are not connected.
    """
    target, source = target.lstrip("/"), source.lstrip("/")
    reached = {source: np.eye(4)}
    waiting = deque([source])
    while waiting and target not in reached:
        frame = waiting.popleft()
        for edge in transforms:
            for start, end, step in (
                (edge.child, edge.parent, edge.matrix),
                (edge.parent, edge.child, np.linalg.inv(edge.matrix)),
            ):
                if start == frame and end not in reached:
                    reached[end] = step @ reached[frame]
                    waiting.append(end)
    if target not in reached:
        raise InputError(
            f"/tf_static of the recording does not connect '{source}' with '{target}'; give "
            "the extrinsics"
        )
    return reached[target]


def pair_by_stamp(
    messages: Iterable[BagMessage], image_topic: str, slop: float = SLOP
) -> Iterator[tuple[BagMessage, BagMessage]]:
    """Find for every cloud the image nearest in time, by the stamps of their headers.

    Args:
        messages: Images and clouds in the order of recording.
        image_topic: Topic of the images; all others are clouds.
        slop: Seconds the two may be apart.

    Yields:
        Message of the image and of the cloud.
    """
    images: deque[BagMessage] = deque(maxlen=_IMAGES_KEPT)
    clouds: deque[BagMessage] = deque(maxlen=_IMAGES_KEPT)
    for message in messages:
        (images if message.topic == image_topic else clouds).append(message)
        # A cloud can be answered once no nearer image can come.
        while clouds and images and _stamp(images[-1]) >= _stamp(clouds[0]):
            yield from _nearest(images, clouds.popleft(), slop)
    for cloud in clouds:
        yield from _nearest(images, cloud, slop)


def _with_clouds(
    messages: Iterable[BagMessage], image_topic: str, slop: float
) -> Iterator[tuple[BagMessage, BagMessage | None]]:
    """Every image in order, with the cloud whose nearest image it is."""
    images: deque[BagMessage] = deque()
    clouds: deque[BagMessage] = deque(maxlen=_IMAGES_KEPT)
    cloud_of: dict[int, BagMessage] = {}
    for message in messages:
        (images if message.topic == image_topic else clouds).append(message)
        while clouds and images and _stamp(images[-1]) >= _stamp(clouds[0]):
            for image, cloud in _nearest(images, clouds.popleft(), slop):
                cloud_of[image.index] = cloud
        # An image goes out once nothing can come that is near it in time.
        while len(images) > _IMAGES_KEPT or (
            len(images) > 1 and _stamp(images[-1]) - _stamp(images[0]) > 2 * slop * 1e9
        ):
            image = images.popleft()
            yield image, cloud_of.pop(image.index, None)
    for left in clouds:
        for image, cloud in _nearest(images, left, slop):
            cloud_of[image.index] = cloud
    for image in images:
        yield image, cloud_of.get(image.index)


def _nearest(
    images: Iterable[BagMessage], cloud: BagMessage, slop: float
) -> list[tuple[BagMessage, BagMessage]]:
    stamp = _stamp(cloud)
    image = min(images, key=lambda each: abs(_stamp(each) - stamp), default=None)
    if image is None or abs(_stamp(image) - stamp) > slop * 1e9:
        return []
    return [(image, cloud)]


def _stamp(message: BagMessage) -> int:
    """Time of measurement in nanoseconds; that of recording where the header has none."""
    return stamp_of(message.content) or message.stamp


def _why_no_pairs(
    images: str, clouds: str, image_stamps: list[int], cloud_stamps: list[int], slop: float
) -> str:
    if not image_stamps or not cloud_stamps:
        return f"there are no messages on {clouds if image_stamps else images}"
    apart = np.abs(np.subtract.outer(image_stamps, cloud_stamps)).min() / 1e9
    return (
        f"no image of {images} is within {slop:g} s of a cloud of {clouds}: the nearest two are "
        f"{apart:.3g} s apart by their stamps; were they taken by different clocks?"
    )
