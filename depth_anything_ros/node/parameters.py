"""Every parameter of the depth node: its default, meaning and limits.

One dataclass is the single place that knows them: it declares them, types them for the code and
is what the documentation is held against.
"""

from __future__ import annotations

import dataclasses
import json
import math
import textwrap
from collections.abc import Iterable

from depth_anything_ros.errors import SettingError
from depth_anything_ros.inference.backend import backend_choices, precision_choices
from depth_anything_ros.metric.selection import scaler_names
from depth_anything_ros.metric.source import SCALE_SOURCES
from depth_anything_ros.node.parameter import (
    LARGEST,
    ParameterInfo,
    ParameterSet,
    parameter,
)


def _scaler_description() -> str:
    meanings = "; ".join(f"{each.name}: {each.meaning}" for each in SCALE_SOURCES)
    return (
        "How network depth becomes metres. auto: the first of these that can measure: "
        f"{meanings}. none: not at all."
    )


@dataclasses.dataclass(frozen=True)
class NodeParameters(ParameterSet):
    """The values of all parameters at one moment; each field is a parameter of the same name."""

    autostart: bool = parameter(
        True, "Configure and activate at start, without a lifecycle manager.", read_only=True
    )
    model: str = parameter(
        "auto",
        "Catalogue name (see `depth_anything models`), path to a .pth, .safetensors or .onnx file, "
        "or embedded: the small network in this package (embedded_metric: its sister that gives "
        "metres by the focal length, roughly). auto takes the official V2 Small where "
        "it is in the cache or can be downloaded, else the embedded one, and logs which.",
        at_load=True,
    )
    device: str = parameter(
        "auto", "auto (cuda, else mps, else cpu), cpu, mps, cuda or cuda:N.", at_load=True
    )
    backend: str = parameter(
        "auto",
        "Library that runs the network; auto takes the fastest installed one whose depth stays "
        "within 1 % of float32 with these very weights.",
        choices=backend_choices,
        at_load=True,
    )
    precision: str = parameter(
        "auto",
        "Arithmetic of the network; auto takes the fastest that stays within 1 % of float32, but "
        "never int8.",
        choices=precision_choices,
        at_load=True,
    )
    input_size: int = parameter(
        0,
        "Pixels of the image's shorter side as the network sees it; smaller is faster and coarser, "
        "0 takes the model's own (518 for the official ones).",
        minimum=0,
        maximum=4096,
    )
    window: int = parameter(
        1,
        "Images of a camera that an any-view network (da3_small, da3_base) sees together: the "
        "newest and keyframes before it, chosen by the motion that odometry or tf2 knows; every "
        "further one costs time. Scaler views makes metres of it. 1: each image alone.",
        minimum=1,
        maximum=64,
        at_load=True,
    )
    num_threads: int = parameter(
        0,
        "CPU threads of the network; 0 leaves one core to the rest of the robot.",
        minimum=0,
        maximum=1024,
        at_load=True,
    )
    scaler: str = parameter(
        "auto",
        _scaler_description,
        choices=scaler_names,
    )
    scale: float = parameter(
        0.0,
        "Scaler fixed: factor in 1/Z = scale * disparity + shift (relative model) or "
        "Z = scale * Z_network + shift (metric model); 0 means not given.",
        minimum=0.0,
        maximum=LARGEST,
    )
    shift: float = parameter(
        0.0, "Scaler fixed: the shift that goes with scale.", minimum=-LARGEST, maximum=LARGEST
    )
    scale_file: str = parameter(
        "",
        "Scale file: ~/scale/save writes it, ~/scale/load and scaler fixed read it "
        "(in place of scale and shift).",
    )
    baseline: float = parameter(
        0.0,
        "Scaler baseline: virtual stereo baseline in metres of a relative model, in "
        "Z = f * B / disparity; 0 means not given.",
        minimum=0.0,
        maximum=LARGEST,
    )
    fit_shift: str = parameter(
        "auto",
        "Whether a shift is fitted beside the scale; auto: for relative models only.",
        choices=("auto", "always", "never"),
    )
    min_points: int = parameter(
        6,
        "Fewest measured points that are trusted; with 1 a single Range gives depth.",
        minimum=1,
        maximum=1_000_000,
    )
    refinement: str = parameter(
        "local",
        "local lets measured points correct the depth around them, prior has a network finish that "
        "(prior_model), none applies scale and shift only.",
        choices=("local", "prior", "none"),
    )
    prior_model: str = parameter(
        "prior_depth_anything_vits_1_1",
        "With refinement prior: catalogue name or path of Prior Depth Anything's second stage. "
        "Until it is loaded, measured points correct the depth as with local.",
    )
    ground_fusion: bool = parameter(
        True,
        "Where the ground is known (base_frame, camera_height, returns of a LiDAR), put floor on "
        "its plane and bring obstacles to the distance of their foot. Low points of the last 5 s "
        "are remembered, and where no points are, how the image changes while the robot moves "
        "tells how the camera is really mounted, what rises from the ground and how far its "
        "corners are. The motion is that of odometry, else what the ground shows.",
    )
    alignment_check: bool = parameter(
        True,
        "Watch whether measured points fit the image: how far their sensor is turned against its "
        "pose and how late they are. /diagnostics says it; nothing is corrected.",
    )
    temporal_filter: str = parameter(
        "off",
        "on averages the depth of images that follow each other, moved by the camera's motion "
        "(odometry or tf2 where the scaler uses them, else optical flow), where nothing moves.",
        choices=("off", "on"),
    )
    scale_max_age: float = parameter(
        2.0,
        "Seconds for which a scale is used without a fresh measurement.",
        minimum=0.01,
        maximum=LARGEST,
    )
    on_invalid: str = parameter(
        "nan",
        "What goes out while there is no valid scale: nan (depth is NaN everywhere), hold (the "
        "last scale for ever) or drop (nothing).",
        choices=("nan", "hold", "drop"),
    )
    cloud_topics: tuple[str, ...] = parameter(
        ("points",),
        "Scaler sparse: PointCloud2 topics (LiDAR, map points).",
        topic=True,
    )
    scan_topics: tuple[str, ...] = parameter(("",), "Scaler sparse: LaserScan topics.", topic=True)
    range_topics: tuple[str, ...] = parameter(
        ("",),
        "Scaler sparse: Range topics with a beam narrower than 0.2 rad.",
        topic=True,
    )
    depth_topics: tuple[str, ...] = parameter(
        ("",),
        "Scaler sparse: depth images (32FC1 or 16UC1) with a camera_info beside them.",
        topic=True,
    )
    points_slop: float = parameter(
        0.1,
        "Seconds between an image and the points used for it, at most.",
        minimum=0.0,
        maximum=10.0,
    )
    points_min_range: float = parameter(
        0.0,
        "Metres from a point sensor up to which its points are not used (housing, robot).",
        minimum=0.0,
        maximum=LARGEST,
    )
    points_max_range: float = parameter(
        0.0,
        "Metres from a point sensor from which on its points are not used; 0: no limit.",
        minimum=0.0,
        maximum=LARGEST,
    )
    points_timeout: float = parameter(
        0.0,
        "Seconds an image waits until every point sensor has sent something as new as it.",
        minimum=0.0,
        maximum=10.0,
    )
    sensor_extrinsics: str = parameter(
        "",
        "Poses of sensors in place of tf2: [x, y, z, qx, qy, qz, qw] (metres) brings points of a "
        "sensor into the optical frame; {topic or frame: [...], ...} for several, with several "
        "cameras {camera: {topic or frame: [...]}}.",
    )
    fixed_frame: str = parameter(
        "",
        "Frame that stands still (odom): points are moved by the robot's motion between their "
        "time and the image's, and scalers motion and views take camera poses from tf2.",
    )
    tf_timeout: float = parameter(
        0.05, "Seconds to wait for a transform.", minimum=0.0, maximum=10.0
    )
    odometry_topic: str = parameter(
        "odom",
        "Scalers views, motion and slam, ground_fusion and alignment_check: nav_msgs/Odometry of "
        "the robot in metres.",
        topic=True,
    )
    slam_pose_topic: str = parameter(
        "slam/pose",
        "Scaler slam: poses of the optical frame in the SLAM map.",
        topic=True,
    )
    slam_pose_type: str = parameter(
        "pose",
        "Scaler slam: message of slam_pose_topic: PoseStamped, Odometry or Path.",
        choices=("pose", "odometry", "path"),
    )
    slam_points_topic: str = parameter(
        "slam/points",
        "Scaler slam: PointCloud2 of map points in the SLAM map.",
        topic=True,
    )
    base_frame: str = parameter(
        "base_footprint", "Scaler ground_plane: frame on the ground, z up (REP-120)."
    )
    camera_height: float = parameter(
        0.0,
        "Scaler ground_plane: metres from the ground to the camera; 0 takes tf2's base_frame.",
        minimum=0.0,
        maximum=1000.0,
    )
    camera_pitch_deg: float = parameter(
        0.0,
        "Scaler ground_plane, with camera_height: degrees the camera looks down.",
        minimum=-90.0,
        maximum=90.0,
    )
    camera_roll_deg: float = parameter(
        0.0,
        "Scaler ground_plane, with camera_height: degrees the camera leans to the right.",
        minimum=-180.0,
        maximum=180.0,
    )
    imu_topic: str = parameter(
        "",
        "Scaler ground_plane: sensor_msgs/Imu whose gravity gives the attitude; empty: none.",
        topic=True,
    )
    cameras: tuple[str, ...] = parameter(
        ("",),
        "Names of cameras that share the model: each has <name>/image, <name>/camera_info and "
        "~/<name>/... of its own. Empty: one camera on image and camera_info.",
        read_only=True,
    )
    image_transport: str = parameter(
        "raw",
        "raw listens to image, compressed to image/compressed (JPEG or PNG).",
        choices=("raw", "compressed"),
        read_only=True,
    )
    camera_info_url: str = parameter(
        "",
        "Calibration file (camera_info YAML; a path, file:// or package://) in place of the topic; "
        "for several cameras {name: file, ...}.",
    )
    rectify: str = parameter(
        "auto",
        "Undistort images before the network and publish the rectified camera_info: auto where "
        "the lens has distortion, on also turns by R, off keeps the picture and sends the cloud "
        "through the distorted rays. Images that are rectified already (parameter rectified) stay "
        "as they are.",
        choices=("auto", "on", "off"),
    )
    rectified: str = parameter(
        "auto",
        "Whether the images are rectified already, so that P of their camera_info holds and its "
        "distortion does not: auto goes by the topic's name (image_rect, image_rect_color, ...).",
        choices=("auto", "true", "false"),
    )
    roi: tuple[int, ...] = parameter(
        (0, 0, 0, 0),
        "Rectangle of the (rectified) image to work on: x, y, width, height in pixels; all 0 "
        "takes the whole.",
    )
    mask_file: str = parameter(
        "",
        "Picture of the (rectified) image's size, black on the robot's own body: there depth is "
        "NaN; for several cameras {name: file, ...}.",
    )
    max_rate: float = parameter(
        0.0,
        "Images answered per second and camera, at most; 0 means no limit.",
        minimum=0.0,
        maximum=1000.0,
    )
    stale_after: float = parameter(
        2.0,
        "Seconds without an image after which diagnostics warn.",
        minimum=0.1,
        maximum=3600.0,
    )
    snapshot_folder: str = parameter("~/.ros/depth_anything", "Folder that ~/snapshot writes to.")
    image_reliability: str = parameter(
        "auto",
        "Reliability of the subscriptions to image and camera_info; auto is reliable while every "
        "publisher offers it.",
        choices=("auto", "reliable", "best_effort"),
    )
    max_image_pixels: int = parameter(
        50_000_000,
        "Largest image that is decoded, in pixels; a larger one is refused.",
        minimum=1,
        maximum=2**31 - 1,
    )
    camera_info_timeout: float = parameter(
        0.2,
        "Seconds an image waits for its camera_info before it is answered without a cloud.",
        minimum=0.0,
        maximum=10.0,
    )
    depth_encoding: str = parameter(
        "32FC1",
        "Encoding of ~/depth/image: 32FC1 (metres, NaN unknown) or 16UC1 (millimetres, 0 unknown).",
        choices=("32FC1", "16UC1"),
    )
    min_range: float = parameter(
        0.0,
        "Nearest depth in metres along the optical axis; nearer is -inf in the depth image "
        "(REP-117) and left out of the cloud.",
        minimum=0.0,
        maximum=LARGEST,
    )
    max_range: float = parameter(
        0.0,
        "Furthest depth in metres along the optical axis; further is +inf in the depth image "
        "(REP-117) and left out of the cloud; 0 means no limit.",
        minimum=0.0,
        maximum=LARGEST,
    )
    cloud_organized: bool = parameter(
        True, "Keep the image's grid in ~/points (NaN where unknown) instead of known points only."
    )
    cloud_color: bool = parameter(True, "Give the points of ~/points the image's colours (rgb).")
    cloud_confidence: bool = parameter(
        False, "Give the points of ~/points a field confidence (0 to 1)."
    )
    cloud_sigma: bool = parameter(
        False,
        "Give the points of ~/points a field sigma (one standard deviation along the optical axis, "
        "metres).",
    )
    cloud_frame: str = parameter(
        "",
        "Frame with z up (base_link, odom) in which min_height and max_height are measured; the "
        "points stay in the optical frame.",
    )
    min_height: float = parameter(
        -LARGEST,
        "Lowest z in cloud_frame of a point, metres.",
        minimum=-LARGEST,
        maximum=LARGEST,
    )
    max_height: float = parameter(
        LARGEST,
        "Highest z in cloud_frame of a point, metres.",
        minimum=-LARGEST,
        maximum=LARGEST,
    )
    voxel_size: float = parameter(
        0.0,
        "Edge in metres of the cubes of which ~/points keeps one point each; 0 keeps all.",
        minimum=0.0,
        maximum=1000.0,
    )
    edge_angle_deg: float = parameter(
        2.0,
        "Points at depth edges are left out of ~/points where ray and surface meet at less than "
        "this angle (flying pixels); 0 keeps them.",
        minimum=0.0,
        maximum=80.0,
    )
    dropoff_min_depth: float = parameter(
        0.15,
        "Metres below the ground from which on what is seen is a drop-off (~/dropoffs), where two "
        "standard deviations of its depth agree.",
        minimum=0.01,
        maximum=1000.0,
    )
    scan_frame: str = parameter(
        "",
        "Frame of ~/scan, x forward and z up (base_link, base_footprint); empty: no scan.",
    )
    scan_min_height: float = parameter(
        0.1,
        "Lowest z in scan_frame that ~/scan sees, metres.",
        minimum=-1000.0,
        maximum=1000.0,
    )
    scan_max_height: float = parameter(
        1.5,
        "Highest z in scan_frame that ~/scan sees, metres.",
        minimum=-1000.0,
        maximum=1000.0,
    )
    scan_increment_deg: float = parameter(
        0.5, "Degrees between two rays of ~/scan.", minimum=0.01, maximum=30.0
    )
    confidence: str = parameter(
        "auto",
        "How confidence is computed, only while something needs it: zoom (two enlarged "
        "views, best for metric models), flip (a mirrored view, best for relative ones), off "
        "(experts only); auto chooses by the model.",
        choices=("auto", "zoom", "flip", "off"),
    )
    experts: tuple[str, ...] = parameter(
        ("",),
        "Further models that vote on the order of pixels for confidence (one to three).",
        at_load=True,
    )
    min_confidence: float = parameter(
        0.0,
        "Pixels of less confidence are NaN in depth and cloud; 0 keeps all.",
        minimum=0.0,
        maximum=1.0,
    )
    max_relative_sigma: float = parameter(
        0.0,
        "Pixels whose standard deviation is a larger share of their depth are NaN in depth and "
        "cloud; 0 keeps all.",
        minimum=0.0,
        maximum=LARGEST,
    )
    cloud_stride: int = parameter(
        1, "Every n-th row and column becomes a point of ~/points.", minimum=1, maximum=1000
    )
    preview_grayscale: bool = parameter(
        False, "Draw ~/depth/preview in grey instead of colours (near is bright)."
    )

    def check_together(self) -> None:
        """Refuse values that are impossible together; see `ParameterSet.check_together`."""
        if self.max_range and self.max_range <= self.min_range:
            raise SettingError(
                f"max_range is {self.max_range:g} m but min_range is {self.min_range:g} m; "
                "max_range must be larger, or 0 for no limit"
            )
        if self.points_max_range and self.points_max_range <= self.points_min_range:
            raise SettingError(
                f"points_max_range is {self.points_max_range:g} m but points_min_range is "
                f"{self.points_min_range:g} m; the first must be larger, or 0 for no limit"
            )
        if len(self.roi) != 4 or min(self.roi) < 0 or (0 in self.roi[2:] and any(self.roi)):
            raise SettingError(
                f"roi is {list(self.roi)}; give x, y, width, height in pixels, or four times 0"
            )
        for low, high in (("min_height", "max_height"), ("scan_min_height", "scan_max_height")):
            if getattr(self, low) >= getattr(self, high):
                raise SettingError(
                    f"{high} is {getattr(self, high):g} m; it must be above {low} "
                    f"({getattr(self, low):g} m)"
                )
        if self.scaler == "fixed" and not self.scale and not self.scale_file:
            raise SettingError(
                "scaler is 'fixed' but scale is 0; give scale (and shift), or scale_file"
            )

    @property
    def range_limits(self) -> tuple[float, float]:
        """Nearest and furthest depth in metres; the furthest may be infinite."""
        return self.min_range, self.max_range or math.inf


def names_at_load(names: Iterable[str]) -> list[str]:
    """Which of some parameters take effect only when a model is loaded.

    Args:
        names: Names of parameters.

    Returns:
        Those of them, in order.
    """
    later = {f.name for f in dataclasses.fields(NodeParameters) if ParameterInfo.of(f).at_load}
    return [name for name in names if name in later]


def parameters_yaml() -> str:
    """Every default and its meaning, as `config/depth_anything.yaml` has them.

    Returns:
        YAML that `--params-file` takes.
    """
    lines = [
        "# Every parameter of the depth node with its default, for any node name and namespace.",
        "# Made by `python -m depth_anything_ros.node.parameters`.",
        "/**:",
        "  ros__parameters:",
    ]
    for field in dataclasses.fields(NodeParameters):
        lines += [f"    # {line}" for line in textwrap.wrap(ParameterInfo.of(field).full(), 92)]
        lines.append(f"    {field.name}: {json.dumps(field.default)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(parameters_yaml(), end="")
