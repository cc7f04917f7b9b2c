"""Depth Anything 3 nested: depth of any views in the metres of the metric network.

The metric network sees the image beside the any-view network, whose depth is brought to its unit
by one factor (official model/da3.py, NestedDepthAnything3Net). The official code makes metres with
the focal length that it estimates; here the unit stays that of the metric network's canonical
camera, and scaler `focal` makes metres with the camera's calibration.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.families.depth_anything_3.any_view import AnyView, AnyViewConfig
from depth_anything_ros.network.families.depth_anything_3.models import (
    CANONICAL_FOCAL,
    INPUT_SIZE,
)
from depth_anything_ros.network.families.depth_anything_3.single_view import (
    SingleView,
    SingleViewConfig,
)
from depth_anything_ros.network.outputs import CONFIDENCE, DEPTH, SKY, SKY_THRESHOLD
from depth_anything_ros.network.preprocessing import AREA_OR_CUBIC, Preprocessing
from depth_anything_ros.network.several_views import Features, SeveralViewsNetwork, ViewsAnswer

# compute_alignment_mask; the official limit of the metric depth is in metres.
_LEAST_DEPTH, _LEAST_METRIC_DEPTH = 1e-3, 1e-2


class Nested(SeveralViewsNetwork):
    """An any-view network with the metric one.

    Args:
        views: Architecture of the any-view network.
        metric: Architecture of the metric one.
    """

    family = "depth_anything_3"
    kind = PredictionKind.RELATIVE_DEPTH
    version = "v3"
    outputs = (DEPTH, CONFIDENCE, SKY)
    align_corners = False
    canonical_focal = CANONICAL_FOCAL
    preprocessing = Preprocessing(INPUT_SIZE, "longer", interpolation=AREA_OR_CUBIC)

    def __init__(self, views: AnyViewConfig, metric: SingleViewConfig) -> None:
        super().__init__()
        self.da3 = AnyView(views)
        self.da3_metric = SingleView(metric)

    @property
    def encoder(self) -> str:
        """Name of the any-view network's encoder."""
        return self.da3.encoder

    def metadata(self) -> dict[str, str]:
        """What its tensors do not contain; see `DepthNetwork.metadata`."""
        return self.da3.metadata()

    def simplify(self) -> None:
        """Fold every LayerScale of both encoders; see `DepthNetwork.simplify`."""
        self.da3.simplify()
        self.da3_metric.simplify()

    def tables(self, height: int, width: int) -> tuple[Tensor, ...]:
        """The position tables of an input size; see `DepthNetwork.tables`."""
        return self.da3.tables(height, width) + self.da3_metric.tables(height, width)

    def forward(self, image: Tensor) -> Tensor:
        """Predict depth of single views; see `DepthNetwork.forward`."""
        return self.named_outputs(image)[DEPTH]

    def named_outputs(self, image: Tensor) -> dict[str, Tensor]:
        """Predict depth, confidence and sky of single views; see `DepthNetwork.named_outputs`.

        Args:
            image: N x 3 x H x W, normalised; H and W multiples of 14.

        Returns:
            Depth of the canonical camera, NaN without enough that is not sky; confidence > 1;
            sky >= 0; N x H x W float32 each.

        Raises:
            InputError: A side is not a multiple of 14.
        """
        views, metric = self.da3.named_outputs(image), self.da3_metric.named_outputs(image)
        factor = _factor(views, metric)[:, None, None]
        return {
            DEPTH: factor * views[DEPTH],
            CONFIDENCE: views[CONFIDENCE],
            SKY: metric[SKY],
        }

    def view_features(self, image: Tensor) -> Features:
        """The any-view network's, and the image; see `SeveralViewsNetwork.view_features`."""
        return (*self.da3.view_features(image), image)

    def answer_views(
        self,
        features: Sequence[Features],
        size: tuple[int, int],
        extrinsics: Tensor | None = None,
        intrinsics: Tensor | None = None,
    ) -> ViewsAnswer:
        """Depth, confidence and sky of the first view; see `SeveralViewsNetwork`."""
        answer = self.da3.answer_views(
            [each[:-1] for each in features], size, extrinsics, intrinsics
        )
        metric = self.da3_metric.named_outputs(features[0][-1][None])
        batch = {name: values[None] for name, values in answer.outputs.items()}
        factor = _factor(batch, metric)[0]
        outputs = {
            DEPTH: factor * answer.outputs[DEPTH],
            CONFIDENCE: answer.outputs[CONFIDENCE],
            SKY: metric[SKY][0],
        }
        poses = answer.poses.clone()
        poses[:, :3, 3] *= factor
        return ViewsAnswer(outputs, poses)


def _factor(views: dict[str, Tensor], metric: dict[str, Tensor]) -> Tensor:
    """From the any-view network's unit to the metric one's, by least squares, N.

    Pixels count whose confidence is at least the median of those that are not sky.
    """
    depth, confidence = views[DEPTH].flatten(1), views[CONFIDENCE].flatten(1)
    reference, sky = metric[DEPTH].flatten(1), metric[SKY].flatten(1)
    ground = sky < SKY_THRESHOLD
    counts = ground.sum(1, keepdim=True)
    ordered = torch.where(ground, confidence, torch.inf).sort(1).values
    middle = [ordered.gather(1, place.clamp(0)) for place in ((counts - 1) // 2, counts // 2)]
    surer = confidence >= (middle[0] + middle[1]) / 2
    counted = surer & ground & (reference > _LEAST_METRIC_DEPTH) & (depth > _LEAST_DEPTH)
    known = torch.where(counted, depth, 0.0)
    return (known * reference).sum(1) / known.square().sum(1)
