"""Transforms of a recording, where the node has tf2's."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.bags import Transform
from depth_anything_ros.geometry.transform_tree import TransformTree
from depth_anything_ros.node.sensors.transforms import Matrix, TransformError


class RecordedTransforms:
    """Looks up transforms between frames among those recorded so far.

    Attributes:
        available: True: what was not recorded is a `TransformError` of its own.
    """

    def __init__(self) -> None:
        self.available = True
        self._tree = TransformTree()

    def add(self, transforms: Iterable[Transform], static: bool) -> None:
        """Take in the content of a message.

        Args:
            transforms: The transforms.
            static: Whether they come from /tf_static.
        """
        for each in transforms:
            self._tree.add(each.parent, each.child, each.matrix, None if static else each.stamp)

    def lookup(self, target: str, source: str, stamp: int, timeout: float) -> Matrix:
        """The transform source -> target at one time; there is nothing to wait for.

        Raises:
            TransformError: It was not recorded.
        """
        if target == source:
            return np.eye(4)
        try:
            return self._tree.lookup(target, source, stamp)
        except InputError as error:
            raise TransformError(f"no transform {source} -> {target}: {error}") from error

    def lookup_moved(
        self,
        target: str,
        target_stamp: int,
        source: str,
        source_stamp: int,
        fixed_frame: str,
        timeout: float,
    ) -> Matrix:
        """The transform between two frames at two times; see `Transforms.lookup_moved`.

        Raises:
            TransformError: It was not recorded.
        """
        return np.asarray(
            self.lookup(target, fixed_frame, target_stamp, timeout)
            @ self.lookup(fixed_frame, source, source_stamp, timeout),
            np.float64,
        )
