"""Which images of a camera follow each other without a break."""

from __future__ import annotations

from dataclasses import replace

from depth_anything_ros.frames import Frame, ImageSequence
from depth_anything_ros.metric.scene_cut import SceneCut

LONGEST_PAUSE = 2.0
"""Seconds between two images after which a new sequence begins (own choice)."""


class SequenceBreaks:
    """Begins a new sequence where the scene is cut, time jumps or the images have another size."""

    def __init__(self) -> None:
        self._cut = SceneCut()
        self._sequence = ImageSequence()
        self._last: tuple[int, tuple[int, ...]] | None = None  # stamp and shape

    def reset(self) -> None:
        """Begin a new sequence."""
        self._cut.reset()
        self._sequence = ImageSequence()
        self._last = None

    def complete(self, frame: Frame) -> Frame:
        """Add its sequence to the next image of a camera.

        Args:
            frame: The image.

        Returns:
            The same with `sequence`.
        """
        shape = frame.rgb.shape
        if self._last is not None:
            apart = (frame.stamp - self._last[0]) / 1e9
            if not 0 <= apart <= LONGEST_PAUSE or shape != self._last[1]:
                self.reset()
        if self._cut.happened(frame.rgb):
            self._sequence = ImageSequence()
        self._last = frame.stamp, shape
        return replace(frame, sequence=self._sequence)
