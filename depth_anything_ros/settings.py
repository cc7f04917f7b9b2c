"""Settings of users: network, how it runs, scaler.

Plain values only; names of backends and scale sources are checked where they are looked up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ModelSettings:
    """Which network, and how it runs.

    Attributes:
        model: Catalogue name, path to a .pth, .safetensors or .onnx file, "embedded", or "auto":
            the official Small network where it can be had, else the embedded one.
        device: "auto" (cuda, else mps, else cpu), "cpu", "mps", "cuda" or "cuda:N".
        precision: "auto", "fp32", "fp16", "bf16" or "int8", which needs an export made with
            pictures.
        input_size: Pixels of the image's shorter side as the network sees it; 0 takes the
            model's own (518 for the official ones).
        num_threads: CPU threads; 0 takes all cores but one.
        backend: "auto" or the name of a registered backend. Where it or `precision` is "auto", the
            fastest installed one is taken whose depth stays within 1 % of float32 with the very
            weights.
        window: Images of one camera that an any-view network sees together, the newest and
            keyframes before it; 1 for each image alone.
    """

    model: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    input_size: int = 0
    num_threads: int = 0
    backend: str = "auto"
    window: int = 1


@dataclass(frozen=True)
class ScalerSettings:
    """Scaler and its settings.

    Attributes:
        scaler: "auto" (the best that can measure), "none", or the name of a scale source.
        scale: For "fixed": factor on the network's values; 0 means not given.
        shift: For "fixed": added after the factor.
        scale_file: For "fixed": file that was saved before, in place of scale and shift.
        baseline: For "baseline": virtual baseline in metres; 0 means not given.
        fit_shift: Fit a shift beside the scale; None means for relative networks only.
        min_points: Fewest measured points that are trusted.
        refinement: "local" lets measured points correct the depth around them, "prior" has a
            network finish that, "none" does not.
        prior_model: For "prior": catalogue name or path of Prior Depth Anything's second stage.
        ground_fusion: Where the ground plane is known, put floor on it and obstacles at their feet.
        temporal_filter: Average the depth of images that follow each other (not of single ones).
        max_age: Seconds for which a scale is held without measurement; may be infinite.
        seed: Of all random choices.
    """

    scaler: str = "auto"
    scale: float = 0.0
    shift: float = 0.0
    scale_file: Path | None = None
    baseline: float = 0.0
    fit_shift: bool | None = None
    min_points: int = 6
    refinement: str = "local"
    prior_model: str = "prior_depth_anything_vits_1_1"
    ground_fusion: bool = True
    temporal_filter: bool = False
    max_age: float = 2.0
    seed: int = 0
