"""Sizes, normalisation and the way back, against the official rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import RgbImage
from depth_anything_ros.inference.preprocess import (
    DeviceNormaliser,
    Normaliser,
    check_image,
    check_input_size,
    network_size,
    resize_aligned,
)
from depth_anything_ros.network.preprocessing import MEAN, STD, Preprocessing

SHAPES = [(480, 640), (481, 639), (1242, 375), (200, 800), (518, 518), (31, 57), (720, 1281)]


def official(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The official preprocessing, in float64 as there."""
    resized = cv2.resize(image / 255.0, size[::-1], interpolation=cv2.INTER_CUBIC)
    return ((resized - MEAN) / STD).astype(np.float32)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (480, 640, (518, 686)),  # 690.67 -> 49.3 patches
        (375, 1242, (518, 1722)),
        (1242, 375, (1722, 518)),
        (480, 480, (518, 518)),
        (364, 518, (518, 742)),
        (200, 800, (518, 2072)),
        (1080, 1920, (518, 924)),
        (517, 519, (518, 518)),
    ],
)
def test_network_size_is_the_lower_bound_rule(
    height: int, width: int, size: tuple[int, int]
) -> None:
    assert network_size(height, width) == size


def test_network_size_at_other_settings() -> None:
    assert network_size(480, 640, 252) == (252, 336)
    # 500 is no multiple of 14: 504 is nearest; 250 would round down to 252 - fine, 254 goes up.
    assert network_size(480, 640, 500) == (504, 672)
    assert network_size(480, 640, 254) == (266, 336)
    assert network_size(480, 640, 256, multiple_of=32) == (256, 352)
    with pytest.raises(InputError, match="1000x10"):
        network_size(10, 1000)
    for size in (0, 13, 100_000):
        with pytest.raises(SettingError, match=f"input_size is {size}"):
            check_input_size(size)


@pytest.mark.parametrize("shape", SHAPES)
def test_both_ways_equal_the_official_preprocessing(shape: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    image = noise(*shape)
    size = network_size(*shape)
    expected = official(image, size)
    normaliser = Normaliser(size)
    out = np.empty((*size, 3), np.float32)
    for _ in range(2):  # the second time through kept buffers
        normaliser.into(image, out)
        on_cpu = float(np.abs(out - expected).max())
    with torch.inference_mode():
        tensor = DeviceNormaliser(size, torch.device("cpu"))(torch.from_numpy(image[None]))
    on_device = float(np.abs(tensor[0].permute(1, 2, 0).numpy() - expected).max())
    print(f"\n{shape} -> {size}: cv2 {on_cpu:.1e}, torch {on_device:.1e}")
    assert on_cpu <= 1e-3  # white noise is the worst case: float32 source coordinates
    assert on_device <= 1e-3


@pytest.mark.data
def test_real_photographs_equal_the_official_preprocessing(
    data_dir: Path, read_rgb: Callable[[Path], RgbImage]
) -> None:
    torch = pytest.importorskip("torch")
    paths = sorted((data_dir / "photos").glob("*.jpg")) + sorted(
        (data_dir / "photos").glob("*.png")
    )
    assert paths
    worst = [0.0, 0.0]
    for path in paths:
        image = read_rgb(path)
        size = network_size(*image.shape[:2])
        expected = official(image, size)
        out = np.empty((*size, 3), np.float32)
        Normaliser(size).into(image, out)
        worst[0] = max(worst[0], float(np.abs(out - expected).max()))
        tensor = DeviceNormaliser(size, torch.device("cpu"))(torch.from_numpy(image[None]))
        on_device = tensor[0].permute(1, 2, 0).numpy()
        worst[1] = max(worst[1], float(np.abs(on_device - expected).max()))
    print(f"\n{len(paths)} photographs: cv2 {worst[0]:.1e}, torch {worst[1]:.1e}")
    assert max(worst) <= 1e-3


def test_normaliser_keeps_its_buffer_and_follows_a_new_size() -> None:
    normaliser = Normaliser((28, 42))
    out = np.empty((28, 42, 3), np.float32)
    normaliser.into(noise(40, 50), out)
    kept = normaliser._float
    normaliser.into(noise(40, 50), out)
    assert normaliser._float is kept
    normaliser.into(noise(30, 45), out)
    np.testing.assert_allclose(out, official(noise(30, 45), (28, 42)), atol=1e-3)


@pytest.mark.parametrize("shape", [(518, 686), (1, 1), (7, 1), (480, 640), (300, 2)])
def test_resize_aligned_equals_torch(shape: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(1).random(shape, np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], (480, 640), mode="bilinear", align_corners=True
    )[0, 0].numpy()
    before = values.copy()
    out = resize_aligned(values, 480, 640)
    assert out.dtype == np.float32
    assert out.flags.owndata or out.base is not values
    np.testing.assert_array_equal(values, before)
    # Both round source coordinates near 686 in their own way: 6e-5 of a pixel of white noise.
    np.testing.assert_allclose(out, expected, atol=1e-4)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        [[1]],
    ],
    ids=["grey", "rgba", "float", "empty", "list"],
)
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="HxWx3"):
        check_image(image)


def by_hand_in_8_bits(image: RgbImage, longest: int) -> tuple[tuple[int, int], RgbImage]:
    """The steps of Depth Anything 3's input_processor.py."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale != 1:
        flag = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        target = max(1, round(width * scale)), max(1, round(height * scale))
        image = np.asarray(cv2.resize(image, target, interpolation=flag), np.uint8)
    height, width = image.shape[:2]

    def nearest(length: int) -> int:
        down = length // 14 * 14
        return down + 14 if abs(down + 14 - length) <= abs(length - down) else down

    size = nearest(height), nearest(width)
    if size != (height, width):
        flag = cv2.INTER_CUBIC if size[0] > height or size[1] > width else cv2.INTER_AREA
        image = np.asarray(cv2.resize(image, size[::-1], interpolation=flag), np.uint8)
    return size, image


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((480, 640), (378, 504)),
        ((1080, 1920), (280, 504)),  # 283.5 rows round to 284, nearer to 280
        ((504, 504), (504, 504)),
        ((500, 500), (504, 504)),
        ((240, 320), (378, 504)),
        ((1200, 675), (504, 280)),
        ((505, 511), (504, 504)),
        ((100, 720), (70, 504)),
    ],
)
def test_the_longer_side_in_8_bits(shape: tuple[int, int], size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert network_size(*shape, 504, 14, "longer") == size
    rule = Preprocessing(504, "longer", interpolation="area_or_cubic")
    out = np.empty((*size, 3), np.float32)
    Normaliser(size, rule).into(image, out)
    official, resized = by_hand_in_8_bits(image, 504)
    assert official == size
    np.testing.assert_allclose(out, (resized / 255 - MEAN) / STD, atol=1e-6)


def test_a_thin_image_keeps_one_patch_at_least() -> None:
    assert network_size(20, 600, 504, 14, "longer") == (14, 504)
