"""What a live depth node sends, as entities of rerun: to a viewer, a file, or both."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, require
from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import Cloud

EXTRA = "view"
"""The pip extra with the library."""

UPRIGHT = "upright"
"""A frame of the viewer with z up, in which a camera stands whose place nobody knows."""

_APPLICATION = "depth_anything_ros"
_TIMELINE = "stamp"
_PATIENCE_S = 5.0
# REP-103: the optical frame's z is the body's x, its x the body's -y, its y the body's -z.
_OPTICAL_IN_BODY = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_FRUSTUM_M = 0.3
_POINT_RADIUS_UI = -1.5
"""Negative: in points of the window, whatever the distance (rerun's convention)."""


class RerunRecorder:
    """Logs to rerun; `depth_anything_ros.node.tools.live_view.Recorder` says what.

    Args:
        address: Where a viewer listens, or None.
        file: The .rrd file to write, or None.
        fixed_frame: Frame of tf2 that the 3D view shows; empty where there are no transforms, and
            each camera stands upright at the origin.

    Raises:
        MissingExtraError: rerun-sdk is not installed.
        InputError: The file cannot be written.
    """

    def __init__(
        self, address: str | None = None, file: Path | None = None, fixed_frame: str = ""
    ) -> None:
        self._rerun: Any = require("rerun", EXTRA)
        blueprint: Any = require("rerun.blueprint", EXTRA)
        self._fixed_frame = fixed_frame
        self._placed: set[str] = set()
        self._stream: Any = self._rerun.RecordingStream(_APPLICATION)
        sinks = [] if address is None else [self._rerun.GrpcSink(address)]
        if file is not None:
            _check_writable(file)
            sinks.append(self._rerun.FileSink(str(file)))
        self._stream.set_sinks(*sinks)
        self._stream.send_blueprint(self._layout(blueprint))

    def close(self) -> None:
        """Write what is left; a viewer that is gone is not waited for."""
        with contextlib.suppress(ValueError, RuntimeError):  # the viewer was closed
            self._stream.flush(timeout_sec=_PATIENCE_S)
        self._stream.disconnect()

    def picture(self, camera: str, rgb: RgbImage, stamp: int) -> None:
        """Log the camera's image."""
        self._log(f"pictures/{_named(camera)}", stamp, self._rerun.Image(rgb, "RGB"))

    def camera(self, camera: str, model: Camera, frame: str, stamp: int) -> None:
        """Log the camera's frustum."""
        self._place(frame)
        pinhole = self._rerun.Pinhole(
            image_from_camera=model.p[:, :3],
            resolution=[model.width, model.height],
            camera_xyz=self._rerun.ViewCoordinates.RDF,
            image_plane_distance=_FRUSTUM_M,
            parent_frame=frame,
            child_frame=f"{_named(camera)}/pixels",
        )
        self._log(f"cameras/{_named(camera)}", stamp, pinhole)

    def depth(self, camera: str, depth_m: FloatImage, stamp: int) -> None:
        """Log depth; unknown and out of range are 0, which rerun takes for no value."""
        image = self._rerun.DepthImage(_known(depth_m), meter=1.0)
        # Beside the camera's entity: in it rerun would make a second cloud of the depth.
        self._log(f"depth/{_named(camera)}", stamp, image)

    def sigma(self, camera: str, sigma_m: FloatImage, stamp: int) -> None:
        """Log the standard deviation of depth."""
        image = self._rerun.DepthImage(_known(sigma_m), meter=1.0, colormap="viridis")
        self._log(f"sigma/{_named(camera)}", stamp, image)

    def cloud(self, camera: str, cloud: Cloud, frame: str, stamp: int) -> None:
        """Log points."""
        self._place(frame)
        points = self._rerun.Points3D(cloud.xyz, colors=cloud.rgb, radii=_POINT_RADIUS_UI)
        placed = self._rerun.CoordinateFrame(frame)
        self._log(f"points/{_named(camera)}", stamp, points, placed)

    def transform(
        self, parent: str, child: str, matrix: npt.NDArray[np.float64], stamp: int | None
    ) -> None:
        """Log the pose of a frame."""
        moved = self._rerun.Transform3D(
            translation=matrix[:3, 3],
            mat3x3=matrix[:3, :3],
            parent_frame=parent,
            child_frame=child,
        )
        self._log(f"transforms/{child}", stamp, moved)

    def number(self, name: str, value: float, stamp: int) -> None:
        """Log a figure, below what it counts, so that a view shows those of all cameras."""
        whose, _, figure = name.rpartition("/")
        self._log(f"figures/{figure}/{whose}", stamp, self._rerun.Scalars(value))

    def words(self, name: str, level: str, text: str, stamp: int) -> None:
        """Log a state in words."""
        self._log(f"words/{name}", stamp, self._rerun.TextLog(text, level=_LEVELS.get(level)))

    def _log(self, entity: str, stamp: int | None, *parts: Any) -> None:
        if stamp is not None:
            self._stream.set_time(_TIMELINE, timestamp=np.datetime64(stamp, "ns"))
        self._stream.log(entity, *parts, static=stamp is None)

    def _place(self, frame: str) -> None:
        """Stand a camera upright where no transforms say how it stands."""
        if self._fixed_frame or frame in self._placed:
            return
        self._placed.add(frame)
        pose = np.eye(4)
        pose[:3, :3] = _OPTICAL_IN_BODY
        self.transform(UPRIGHT, frame, pose, None)

    def _layout(self, blueprint: Any) -> Any:
        """3D, pictures, figures and words beside each other."""
        space = blueprint.Spatial3DView(
            name="3D",
            origin="/",
            contents=["+ /points/**", "+ /cameras/**", "+ /transforms/**"],
            spatial_information=blueprint.SpatialInformation(
                target_frame=self._fixed_frame or UPRIGHT, show_axes=True
            ),
        )
        pictures = blueprint.Vertical(
            blueprint.Spatial2DView(name="Picture", origin="/pictures"),
            blueprint.Spatial2DView(name="Depth", origin="/depth"),
            blueprint.Spatial2DView(name="Sigma", origin="/sigma"),
        )
        below = blueprint.Horizontal(
            blueprint.TextLogView(name="State", origin="/words"),
            blueprint.TimeSeriesView(
                name="Rate (Hz) and latency (s)",
                contents=["+ /figures/rate_hz/**", "+ /figures/latency_s/**"],
            ),
            blueprint.TimeSeriesView(
                name="Scale", contents=["+ /figures/scale/**", "+ /figures/residual/**"]
            ),
        )
        return blueprint.Blueprint(
            blueprint.Vertical(
                blueprint.Horizontal(space, pictures, column_shares=[3, 1]),
                below,
                row_shares=[3, 1],
            ),
            collapse_panels=True,
        )


_LEVELS = {"OK": "INFO", "WARN": "WARN", "ERROR": "ERROR", "STALE": "WARN"}
"""Levels of diagnostics as rerun names them."""


def _named(camera: str) -> str:
    return camera or "camera"


def _known(values: FloatImage) -> FloatImage:
    return np.where(np.isfinite(values), values, np.float32(0))


def _check_writable(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab"):
            pass
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from error
