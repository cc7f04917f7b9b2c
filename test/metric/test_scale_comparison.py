"""Two sources of scale at once: whether what they say of one image agrees."""

from __future__ import annotations

from dataclasses import replace

import pytest
from metric_scenes import CAMERA, frame, ground_plane, plane_depth, relative

from depth_anything_ros.frames import DepthFrame, Quality, ScaleState
from depth_anything_ros.metric.scale_comparison import ScaleComparison

GROUND = ground_plane()
SCALE, SHIFT = 0.04, 0.03


def answer(second: int, factor: float = 1.0, method: str = "sparse") -> DepthFrame:
    """An answer whose depth is this many times what the ground says."""
    depth = plane_depth(GROUND)
    seen = replace(frame(depth, ground=GROUND), stamp=second * 10**9, camera=CAMERA)
    state = ScaleState(method, Quality.GOOD, "points agree", SCALE / factor, SHIFT / factor)
    return DepthFrame(seen, relative(depth, SCALE, SHIFT), depth, None, state)


@pytest.mark.parametrize("factor", [1.2, 0.8])
def test_scales_that_disagree_are_said(factor: float) -> None:
    comparison = ScaleComparison()
    for second in range(1, 21):
        assert not comparison.finding
        comparison.add(answer(second, factor))
    said = f"by sparse everything is {factor:.2f} times as far as by the ground plane"
    assert said in comparison.finding
    assert comparison.values["scale_against_ground_plane"] == pytest.approx(factor, rel=0.01)
    comparison.add(answer(30, factor, method="slam"))  # another source: it starts anew
    assert not comparison.finding


def test_scales_that_agree_are_not_mentioned() -> None:
    comparison = ScaleComparison()
    for second in range(1, 30):
        comparison.add(answer(second, 1.1 if second % 2 else 0.7))
    assert not comparison.finding
    assert comparison.values


def test_one_source_alone_is_not_compared() -> None:
    comparison = ScaleComparison()
    for second in range(1, 30):
        comparison.add(answer(second, 1.5, method="ground_plane"))
        held = answer(second, 1.5)
        invalid = ScaleState("sparse", Quality.INVALID, "no points")
        comparison.add(replace(held, scale_state=invalid))
        comparison.add(replace(held, frame=replace(held.frame, ground=None)))
    assert not comparison.finding and not comparison.values
