"""Names of topics: which are alike, which belong together, who is at their other end."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from depth_anything_ros.node.doctor.graph import DepthNodeView, Link, full_name

_NEAR = 3


def near_names(name: str, candidates: Sequence[str]) -> list[str]:
    """The most similar of some topic names, best first.

    Args:
        name: The name that is missing.
        candidates: Names that exist.

    Returns:
        At most three.
    """

    def likeness(candidate: str) -> float:
        return difflib.SequenceMatcher(None, name, candidate).ratio()

    return sorted(candidates, key=likeness, reverse=True)[:_NEAR]


def is_below(name: str, namespace: str) -> bool:
    """Whether a name lies in a namespace, or is it."""
    return name == namespace or name.startswith(f"{namespace}/")


def folder_of(topic: str) -> str:
    """All of a topic's name before the last part that is its own."""
    return topic.removesuffix("/compressed").rpartition("/")[0]


def is_sensor(topic: str, view: DepthNodeView) -> bool:
    """Whether an image topic is a depth camera's, for scaler sparse."""
    named = [name for name in view.parameters.get("depth_topics", ()) if name]
    return any(topic == name or topic.endswith(f"/{name.lstrip('~/')}") for name in named)


def who_is_there(link: Link) -> str:
    """Full names of the nodes at the other end of a topic."""
    return " and ".join(full_name(o.node_namespace, o.node_name) for o in link.others)
