"""The record of a network family and the registry of all families.

A family is a folder in `families/` that registers its record when it is imported. The folder's
`__init__` must not load torch: the catalogue and every list of choices enumerate the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from depth_anything_ros.errors import CheckpointError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from depth_anything_ros.network.depth_network import DepthNetwork

ModuleT = TypeVar("ModuleT", bound="nn.Module")


@dataclass(frozen=True)
class CheckpointHints:
    """Metadata of a file or in its name, beside its tensors; None where there is none.

    Attributes:
        source: Where it comes from, as text ("its metadata", "its config.json", "its name").
        kind: What the numbers mean.
        max_depth: Metres at the top of a metric network.
        version: Version of the family.
        input_size: Side of the input in pixels at which it is best; 0 for the family's own.
        details: What else only the family understands, by name.
        published: Catalogue name of the network that it says it is, empty where it says nothing.
    """

    source: str
    kind: PredictionKind | None = None
    max_depth: float | None = None
    version: str | None = None
    input_size: int = 0
    details: Mapping[str, str] | None = None
    published: str = ""


@dataclass(frozen=True)
class NetworkFamily:
    """Networks of one architecture, official ones and others.

    Attributes:
        name: The word that selects it.
        meaning: What it is, in one line.
        rank: Its place in lists; files are tried in this order.
        models: Its published networks: the catalogue.
        recognises: Whether tensors of these names are one of its networks, in any of the layouts
            it reads.
        hints: What the name of a file and the config.json beside it (None without) say; the
            metadata of our own files is read before, and the catalogue.
        build: The network of some tensors, which become its weights, in float32 and evaluation
            mode on the CPU: tensors as the file names them, what is known beside them, the file
            for messages. Raises CheckpointError where they do not fit.
    """

    name: str
    meaning: str
    rank: int
    models: tuple[ModelInfo, ...]
    recognises: Callable[[Collection[str]], bool]
    hints: Callable[[str, Mapping[str, Any] | None], CheckpointHints]
    build: Callable[[dict[str, Tensor], CheckpointHints, Path], DepthNetwork]


FAMILIES: Registry[NetworkFamily] = Registry(
    "network family", "depth_anything_ros.network.families"
)
"""Every network family."""


def with_weights(
    make: Callable[[], ModuleT], state: dict[str, Tensor], path: Path, name: str
) -> ModuleT:
    """A network that holds these very tensors, in float32 and evaluation mode on the CPU.

    Args:
        make: Makes the network; its own start values are never computed.
        state: Tensors under the network's own names, all of them.
        path: The file, for messages.
        name: Of the network, for messages ("vits network of Depth Anything").

    Returns:
        The network.

    Raises:
        CheckpointError: A tensor is missing, left over or of another shape.
    """
    import torch

    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced
        network = make()
    state = {name: t.float() if t.is_floating_point() else t for name, t in state.items()}
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        lines = (line.strip() for line in str(error).splitlines()[1:3])
        # Of another architecture every tensor is named.
        first = "; ".join(line if len(line) <= 200 else f"{line[:200]} ..." for line in lines)
        raise CheckpointError(f"'{path}' does not fit the {name}: {first}") from error
    return network.requires_grad_(True).eval()
