"""Any camera of a robot as a metric depth sensor, with the Depth Anything networks.

    import depth_anything_ros as da

    model = da.load("depth_anything_v2_metric_hypersim_vits", device="auto")
    frame = model("room.jpg")                          # or HxWx3 uint8 RGB, a PIL image, a list
    frame.depth_m, frame.confidence, frame.scale_state

    camera = da.Camera.from_hfov(640, 480, 70)
    frame = model(rgb, camera=camera, points=da.SparsePoints(u, v, z), confidence=True)
    frame.cloud(color=True).save("cloud.ply")
    frame.save("out/", stem="img")

    for frame in model.stream("video.mp4"):            # scale is kept from picture to picture
        ...

Pictures are independent of each other; a sequence of one camera goes through `stream`. Nothing
heavy is loaded before a name of this package is used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as of `typing`, which takes a while to load
if TYPE_CHECKING:
    from depth_anything_ros.api import DepthFrame as DepthFrame
    from depth_anything_ros.api import Model as Model
    from depth_anything_ros.api import PointCloud as PointCloud
    from depth_anything_ros.api import load as load
    from depth_anything_ros.errors import CheckpointError as CheckpointError
    from depth_anything_ros.errors import DepthAnythingError as DepthAnythingError
    from depth_anything_ros.errors import InputError as InputError
    from depth_anything_ros.errors import MissingExtraError as MissingExtraError
    from depth_anything_ros.errors import SettingError as SettingError
    from depth_anything_ros.frames import Frame as Frame
    from depth_anything_ros.frames import Plane as Plane
    from depth_anything_ros.frames import PredictionKind as PredictionKind
    from depth_anything_ros.frames import Quality as Quality
    from depth_anything_ros.frames import ScaleState as ScaleState
    from depth_anything_ros.frames import SparsePoints as SparsePoints
    from depth_anything_ros.geometry.camera import Camera as Camera
    from depth_anything_ros.pipeline import DepthLimits as DepthLimits
    from depth_anything_ros.settings import ModelSettings as ModelSettings
    from depth_anything_ros.settings import ScalerSettings as ScalerSettings

__version__ = "0.1.0"

_HOMES = {
    "api": ("DepthFrame", "Model", "PointCloud", "load"),
    "errors": (
        "CheckpointError",
        "DepthAnythingError",
        "InputError",
        "MissingExtraError",
        "SettingError",
    ),
    "frames": ("Frame", "Plane", "PredictionKind", "Quality", "ScaleState", "SparsePoints"),
    "geometry.camera": ("Camera",),
    "pipeline": ("DepthLimits",),
    "settings": ("ModelSettings", "ScalerSettings"),
}

__all__ = [
    "Camera",
    "CheckpointError",
    "DepthAnythingError",
    "DepthFrame",
    "DepthLimits",
    "Frame",
    "InputError",
    "MissingExtraError",
    "Model",
    "ModelSettings",
    "Plane",
    "PointCloud",
    "PredictionKind",
    "Quality",
    "ScaleState",
    "ScalerSettings",
    "SettingError",
    "SparsePoints",
    "load",
]


if not TYPE_CHECKING:  # else every misspelt name would be one

    def __getattr__(name: str) -> object:
        for home, names in _HOMES.items():
            if name in names:
                import importlib

                value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
