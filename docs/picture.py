"""Makes the pictures of the documentation (`make picture`).

- overview.jpg: photograph | depth | point cloud from the side. The photographs come with
  scikit-image and are in the public domain (astronaut, NASA) or CC0 (coffee). A relative network
  has no metres of its own, so the clouds take a fixed scale.
- lidar.jpg: simulated camera image with LiDAR points | depth | true depth, one colour scale.
- export3d.jpg: image | depth of the network with LiDAR | cloud fused from a drive, from above.
- video.jpg: one picture of the video that `run` writes.
- stereo.jpg: simulated left image | depth by stereo | depth of the network scaled by it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import skimage

from depth_anything_ros.cli.support.stereo_job import stereo_points
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.formats.posed_views import PosedView
from depth_anything_ros.formats.preview import (
    ColorRange,
    DepthColors,
    colorize_depth,
    colorize_disparity,
    side_by_side,
)
from depth_anything_ros.formats.scene_export import FusedScene, SceneOptions
from depth_anything_ros.frames import FloatArray, Frame, RgbImage, SparsePoints
from depth_anything_ros.geometry.camera import Camera, project
from depth_anything_ros.geometry.cloud import Cloud, build_cloud
from depth_anything_ros.geometry.cloud_filters import flying_pixels
from depth_anything_ros.geometry.stereo import StereoRig
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.inference.stereo import stereo_depth
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.sources.fixed import FixedScaler
from depth_anything_ros.metric.sources.sparse import SparseSource
from depth_anything_ros.settings import ModelSettings
from depth_anything_ros.synthetic.robot import Robot

IMAGES = Path(__file__).parent / "images"
HEIGHT = 360
"""Rows of the picture in pixels."""

_SPLAT = 3  # side of a drawn point in pixels
_FUSED, _FUSED_STEP_M = 12, 0.25
_CEILING_M = 2.2  # what is higher would hide the room

_DRIVEN_M = 7.0  # where the simulated robot is on its route


def view_from(cloud: Cloud, centre: FloatArray, yaw_deg: float, camera: Camera) -> RgbImage:
    """Draw a coloured cloud as a camera sees it that is turned about a point.

    Args:
        cloud: Points with colours in the optical frame of the original camera.
        centre: Point that stays where it is, 3 metres.
        yaw_deg: Degrees by which the camera goes round the point, to the right.
        camera: The virtual camera.

    Returns:
        HxWx3 uint8 RGB on white.
    """
    yaw = np.radians(yaw_deg)
    turn = np.array(
        [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]], np.float64
    )
    points = (cloud.xyz.astype(np.float64) - centre) @ turn.T + centre
    colours = cloud.rgb
    assert colours is not None
    order = np.argsort(-points[:, 2])  # far points first, near ones over them
    points, colours = points[order], colours[order]
    u = np.rint(points[:, 0] / points[:, 2] * camera.fx + camera.cx).astype(int)
    v = np.rint(points[:, 1] / points[:, 2] * camera.fy + camera.cy).astype(int)
    picture = np.full((camera.height, camera.width, 3), 255, np.uint8)
    for dv in range(_SPLAT):
        for du in range(_SPLAT):
            inside = (u + du >= 0) & (u + du < camera.width) & (v + dv >= 0)
            inside &= (v + dv < camera.height) & (points[:, 2] > 0.05)
            picture[v[inside] + dv, u[inside] + du] = colours[inside]
    return picture


def beside(*pictures: RgbImage) -> RgbImage:
    """Pictures of one height side by side with white between them."""
    gap = np.full((pictures[0].shape[0], 12, 3), 255, np.uint8)
    return np.hstack([part for picture in pictures for part in (picture, gap)][:-1])


def photograph_row(
    estimator: DepthEstimator, name: str, yaw_deg: float, nearest: float, farthest: float
) -> RgbImage:
    """Image, depth and cloud of one photograph side by side.

    Args:
        estimator: A relative network.
        name: File in scikit-image's data folder.
        yaw_deg: From where the cloud is seen.
        nearest: Metres that the largest disparity becomes.
        farthest: Metres that the smallest disparity becomes.

    Returns:
        `HEIGHT` rows, RGB.
    """
    photograph = read_image(Path(skimage.__file__).parent / "data" / name)
    width = round(photograph.shape[1] * HEIGHT / photograph.shape[0])
    small = cv2.resize(photograph, (width, HEIGHT), interpolation=cv2.INTER_AREA)
    rgb = np.asarray(small, np.uint8)
    (prediction,) = estimator.estimate([rgb])
    low, high = np.percentile(prediction.values, [1, 99])
    scale = (1 / nearest - 1 / farthest) / float(high - low)
    scaler = FixedScaler(scale, 1 / farthest - scale * float(low))
    camera = Camera.from_hfov(width, HEIGHT, 50.0)
    depth = scaler.scale(prediction, Frame(rgb, camera=camera)).depth_m
    assert depth is not None
    cloud = build_cloud(
        depth, camera, rgb, organized=False, hidden=flying_pixels(depth, camera, 4.0)
    )
    side = view_from(cloud, np.array([0.0, 0.0, float(np.median(depth))]), yaw_deg, camera)
    return beside(rgb, colorize_disparity(prediction.values), side)


def lidar_row(estimator: DepthEstimator) -> RgbImage:
    """Image with LiDAR points, depth that follows them, and true depth of a simulated room.

    Args:
        estimator: A relative network.

    Returns:
        `HEIGHT` rows, RGB.
    """
    camera = Camera.from_hfov(HEIGHT * 4 // 3, HEIGHT, 80.0)
    robot = Robot("room", 3, {"camera": camera})
    rgb, truth = robot.photograph("camera", _DRIVEN_M)
    camera_lidar = np.linalg.inv(robot.base_camera["camera"]) @ robot.base_lidar
    points = robot.measure(_DRIVEN_M) @ camera_lidar[:3, :3].T + camera_lidar[:3, 3]
    u, v, z = project(camera, points)
    frame = Frame(rgb, camera=camera, points=SparsePoints(u, v, z))
    (prediction,) = estimator.estimate([rgb])
    depth = LiveScaler([SparseSource()]).scale(prediction, frame).depth_m
    assert depth is not None
    # One picture, so that colours mean the same metres.
    coloured = colorize_depth(np.hstack([depth, truth]))
    marked = rgb.copy()
    for column, line in np.rint(np.stack([u, v], axis=1)).astype(int).tolist():
        colour = coloured[line, camera.width + column].tolist()
        cv2.circle(marked, (column, line), 2, colour, -1)
    error = float(np.nanmean(np.abs(depth - truth) / truth))
    print(f"LiDAR row: {len(z)} points in the image, AbsRel {error:.3f}")
    return beside(marked, coloured[:, : camera.width], coloured[:, camera.width :])


def stereo_row(estimator: DepthEstimator) -> RgbImage:
    """Left image, depth by stereo, and depth of a network that stereo points give metres.

    Args:
        estimator: A relative network.

    Returns:
        `HEIGHT` rows, RGB.
    """
    camera = Camera.from_hfov(HEIGHT * 4 // 3, HEIGHT, 80.0)
    robot = Robot("room", 3, {"left": camera})
    rig = StereoRig(camera, 0.12)
    beside_left = np.eye(4)
    beside_left[0, 3] = rig.baseline
    robot.cameras["right"] = camera
    robot.base_camera["right"] = robot.base_camera["left"] @ beside_left
    rgb, truth = robot.photograph("left", _DRIVEN_M)
    right, _ = robot.photograph("right", _DRIVEN_M)
    found = stereo_depth(rgb, right, rig)
    frame = Frame(rgb, camera=camera, points=stereo_points(found))
    (prediction,) = estimator.estimate([rgb])
    depth = LiveScaler([SparseSource()]).scale(prediction, frame).depth_m
    assert depth is not None
    coloured = colorize_depth(np.hstack([found.depth_m, depth]))
    for name, each in (("stereo", found.depth_m), ("network", depth)):
        error = float(np.nanmean(np.abs(each - truth) / truth))
        print(f"stereo row, {name}: AbsRel {error:.3f} of {np.isfinite(each).mean():.0%}")
    return beside(rgb, coloured[:, : camera.width], coloured[:, camera.width :])


def video_row(estimator: DepthEstimator) -> RgbImage:
    """A picture of the preview that `run` writes of a video: image, depth, legend in metres.

    Args:
        estimator: A relative network.

    Returns:
        `HEIGHT` rows, RGB.
    """
    camera = Camera.from_hfov(HEIGHT * 4 // 3, HEIGHT, 80.0)
    robot = Robot("street", 2, {"camera": camera})
    lidar = np.linalg.inv(robot.base_camera["camera"]) @ robot.base_lidar
    rgb, _ = robot.photograph("camera", _DRIVEN_M)
    points = robot.measure(_DRIVEN_M) @ lidar[:3, :3].T + lidar[:3, 3]
    frame = Frame(rgb, camera=camera, points=SparsePoints(*project(camera, points)))
    (prediction,) = estimator.estimate([rgb])
    depth = LiveScaler([SparseSource()]).scale(prediction, frame).depth_m
    assert depth is not None
    colors = DepthColors(fixed=ColorRange.of_metres(2.0, 40.0))
    return side_by_side(rgb, colors.depth(depth), colors.legend())


def fused_row(estimator: DepthEstimator) -> RgbImage:
    """Image, depth, and the cloud of several views of a drive, seen from above.

    Args:
        estimator: A relative network.

    Returns:
        `HEIGHT` rows, RGB.
    """
    camera = Camera.from_hfov(HEIGHT * 4 // 3, HEIGHT, 80.0)
    robot = Robot("room", 3, {"camera": camera})
    lidar = np.linalg.inv(robot.base_camera["camera"]) @ robot.base_lidar
    scaler = LiveScaler([SparseSource()])
    scene = FusedScene(SceneOptions(voxel=0.03, max_range=5.0))
    for number in range(_FUSED):
        distance = _DRIVEN_M + number * _FUSED_STEP_M
        rgb, _ = robot.photograph("camera", distance)
        points = robot.measure(distance) @ lidar[:3, :3].T + lidar[:3, 3]
        u, v, z = project(camera, points)
        stamp = round(number * 0.3e9)
        frame = Frame(rgb, stamp, camera=camera, points=SparsePoints(u, v, z))
        (prediction,) = estimator.estimate([rgb])
        depth = scaler.scale(prediction, frame).depth_m
        assert depth is not None
        pose = robot.pose(distance) @ robot.base_camera["camera"]
        scene.add(PosedView(str(number), rgb, depth, camera, pose))
        if not number:
            first, coloured = rgb, colorize_depth(depth)
    xyz, colours = scene.points()
    low = xyz[:, 2] < _CEILING_M
    xyz, colours = xyz[low], colours[low]
    picture = np.full((HEIGHT, HEIGHT * 4 // 3, 3), 255, np.uint8)
    centre = (xyz[:, :2].min(0) + xyz[:, :2].max(0)) / 2
    scale = 0.95 * min(picture.shape[:2] / (xyz[:, :2].max(0) - xyz[:, :2].min(0)))
    order = np.argsort(xyz[:, 2])  # high points over low ones
    columns = np.rint((xyz[order, 1] - centre[1]) * -scale + picture.shape[1] / 2).astype(int)
    rows = np.rint((xyz[order, 0] - centre[0]) * -scale + picture.shape[0] / 2).astype(int)
    for dv in range(_SPLAT):
        for du in range(_SPLAT):
            inside = (columns + du >= 0) & (columns + du < picture.shape[1])
            inside &= (rows + dv >= 0) & (rows + dv < picture.shape[0])
            picture[rows[inside] + dv, columns[inside] + du] = colours[order][inside]
    return beside(first, coloured, picture)


def write(name: str, rows: list[RgbImage]) -> None:
    """Write rows below each other, at the width of the narrowest."""
    width = min(row.shape[1] for row in rows)
    sheet = np.vstack(
        [cv2.resize(row, (width, row.shape[0] * width // row.shape[1])) for row in rows]
    )
    bgr = cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(IMAGES / name), bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(IMAGES / name)


def main() -> None:
    """Write all pictures."""
    estimator = make_estimator(ModelSettings(model="embedded")).estimator
    astronaut = photograph_row(estimator, "astronaut.png", 20.0, 1.6, 2.6)
    coffee = photograph_row(estimator, "coffee.png", 20.0, 0.5, 0.8)
    write("overview.jpg", [astronaut, coffee])
    write("lidar.jpg", [lidar_row(estimator)])
    write("video.jpg", [video_row(estimator)])
    write("export3d.jpg", [fused_row(estimator)])
    write("stereo.jpg", [stereo_row(estimator)])


if __name__ == "__main__":
    main()
