from __future__ import annotations

import numpy as np
import pytest
from metric_scenes import CAMERA, Array, frame, ground_plane, metric, plane_depth, relative

from depth_anything_ros.frames import Plane, Prediction
from depth_anything_ros.metric.fit import FitSettings, UnmeasurableError
from depth_anything_ros.metric.sources.ground import GroundPlaneSource, GroundSettings

GROUND = ground_plane()


def spoil(prediction: Prediction, depth: Array, share: float, noise: float) -> Prediction:
    """Prediction of a depth map with obstacles before the ground and noise."""
    rng = np.random.default_rng(0)
    off = depth * np.exp(noise * rng.standard_normal(depth.shape))
    bad = rng.random(depth.shape) < share
    off = np.where(bad, depth * rng.uniform(0.2, 0.7, depth.shape), off)
    return relative(off, 0.04, 0.03)


def test_pure_ground_gives_the_exact_scale_and_shift() -> None:
    depth = plane_depth(GROUND)
    found = GroundPlaneSource().measure(relative(depth, 0.04, 0.03), frame(depth, ground=GROUND))
    print(f"scale {found.scale:.8f} of 0.04, shift {found.shift:.8f} of 0.03")
    assert found.scale == pytest.approx(0.04, rel=1e-6)
    assert found.shift == pytest.approx(0.03, rel=1e-6)


def test_obstacles_on_40_percent_of_the_ground_and_noise_stay_within_one_percent() -> None:
    depth = plane_depth(GROUND)
    prediction = spoil(relative(depth, 0.04, 0.03), depth, 0.4, 0.02)
    found = GroundPlaneSource().measure(prediction, frame(depth, ground=GROUND))
    near = found.scale * prediction.values[-1].mean() + found.shift
    print(
        f"scale {found.scale / 0.04 - 1:+.3%} shift {found.shift / 0.03 - 1:+.3%} near {near:.4f}"
    )
    assert found.scale == pytest.approx(0.04, rel=0.01)
    assert found.shift == pytest.approx(0.03, rel=0.01)


def test_a_table_larger_than_the_floor_is_not_taken_for_it() -> None:
    floor = plane_depth(GROUND)
    table = plane_depth(Plane(GROUND.normal, 0.45))
    depth = floor.copy()
    depth[150:, :220] = table[150:, :220]
    found = GroundPlaneSource().measure(relative(depth, 0.04, 0.03), frame(depth, ground=GROUND))
    assert found.scale == pytest.approx(0.04, rel=0.01)
    assert found.shift == pytest.approx(0.03, rel=0.02)


def test_a_metric_network_gets_its_factor_from_the_ground() -> None:
    depth = plane_depth(GROUND)
    depth[:, 200:] = np.minimum(depth[:, 200:], 2.5)
    found = GroundPlaneSource().measure(metric(depth, 1.3), frame(depth, ground=GROUND))
    assert (found.scale, found.shift) == (pytest.approx(1.3, rel=1e-3), 0.0)


def test_without_ground_nothing_is_measured() -> None:
    wall = np.full((CAMERA.height, CAMERA.width), 1.5)
    rng = np.random.default_rng(0)
    wall *= np.exp(0.005 * rng.standard_normal(wall.shape))
    source = GroundPlaneSource()
    with pytest.raises(UnmeasurableError, match="no ground is seen"):
        source.measure(relative(wall, 0.04, 0.03), frame(wall, ground=GROUND))
    up = ground_plane(pitch_deg=-60)
    with pytest.raises(UnmeasurableError, match="looks above it"):
        source.measure(relative(wall, 0.04, 0.03), frame(wall, ground=up))
    with pytest.raises(UnmeasurableError, match="where the camera stands"):
        source.measure(relative(wall, 0.04, 0.03), frame(wall))
    with pytest.raises(UnmeasurableError, match="must be above 0"):
        source.measure(relative(wall, 0.04, 0.03), frame(wall, ground=Plane(GROUND.normal, -0.2)))


@pytest.mark.parametrize("claimed", [75, 80, 85])
def test_a_street_with_its_horizon_is_not_seen_from_above(claimed: float) -> None:
    """Nearly one depth for everything would explain any picture within the tolerance."""
    street = np.nan_to_num(plane_depth(GROUND), nan=60.0, posinf=60.0)
    street = np.clip(street, 0.5, 60.0)
    street[:, :60] = np.minimum(street[:, :60], 4.0)  # houses, not where the ground is
    noise = np.exp(0.03 * np.random.default_rng(0).standard_normal(street.shape))
    prediction = relative(street * noise, 0.04, 0.03)
    seen = frame(street, ground=ground_plane(pitch_deg=claimed))
    with pytest.raises(UnmeasurableError, match=r"at nearly one depth, 1\.[0-9]+ m"):
        GroundPlaneSource().measure(prediction, seen)


@pytest.mark.parametrize("pitch", [45, 60, 70])
def test_a_camera_that_truly_looks_down_is_measured(pitch: float) -> None:
    down = ground_plane(pitch_deg=pitch)
    depth = plane_depth(down)
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(depth.shape))
    found = GroundPlaneSource().measure(
        relative(depth * noise, 0.04, 0.03), frame(depth, ground=down)
    )
    assert found.scale == pytest.approx(0.04, rel=0.1)


def test_the_share_that_must_be_ground_is_a_setting() -> None:
    depth = plane_depth(GROUND)
    prediction = spoil(relative(depth, 0.04, 0.03), depth, 0.4, 0.02)
    strict = GroundPlaneSource(GroundSettings(min_share=0.9, fit=FitSettings(seed=4)))
    with pytest.raises(UnmeasurableError, match="at least 90%"):
        strict.measure(prediction, frame(depth, ground=GROUND))
