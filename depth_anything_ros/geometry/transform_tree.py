"""Poses of frames over time: a tree of transforms, read at any moment between two of its poses."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation, Slerp

from depth_anything_ros.errors import InputError

Matrix = npt.NDArray[np.float64]


def interpolated(first: Matrix, second: Matrix, share: float) -> Matrix:
    """A pose between two others: position on a line, rotation along the shortest arc.

    Args:
        first: 4x4 pose.
        second: 4x4 pose.
        share: 0 gives the first, 1 the second.

    Returns:
        4x4 float64.
    """
    turns = Rotation.from_matrix(np.stack([first[:3, :3], second[:3, :3]]))
    pose = np.eye(4)
    pose[:3, :3] = Slerp([0.0, 1.0], turns)(share).as_matrix()
    pose[:3, 3] = (1 - share) * first[:3, 3] + share * second[:3, 3]
    return pose


class TransformTree:
    """Transforms between frames as tf2's buffer keeps them; not safe to use from several threads.

    A static transform holds at every time. Another one is interpolated between the poses that
    were added, and not known before the first or after the last of them.

    Args:
        keep_s: Seconds of poses that are kept of each frame; tf2's buffer keeps 10.
    """

    def __init__(self, keep_s: float = 10.0) -> None:
        self._keep = round(keep_s * 1e9) if np.isfinite(keep_s) else None
        self._parents: dict[str, str] = {}
        self._static: dict[str, Matrix] = {}
        self._poses: dict[str, deque[tuple[int, Matrix]]] = {}

    def add(self, parent: str, child: str, matrix: Matrix, stamp: int | None = None) -> None:
        """Take in a transform.

        Args:
            parent: Frame that points are brought into.
            child: Frame that they are in.
            matrix: 4x4, child -> parent.
            stamp: Time in nanoseconds; None for a static transform.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if self._parents.get(child, parent) != parent:  # tf2, too, forgets the old parent
            self._static.pop(child, None)
            self._poses.pop(child, None)
        self._parents[child] = parent
        if stamp is None:
            self._static[child] = matrix
            return
        poses = self._poses.setdefault(child, deque())
        if poses and stamp <= poses[-1][0]:
            if poses[-1][0] - stamp < 1_000_000_000:
                return  # sent twice, or late
            poses.clear()  # a recording started again
        poses.append((stamp, matrix))
        while self._keep is not None and poses[-1][0] - poses[0][0] > self._keep:
            poses.popleft()

    def lookup(self, target: str, source: str, stamp: int) -> Matrix:
        """The transform that brings points of one frame into another at one time.

        Args:
            target: Frame of the result.
            source: Frame the points are in.
            stamp: Time in nanoseconds; 0 takes the newest known.

        Returns:
            4x4 float64, source -> target.

        Raises:
            InputError: The frames are not connected, or not at this time.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        from_source, from_target = self._ancestors(source), self._ancestors(target)
        shared = next((frame for frame in from_source if frame in from_target), None)
        if shared is None:
            raise InputError(f"the transforms do not connect '{source}' with '{target}'")
        up = self._to_ancestor(source, shared, stamp)
        down = self._to_ancestor(target, shared, stamp)
        return np.asarray(np.linalg.inv(down) @ up, np.float64)

    def root(self, frame: str) -> str:
        """The topmost frame above another one; the frame itself where nothing is above it."""
        return self._ancestors(frame.lstrip("/"))[-1]

    def _ancestors(self, frame: str) -> list[str]:
        """A frame, its parent, and so on up to the root."""
        chain = [frame]
        while chain[-1] in self._parents and self._parents[chain[-1]] not in chain:
            chain.append(self._parents[chain[-1]])
        return chain

    def _to_ancestor(self, frame: str, ancestor: str, stamp: int) -> Matrix:
        matrix = np.eye(4)
        while frame != ancestor:
            matrix = self._at(frame, stamp) @ matrix
            frame = self._parents[frame]
        return matrix

    def _at(self, child: str, stamp: int) -> Matrix:
        """The transform of a frame into its parent at one time."""
        if child in self._static:
            return self._static[child]
        poses: Any = self._poses[child]
        if stamp == 0:
            newest: Matrix = poses[-1][1]
            return newest
        after = bisect_left(poses, stamp, key=_stamp_of)
        if after < len(poses) and poses[after][0] == stamp:
            exact: Matrix = poses[after][1]
            return exact
        if after in (0, len(poses)):
            first, last = poses[0][0], poses[-1][0]
            raise InputError(
                f"'{child}' in '{self._parents[child]}' is known from {first / 1e9:.3f} to "
                f"{last / 1e9:.3f} s, not at {stamp / 1e9:.3f} s"
            )
        (start, before), (end, behind) = poses[after - 1], poses[after]
        return interpolated(before, behind, (stamp - start) / (end - start))


def _stamp_of(pose: tuple[int, Matrix]) -> int:
    return pose[0]
