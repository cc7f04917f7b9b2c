"""The values that flow from camera to consumer: Frame -> Prediction -> DepthFrame.

Plain arrays and numbers only: nothing here knows ROS, files or a network.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depth_anything_ros.geometry.arrays import FloatArray as FloatArray
from depth_anything_ros.geometry.arrays import FloatImage as FloatImage
from depth_anything_ros.geometry.arrays import RgbImage as RgbImage
from depth_anything_ros.geometry.camera import Camera


class PredictionKind(enum.Enum):
    """Meaning of a network's values."""

    RELATIVE_DISPARITY = "relative_disparity"
    """Inverse depth up to an unknown scale and shift (all relative Depth Anything checkpoints)."""

    RELATIVE_DEPTH = "relative_depth"
    """Depth along the optical Z axis up to an unknown scale and shift (Depth Anything 3)."""

    DEPTH_UP_TO_SCALE = "depth_up_to_scale"
    """Depth along the optical Z axis up to an unknown scale, which is another one in every image
    (Depth Anything 3, several views together)."""

    METRIC_DEPTH = "metric_depth"
    """Depth along the optical Z axis in metres."""

    @property
    def inverse(self) -> bool:
        """Whether nearer is larger."""
        return self is PredictionKind.RELATIVE_DISPARITY

    @property
    def metric(self) -> bool:
        """Whether the numbers are metres."""
        return self is PredictionKind.METRIC_DEPTH

    @property
    def rescaled(self) -> bool:
        """Whether the unit of the numbers changes from image to image."""
        return self is PredictionKind.DEPTH_UP_TO_SCALE

    @property
    def words(self) -> str:
        """The kind as a person writes it ("relative disparity")."""
        return self.value.replace("_", " ")


@dataclass(frozen=True)
class Prediction:
    """Output of a network for one image.

    Attributes:
        values: HxW float32 at the image's own size; metres, depth or disparity by `kind`.
        kind: The meaning of `values`.
        input_size: (height, width) in pixels at which the network itself saw the image.
        sky: HxW bool, True where the network sees the sky; None where the network does not give it.
        confidence: HxW float32, the network's own, larger is more certain; None where it has none.
        poses: Nx4x4 float64, optical frame -> a world of the network's own, in the unit of
            `values`: first of the image, then of the keyframes it was seen with; None where the
            network estimates none.
    """

    values: FloatImage
    kind: PredictionKind
    input_size: tuple[int, int]
    sky: npt.NDArray[np.bool_] | None = None
    confidence: FloatImage | None = None
    poses: FloatArray | None = None


@dataclass(frozen=True)
class SparsePoints:
    """Measured depths at pixels of one image (LiDAR, range, depth camera, SLAM).

    Attributes:
        u: N float64, column in pixels; the centre of the left-most pixel is 0.0.
        v: N float64, row in pixels; the centre of the top-most pixel is 0.0.
        z: N float64, depth in metres along the optical Z axis.
        source: Origin as text, for diagnostics ("lidar", "depth camera").
        outside: How many more points were measured that this image does not show.
        apart: Seconds from the image to the measurement that their places do not account for.
    """

    u: FloatArray
    v: FloatArray
    z: FloatArray
    source: str = "points"
    outside: int = 0
    apart: float = 0.0

    def __len__(self) -> int:
        """Number of points."""
        return len(self.z)


@dataclass(frozen=True)
class Plane:
    """The plane `normal . x + offset = 0` in the optical frame (x right, y down, z forward).

    For the ground, `normal` is the unit vector that points up and `offset` the camera's height
    above it in metres, so the distance of a point from the ground is `normal . x + offset`.
    """

    normal: tuple[float, float, float]
    offset: float


@dataclass(frozen=True)
class SlamView:
    """Pose and map of an up-to-scale monocular SLAM system at one image.

    Attributes:
        pose: 4x4 float64, optical frame -> SLAM map frame, in SLAM units.
        points: Nx3 float64 map points in the SLAM map frame, in SLAM units.
    """

    pose: FloatArray
    points: FloatArray


@dataclass(frozen=True, eq=False)
class Keyframe:
    """An earlier image of a camera whose place is known.

    It is compared by identity: what a network computes of it is kept as long as it is.

    Attributes:
        rgb: HxWx3 uint8, RGB order.
        stamp: Time of the image in nanoseconds.
        camera: Camera model of exactly this image.
        pose: 4x4 float64, optical frame -> a metric, smooth fixed frame (odometry).
    """

    rgb: RgbImage
    stamp: int
    camera: Camera
    pose: FloatArray


@dataclass(frozen=True, eq=False)
class ImageSequence:
    """Images of one camera and size that follow each other without a break.

    It is compared by identity: what a network keeps of its images is kept as long as it is.
    """


@dataclass(frozen=True)
class Frame:
    """One camera image and everything measured about its scene at that moment.

    Attributes:
        rgb: HxWx3 uint8, RGB order.
        stamp: Time of the image in nanoseconds.
        frame_id: Name of the optical frame.
        camera: Camera model of exactly this image (its size equals the image's), or None.
        points: Measured depths in this image, or None.
        floor: Depths that floor has by the ground plane, where no point was measured, for scale and
            shift to hold there, too; or None.
        ground: The ground plane in the optical frame, or None.
        pose: 4x4 float64, optical frame -> a metric, smooth fixed frame (odometry), or None.
        slam: Pose and map of a SLAM system without metric scale, or None.
        keyframes: Earlier images of this camera that show the same scene; a network for several
            views sees them together with the image. Their fixed frame is that of `pose`.
        fixed_frame: Name of that fixed frame, empty where it is not known.
        sequence: The images that it follows, for a network that looks back at them, or None.
    """

    rgb: RgbImage
    stamp: int = 0
    frame_id: str = ""
    camera: Camera | None = None
    points: SparsePoints | None = None
    floor: SparsePoints | None = None
    ground: Plane | None = None
    pose: FloatArray | None = None
    slam: SlamView | None = None
    keyframes: tuple[Keyframe, ...] = ()
    fixed_frame: str = ""
    sequence: ImageSequence | None = None


class Quality(enum.Enum):
    """How far the metres of a frame can be trusted."""

    GOOD = "GOOD"
    """Measured now, or given by the network or the user."""

    HELD = "HELD"
    """No fresh measurement; the last good one is still young enough to use."""

    INVALID = "INVALID"
    """No metres: the depth of such a frame is unknown (NaN)."""


@dataclass(frozen=True)
class ScaleState:
    """How the metres of a frame were made, and how well.

    For a network that gives disparity `1/Z = scale * disparity + shift`; for one that gives depth
    `Z = scale * Z_network + shift`.

    Attributes:
        method: Name of the scaler ("none", "network", "fixed", "sparse", ...).
        quality: Whether the metres can be used.
        reason: The quality as a sentence for users.
        scale: Factor on the network's values, NaN when unknown.
        shift: Added after the factor (1/m or m), NaN when unknown.
        inliers: Number of measurements that agree with the fit.
        inlier_share: `inliers` divided by the number of measurements used, 0 to 1.
        residual: Median of |Z_fit / Z_measured - 1| over the inliers, NaN without measurements.
        age: Seconds since the measurement behind scale and shift.
    """

    method: str
    quality: Quality
    reason: str
    scale: float = float("nan")
    shift: float = float("nan")
    inliers: int = 0
    inlier_share: float = 0.0
    residual: float = float("nan")
    age: float = 0.0


@dataclass(frozen=True)
class ScaledDepth:
    """Result of a scaler.

    Attributes:
        depth_m: HxW float32 metres, NaN where unknown; None when `state` is INVALID.
        state: How it was made.
        sigma_m: HxW float32, one standard deviation of `depth_m` in metres, NaN where unknown;
            None when `state` is INVALID.
        ground: The ground plane in the optical frame, where it is known better than the frame
            says.
        wrong_points: Of the frame's measured points, N bool, those that contradict the image and
            the others; None where they were not judged.
    """

    depth_m: FloatImage | None
    state: ScaleState
    sigma_m: FloatImage | None = None
    ground: Plane | None = None
    wrong_points: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class DepthFrame:
    """One image's depth, ready for a consumer.

    Attributes:
        frame: The frame it answers, with image, stamp and camera.
        prediction: The network's own numbers.
        depth_m: HxW float32 metres along the optical Z axis, NaN where unknown, -inf where nearer
            and +inf where further than the limits (REP-117); None when metres cannot be had
            for this frame.
        confidence: HxW float32 from 0 (low) to 1 (high), or None when it was not requested.
        scale_state: How the metres were made.
        sigma_m: HxW float32, one standard deviation of `depth_m` along the optical Z axis in
            metres, NaN where the depth is not a number of metres; None where `depth_m` is None.
        ground: The ground plane in the optical frame as the frame's points or the camera's motion
            show it, else as the frame knows it, or None.
        wrong_points: Of the frame's measured points, N bool, those that contradict the image and
            the others; None where they were not judged.
    """

    frame: Frame
    prediction: Prediction
    depth_m: FloatImage | None
    confidence: FloatImage | None
    scale_state: ScaleState
    sigma_m: FloatImage | None = None
    ground: Plane | None = None
    wrong_points: npt.NDArray[np.bool_] | None = None
