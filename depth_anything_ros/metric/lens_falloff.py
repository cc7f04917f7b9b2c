"""By how much a lens darkens its image away from the centre, learned while the camera moves."""

from __future__ import annotations

import cv2
import numpy as np

from depth_anything_ros.frames import FloatArray, FloatImage
from depth_anything_ros.geometry.camera import Camera

# Own choices.
_DARK, _BRIGHT = 15, 245  # grey values between which the ratio of two is exact enough
_AROUND = (5, 5)  # pixels whose mean counts, as pictures hardly ever match exactly
_FEWEST = 500  # pixels that two pictures share
_MOST_MATCHES = 8_000  # for cost
_ROUNDS = 6
_USUAL = 0.005  # log ratio that says nothing
_STIFF = 2e-4  # squared difference of radii for which none is taken that is not seen
_KEPT = 0.97  # of what was learned, with every pair of pictures
_LEAST = 0.02  # log darkening of a corner that is seen: a lens that has less is left as it is
_MOST = 1.5


class LensFalloff:
    """Learns how grey values fall towards the corners, and takes that from pictures.

    What the log of the brightness loses is modelled by an even polynomial of the distance from the
    principal point, as is usual (Goldman and Chen 2005, "Vignette and exposure calibration").

    Args:
        camera: Whose lens.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._normal, self._right = np.zeros((2, 2)), np.zeros(2)
        self._log: FloatArray = np.zeros(
            2
        )  # of brightness, times the 2nd and 4th power of the distance

    @property
    def at_corner(self) -> float:
        """Brightness at the farthest corner, relative to the centre."""
        return float(np.exp(self._log.sum()))

    def flattened(self, picture: FloatImage) -> FloatImage:
        """A picture as a lens that darkens nothing would give it.

        Args:
            picture: Rows x columns float32 grey values, the whole image in any size.

        Returns:
            Of the same shape; the same where nothing is known to be darkened.
        """
        if not -_MOST < self._log.sum() < -_LEAST:
            return picture
        rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
        factor = np.exp(-self._logs(self._square(columns, rows, picture.shape)))
        return np.minimum(picture * factor, np.float32(255))

    def learn(self, before: FloatImage, now: FloatImage, matches: FloatImage) -> None:
        """Learn from two pictures of the same scene, as the camera gave them.

        Args:
            before: Rows x columns float32 grey values.
            now: The same size.
            matches: 4xN float32, column and row in `now` and in `before` of what both show.
        """
        if matches.shape[1] < _FEWEST:
            return
        u, v, u_before, v_before = matches[:, :: -(-matches.shape[1] // _MOST_MATCHES)]
        here, there = (
            cv2.remap(cv2.blur(picture, _AROUND), x, y, cv2.INTER_LINEAR)[:, 0].astype(np.float64)
            for picture, x, y in ((now, u, v), (before, u_before, v_before))
        )
        used = (np.minimum(here, there) > _DARK) & (np.maximum(here, there) < _BRIGHT)
        if np.count_nonzero(used) < _FEWEST:
            return
        ratio = np.log(here[used] / there[used])
        at, at_before = (
            self._square(x[used], y[used], now.shape).astype(np.float64)
            for x, y in ((u, v), (u_before, v_before))
        )
        apart = np.stack([at - at_before, np.square(at) - np.square(at_before)])
        falloff = self._log
        gain = float(np.median(ratio - falloff @ apart))
        for _ in range(_ROUNDS):
            off = ratio - gain - falloff @ apart
            weight = 1 / (1 + np.square(off / (float(np.median(np.abs(off))) + _USUAL)))
            weight /= weight.sum()
            mean, mean_apart = float(weight @ ratio), apart @ weight
            spread = apart - mean_apart[:, None]
            normal = (weight * spread) @ spread.T
            right = (weight * spread) @ (ratio - mean)
            falloff = np.asarray(np.linalg.solve(normal + _STIFF * np.eye(2), right), np.float64)
            gain = mean - float(falloff @ mean_apart)
        self._normal = _KEPT * self._normal + normal
        self._right = _KEPT * self._right + right
        learned = np.linalg.solve(self._normal + _STIFF * np.eye(2), self._right)
        self._log = np.asarray(learned, np.float64)

    def _square(self, u: FloatImage, v: FloatImage, shape: tuple[int, ...]) -> FloatImage:
        """Square distance from the principal point, 1 at the farthest corner."""
        camera = self._camera
        x = (u + np.float32(0.5)) * np.float32(camera.width / shape[1]) - np.float32(camera.cx)
        y = (v + np.float32(0.5)) * np.float32(camera.height / shape[0]) - np.float32(camera.cy)
        farthest = max(camera.cx, camera.width - camera.cx) ** 2
        farthest += max(camera.cy, camera.height - camera.cy) ** 2
        return np.asarray((np.square(x) + np.square(y)) / np.float32(farthest), np.float32)

    def _logs(self, square: FloatImage) -> FloatImage:
        second, fourth = self._log.astype(np.float32)
        return np.asarray(second * square + fourth * np.square(square), np.float32)
