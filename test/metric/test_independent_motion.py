"""What moves by itself is told from what is still and has a wrong depth."""

from __future__ import annotations

import cv2
import numpy as np
from metric_scenes import CAMERA, look_at_plane, texture
from real_frames import Array

from depth_anything_ros.frames import Plane
from depth_anything_ros.geometry.camera_motion import displacement, parallax, sample_displaced
from depth_anything_ros.metric.independent_motion import MovedPicture, filled, independent_motion

SMALL = CAMERA.resized(160, 120)
SLANTED = Plane((0.1, -0.5, -0.86), 4.0)
MOTION = np.eye(4)  # present optical frame -> last one
MOTION[:3, 3] = 0.06, 0.0, 0.04
PATCH = np.s_[40:80, 60:100]
THING = np.s_[30:80, 60:90]
NOTHING = np.zeros((120, 160), np.float32)


def seen(grey_step: float = 200.0, shift: int = 0) -> tuple[Array, Array, Array]:
    """Present picture, last picture and depth; a patch came `shift` pixels down and to the left."""
    now, depth = look_at_plane(np.eye(4), SLANTED, SMALL, texture(1))
    last, _ = look_at_plane(np.linalg.inv(MOTION), SLANTED, SMALL, texture(1))
    now, last = now[..., 0].copy(), last[..., 0].copy()
    if shift:
        image = texture(2)[:40, :40] * (grey_step / 255) + 40
        now[PATCH] = image
        last[40 - shift : 80 - shift, 60 + shift : 100 + shift] = image
    return now, last, depth.astype(np.float32)


def pictures(now: Array, last: Array, depth: Array) -> MovedPicture:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.asarray(dis.calc(now, last, np.empty(0)), np.float32)
    inverse = (1 / depth).astype(np.float32)
    moved = displacement(SMALL, inverse, MOTION)
    (by_motion,) = sample_displaced((last.astype(np.float32),), *moved[:2])
    along = parallax(SMALL, moved, MOTION)
    return MovedPicture(now, last, by_motion, flow, moved[:2], along, inverse)


def found(now: Array, last: Array, depth: Array, before: Array = NOTHING) -> Array:
    """In how many images in a row each pixel moved."""
    return independent_motion(pictures(now, last, depth), before)


def test_still_things_do_not_move_even_where_their_depth_is_wrong() -> None:
    now, last, depth = seen()
    assert (found(now, last, depth) > 0).mean() < 0.01
    depth[PATCH] *= 1.7
    wrong = pictures(now, last, depth)
    assert (independent_motion(wrong, NOTHING) > 0).mean() < 0.01
    assert wrong.unexplained[PATCH].mean() < 0.3


def test_what_moves_is_found() -> None:
    moving = found(*seen(shift=4)) > 0
    assert moving[PATCH].mean() > 0.8
    moving[30:90, 50:110] = False
    assert moving.mean() < 0.02


def test_what_moved_before_is_followed_on_less_evidence() -> None:
    before = NOTHING.copy()
    before[36:76, 64:104] = 2
    unseen, followed = (found(*seen(14.0, 4), each) for each in (NOTHING, before))
    assert (followed > 0)[PATCH].mean() > (unseen > 0)[PATCH].mean() + 0.2
    assert followed.max() == 3
    assert (found(*seen(), before) > 0).mean() < 0.01


def test_inside_of_what_keeps_moving_is_filled() -> None:
    now, last, depth = seen(shift=4)
    now[44:76, 64:96] = last[40:72, 68:100] = 90  # texture at its border only
    depth[PATCH] = 2.0
    before = NOTHING.copy()
    before[36:76, 64:104] = 6
    both = pictures(now, last, depth)
    edges = independent_motion(both, before)
    assert filled(both, edges)[PATCH].mean() > max(0.6, (edges > 0)[PATCH].mean())
    np.testing.assert_array_equal(filled(both, np.minimum(edges, 1)), edges > 0)


def thing_on_floor() -> Array:
    """A thing in front of a wall keeps moving; flow is wrong on the floor before it, too."""
    grey = np.full((120, 160), 100, np.uint8)
    inverse = np.full((120, 160), 0.2, np.float32)
    inverse[60:] = np.linspace(0.2, 0.8, 60, dtype=np.float32)[:, None]
    inverse[THING] = 0.5
    inverse[30:80, 90:96] = 0.45
    by_motion = grey.astype(np.float32)
    by_motion[THING] += 20
    flow = np.zeros((120, 160, 2), np.float32)
    flow[60:] = flow[THING] = 3, 0
    before = NOTHING.copy()
    before[40:60, 60:66] = 6  # the rest of it has no texture
    still = NOTHING, NOTHING
    down = NOTHING, np.ones_like(NOTHING)
    both = MovedPicture(grey, grey, by_motion, flow, still, down, inverse)
    return filled(both, independent_motion(both, before))


def test_a_thing_is_filled_and_the_floor_before_it_is_not() -> None:
    moving = thing_on_floor()
    assert moving[THING].mean() > 0.95
    assert moving[100:].mean() < 0.01


def test_parallax_is_the_derivative_of_displacement() -> None:
    depth = seen()[2]
    step = np.float32(0.01)
    moved, further = (displacement(SMALL, 1 / depth + each, MOTION) for each in (0, step))
    for k, along in enumerate(parallax(SMALL, moved, MOTION)):
        np.testing.assert_allclose((further[k] - moved[k]) / step, along, atol=0.02, rtol=0.02)
