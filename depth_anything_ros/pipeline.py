"""One Frame in, one DepthFrame out."""

from __future__ import annotations

from collections.abc import Sequence

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import DepthFrame, Frame
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.metric.scaler import MetricScaler


class Pipeline:
    """A network and one camera's way to metres.

    Attributes:
        estimator: The network; several pipelines may share one.
        scaler: The way to metres; it remembers, so it belongs to this camera alone.
    """

    def __init__(self, estimator: DepthEstimator, scaler: MetricScaler) -> None:
        self.estimator = estimator
        self.scaler = scaler

    def process(self, frame: Frame) -> DepthFrame:
        """Estimate the depth of one frame.

        Args:
            frame: The image and what was measured with it.

        Returns:
            Its depth; `depth_m` is None where there is no way to metres.

        Raises:
            InputError: Image and camera of the frame differ in size, or the image is unusable.
        """
        return process_batch(self.estimator, [(frame, self.scaler)])[0]


def process_batch(
    estimator: DepthEstimator, work: Sequence[tuple[Frame, MetricScaler]]
) -> list[DepthFrame]:
    """Estimate the depth of frames of several cameras with one call of the network.

    Args:
        estimator: The network they share.
        work: Each frame with the scaler of its camera.

    Returns:
        One answer per frame, in order.

    Raises:
        InputError: Image and camera of a frame differ in size, or an image is unusable.
    """
    for frame, _ in work:
        height, width = frame.rgb.shape[:2]
        camera = frame.camera
        if camera is not None and (camera.width, camera.height) != (width, height):
            raise InputError(
                f"image is {width}x{height} but camera_info says {camera.width}x{camera.height}; "
                "make the camera driver publish the camera_info of the images it sends"
            )
    predictions = estimator.estimate([frame.rgb for frame, _ in work])
    answers = []
    for (frame, scaler), prediction in zip(work, predictions, strict=True):
        scaled = scaler.scale(prediction, frame)
        answers.append(DepthFrame(frame, prediction, scaled.depth_m, None, scaled.state))
    return answers
