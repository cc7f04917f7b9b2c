"""The camera model against closed forms, OpenCV and REP-104."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.geometry.camera import Camera, distort, project, ray_table, rays_of_pixels
from depth_anything_ros.geometry.rectification import rectify

K = [500.0, 0.0, 310.0, 0.0, 505.0, 236.0, 0.0, 0.0, 1.0]
MODELS = {
    "plumb_bob": [-0.28, 0.09, 0.0012, -0.0008, -0.01],
    "rational_polynomial": [0.1, -0.05, 0.0005, 0.0003, 0.01, 0.3, -0.02, 0.005],
    "equidistant": [-0.02, 0.004, -0.001, 0.0002],
}


def camera(model: str = "", d: list[float] | None = None) -> Camera:
    return Camera.from_fields(640, 480, K, d or [], distortion_model=model)


def test_rays_of_a_pinhole_are_its_formula() -> None:
    x, y = ray_table(camera())
    assert x.shape == (1, 640)
    assert y.shape == (480, 1)
    np.testing.assert_allclose(x[0, 17], (17 - 310.0) / 500.0, rtol=1e-6)
    np.testing.assert_allclose(y[450, 0], (450 - 236.0) / 505.0, rtol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_distorted_rays_project_back_onto_their_pixels(model: str) -> None:
    bent = camera(model, MODELS[model])
    x, y = ray_table(bent)
    assert np.isfinite(x).all()
    z = np.linspace(0.5, 30.0, x.size)
    points = np.stack([x.ravel() * z, y.ravel() * z, z], axis=1)
    d = np.array(MODELS[model])
    if model == "equidistant":
        pixels = cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), bent.k, d)[0]
    else:
        pixels = cv2.projectPoints(points, np.zeros(3), np.zeros(3), bent.k, d)[0]
    u, v = np.meshgrid(np.arange(640), np.arange(480))
    error = np.abs(pixels.reshape(-1, 2) - np.stack([u.ravel(), v.ravel()], axis=1)).max()
    print(f"{model}: largest reprojection error {error:.1e} px")
    assert error < 1e-3
    there = distort(bent, x.ravel().astype(np.float64), y.ravel().astype(np.float64))
    np.testing.assert_allclose(np.stack(there, axis=1), pixels.reshape(-1, 2), atol=1e-6)
    ours = project(bent, points)
    inner = (u.ravel() > 2) & (u.ravel() < 637) & (v.ravel() > 2) & (v.ravel() < 477)
    assert len(ours[2]) >= inner.sum()


def test_a_field_of_view_is_that_of_all_columns() -> None:
    camera = Camera.from_hfov(640, 480, 90.0)
    assert (camera.fx, camera.fy) == pytest.approx((320.0, 320.0))
    assert (camera.cx, camera.cy) == (319.5, 239.5)


@pytest.mark.parametrize("count", [8, 12, 14])
def test_more_coefficients_than_plumb_bob_has_are_of_the_rational_model(count: int) -> None:
    d = [*MODELS["rational_polynomial"], *(0.0,) * 6][:count]
    named = Camera.from_fields(640, 480, K, d, distortion_model="plumb_bob")
    assert named.distortion_model == "rational_polynomial"
    np.testing.assert_array_equal(
        ray_table(named), ray_table(camera("rational_polynomial", MODELS["rational_polynomial"]))
    )


@pytest.mark.parametrize("model", MODELS)
def test_sub_pixel_rays_agree_with_the_table(model: str) -> None:
    bent = camera(model, MODELS[model])
    x, y = rays_of_pixels(bent, np.array([100.0, 639.0]), np.array([50.0, 479.0]))
    table_x, table_y = ray_table(bent)
    np.testing.assert_allclose(x, table_x[[50, 479], [100, 639]], atol=1e-6)
    np.testing.assert_allclose(y, table_y[[50, 479], [100, 639]], atol=1e-6)


def test_pixels_without_a_ray_are_nan() -> None:
    # This barrel distortion folds over inside the image: no ray leads to its corners.
    folded = camera("plumb_bob", [-0.9, 0.0, 0.0, 0.0, 0.0])
    x, _ = ray_table(folded)
    assert np.isnan(x[0, 0])
    assert np.isfinite(x[236, 310])


def test_projection_keeps_only_what_is_seen() -> None:
    points = np.array([[0, 0, 2.0], [0, 0, -2.0], [50, 0, 2.0], [np.nan, 0, 1], [0.1, 0.2, 4.0]])
    u, v, z = project(camera(), points)
    np.testing.assert_allclose(u, [310.0, 310 + 500 * 0.1 / 4])
    np.testing.assert_allclose(v, [236.0, 236 + 505 * 0.2 / 4])
    np.testing.assert_allclose(z, [2.0, 4.0])


def test_far_points_do_not_fold_back_into_a_distorted_image() -> None:
    bent = camera("plumb_bob", [-0.28, 0.02, 0.0, 0.0, 0.0])
    sideways = np.array([[x, 0.0, 1.0] for x in np.linspace(1.5, 10, 200)])
    assert len(project(bent, sideways)[2]) == 0


def test_region_of_interest_and_binning_follow_rep_104() -> None:
    p = [480.0, 0, 300.0, -24.0, 0, 480.0, 230.0, 0, 0, 0, 1, 0]
    seen = Camera.from_fields(
        640, 480, K, [], [], p, "plumb_bob", binning=(2, 2), roi=(40, 60, 400, 300)
    )
    assert (seen.width, seen.height) == (200, 150)
    np.testing.assert_allclose([seen.fx, seen.fy, seen.cx, seen.cy], [250, 252.5, 135, 88])
    expected = [[240, 0, 130, -12], [0, 240, 85, 0], [0, 0, 1, 0]]
    np.testing.assert_allclose(seen.p, expected)


def test_resizing_keeps_rays_of_the_same_place() -> None:
    full = camera()
    small = full.resized(320, 240)
    # The centre between full-size pixels 100 and 101 is the centre of half-size pixel 50.
    x_full, _ = rays_of_pixels(full, np.array([100.5]), np.array([0.5]))
    x_small, _ = rays_of_pixels(small, np.array([50.0]), np.array([0.0]))
    np.testing.assert_allclose(x_small, x_full, atol=1e-12)
    assert full.resized(640, 480) is full


def test_field_of_view_spans_the_outer_edges() -> None:
    wide = Camera.from_hfov(640, 480, 90.0)
    x, _ = rays_of_pixels(wide, np.array([-0.5, 639.5]), np.array([0.0, 0.0]))
    np.testing.assert_allclose(x, [-1.0, 1.0], atol=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_rectified_pictures_show_straight_what_is_straight(model: str) -> None:
    bent = camera(model, MODELS[model])
    # A checkerboard seen through the distorted camera, made by evaluating it along the rays.
    x, y = ray_table(bent)
    tone = 127 + 80 * np.sin(12 * x) * np.cos(9 * y)
    picture = np.repeat(tone[..., None], 3, axis=2).astype(np.uint8)
    straight_x, straight_y = ray_table(bent.rectified())
    expected = 127 + 80 * np.sin(12 * straight_x) * np.cos(9 * straight_y)
    difference = np.abs(rectify(picture, bent)[..., 0].astype(float) - expected)
    assert np.median(difference) < 1.0
    assert np.percentile(difference[60:420, 80:560], 99) < 3.0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"k": [0.0] * 9}, "not calibrated"),
        ({"k": K[:4]}, "must have 9"),
        ({"k": K, "d": [0.1, 0.2], "distortion_model": "plumb_bob"}, "4 or 5 coefficients"),
        ({"k": K, "d": [0.1] * 4, "distortion_model": "magic"}, "'magic' is not known"),
        ({"k": K, "p": [1.0] * 5}, "R and P have 0 and 5"),
        ({"k": [float("nan"), *K[1:]]}, "not finite"),
    ],
)
def test_impossible_cameras_are_refused_in_words(fields: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Camera.from_fields(640, 480, **fields)


def test_the_ideal_fisheye_is_no_pinhole() -> None:
    for d in ([0.0] * 4, []):
        for name in ("equidistant", "fisheye"):
            fisheye = Camera.from_fields(640, 480, K, d, distortion_model=name)
            u = np.array([600.0, 40.0, fisheye.cx])
            x, _ = rays_of_pixels(fisheye, u, np.full(3, fisheye.cy))
            np.testing.assert_allclose(x, np.tan((u - fisheye.cx) / fisheye.fx), atol=1e-6)


@pytest.mark.parametrize("d", [[], [0.0] * 5, [0.1] * 8])
def test_p_alone_is_the_calibration_of_a_rectified_image(d: list[float]) -> None:
    p = [500, 0, 320, 0, 0, 510, 240, 0, 0, 0, 1, 0]
    found = Camera.from_fields(640, 480, [0.0] * 9, d, [], p, "rational_polynomial")
    assert (found.fx, found.fy, found.cx, found.cy) == (500, 510, 320, 240)
    assert not found.is_distorted
    assert found.rectified().fx == 500


@pytest.mark.parametrize(
    "p",
    [[0.0] * 12, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], [np.nan] * 12, [-1.0] * 12],
)
def test_placeholders_in_p_are_no_calibration(p: list[float]) -> None:
    found = Camera.from_fields(640, 480, K, [], [0.0] * 9, p, "plumb_bob")
    assert found.projection == ()
    assert found.rectified().fx == K[0]
    with pytest.raises(InputError, match="K is zero"):
        Camera.from_fields(640, 480, [0.0] * 9)


def test_five_coefficients_of_the_rational_model_are_those_of_plumb_bob() -> None:
    d = [-0.1, 0.01, 0.001, -0.002, 0.003]
    rational = Camera.from_fields(640, 480, K, d, distortion_model="rational_polynomial")
    plumb = Camera.from_fields(640, 480, K, d, distortion_model="plumb_bob")
    u, v = np.array([3.0, 600.0]), np.array([5.0, 400.0])
    np.testing.assert_allclose(rays_of_pixels(rational, u, v), rays_of_pixels(plumb, u, v))


@pytest.mark.parametrize(("width", "height"), [(427, 240), (426, 240), (640, 360), (1920, 1080)])
def test_a_calibration_fits_resized_images(width: int, height: int) -> None:
    camera = Camera(1280, 720, 900.0, 900.0, 639.5, 359.5)
    fitted = camera.fitted(width, height)
    assert (fitted.width, fitted.height) == (width, height)
    assert fitted.fx == pytest.approx(900 * width / 1280)
    with pytest.raises(InputError, match="which cannot be resized"):
        camera.fitted(640, 480)
