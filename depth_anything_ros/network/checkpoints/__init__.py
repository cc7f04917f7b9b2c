"""Model names and files -> networks with weights, and networks -> files."""

from depth_anything_ros.network.checkpoints.find import SUFFIXES, ModelFile, resolve
from depth_anything_ros.network.checkpoints.identify import (
    load_as,
    load_network,
    log_licence,
    save_network,
)

__all__ = [
    "SUFFIXES",
    "ModelFile",
    "load_as",
    "load_network",
    "log_licence",
    "resolve",
    "save_network",
]
