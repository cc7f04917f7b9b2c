"""Whether the camera's motion shows ground, however noisy and faint the images are.

Noise makes one of several heights fit better than the ground by chance. What differs by little more
counts only where it is so all over what looks alike around it: costs are averaged along the edges
of the image, as in cost volume filtering (Hosni et al. 2013), with a guided filter (He, Sun and
Tang 2013).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage
from depth_anything_ros.metric.plane_sweep import NOISE

# Own choices, made on simulated rooms and streets with and without noise, and on noise alone.
_BEST = 10.0  # per cent of all places that match best: there hardly more than noise is left,
_OF_NOISE = 0.6  # of which this share is taken from all differences,
_NOISE_LEFT = 0.5  # and this share of it says nothing even then
_BY_CHANCE = 0.3  # of its cost by which a height may fit better by chance,
_BY_CHANCE_AROUND = 0.1  # and on average around
_AROUND = (25, 15)  # columns and rows of the answer
_CONTRAST = 4.0  # grey values by which places look alike


@dataclass(frozen=True)
class GroundEvidence:
    """How well the ground fits, and other heights.

    Attributes:
        floor: Rows x columns float32 from -1, something fits better, to 1; 0 where unknown.
        costs: Heights x rows x columns float32, mean differences of grey values without noise.
        quiet: Difference of costs that says nothing.
    """

    floor: FloatImage
    costs: FloatImage
    quiet: float


def ground_evidence(
    costs: FloatImage, below: FloatImage, gray: FloatImage, inside: npt.NDArray[np.bool_]
) -> GroundEvidence:
    """How much better the ground fits than any plane above it.

    Where one below fits better than the ground nothing is known: motion does not tell what is
    there.

    Args:
        costs: Heights x rows x columns float32, mean differences of grey values; the first height
            is the ground.
        below: Rows x columns float32, the least of planes below the ground.
        gray: Rows x columns float32 grey values of the image.
        inside: Rows x columns bool, where both images show something.
    """
    noise = _noise(costs, inside)
    quiet = max(NOISE, _NOISE_LEFT * noise)
    here, around = _without(noise, costs), _along_edges(gray, inside)
    weak, below_weak = _without(noise, around(costs)), _without(noise, around(below[None]))[0]
    alone = _evidence(here, _without(noise, below), noise, quiet, _BY_CHANCE)
    wide = _evidence(weak, below_weak, noise, quiet, _BY_CHANCE_AROUND)
    raised = here[1:].min(axis=0) < here[0]
    floor = np.where(raised, np.minimum(alone, wide), alone)
    return GroundEvidence(np.where(inside, floor, np.float32(0)), here, quiet)


def _evidence(
    costs: FloatImage, below: FloatImage, noise: float, quiet: float, by_chance: float
) -> FloatImage:
    """From -1 to 1; 0 where a height fits better by chance, or a plane below the ground does."""
    raised = costs[1:].min(axis=0)
    ground, other = costs[0], np.minimum(raised, below)
    better = other - ground
    chance = np.float32(by_chance) * np.hypot(other, np.float32(noise))
    better = np.where(better < 0, np.minimum(better + chance, 0), better)
    evidence = better / (other + ground + np.float32(2 * quiet))
    return np.asarray(np.where((evidence < 0) & (below < raised), 0, evidence), np.float32)


def _noise(costs: FloatImage, inside: npt.NDArray[np.bool_]) -> float:
    """How much grey values differ by the camera's noise alone."""
    least = costs.min(axis=0)[inside]
    return _OF_NOISE * float(np.percentile(least, _BEST)) if least.size else 0.0


def _without(noise: float, costs: FloatImage) -> FloatImage:
    """Differences that would be left without noise: the two are independent of each other."""
    return np.sqrt(np.maximum(np.square(costs) - np.float32(noise**2), 0))


def _along_edges(
    gray: FloatImage, inside: npt.NDArray[np.bool_]
) -> Callable[[FloatImage], FloatImage]:
    """A guided filter (He, Sun and Tang 2013, equations 5 to 8) of images that lie one by one."""
    weight = inside.astype(np.float32)
    share = np.maximum(cv2.blur(weight, _AROUND), np.float32(1e-3))

    def mean(image: FloatImage) -> FloatImage:
        return np.asarray(cv2.blur(image * weight, _AROUND) / share, np.float32)

    mean_gray = mean(gray)
    variance = np.maximum(mean(gray * gray) - mean_gray * mean_gray, 0) + np.float32(_CONTRAST**2)

    def smooth(image: FloatImage) -> FloatImage:
        mean_image = mean(image)
        common = mean(gray * image) - mean_gray * mean_image
        slope = np.asarray(common / variance, np.float32)
        return mean(slope) * gray + mean(mean_image - slope * mean_gray)

    return lambda images: np.maximum(np.stack([smooth(each) for each in images]), 0)
