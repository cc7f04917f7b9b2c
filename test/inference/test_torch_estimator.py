"""The PyTorch backend against the network run by hand."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
import torch
import torch.nn.functional as F

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.inference.backends.torch.cuda_graph import Job
from depth_anything_ros.inference.backends.torch.devices import choose_device, choose_precision
from depth_anything_ros.inference.backends.torch.estimator import TorchEstimator
from depth_anything_ros.inference.backends.torch.forward_pass import DevicePass
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.inference.preprocess import network_size
from depth_anything_ros.network.families.depth_anything.network import DepthAnything
from depth_anything_ros.network.families.depth_anything.vit import VisionTransformer
from depth_anything_ros.network.preprocessing import MEAN, STD, Preprocessing

Make = Callable[..., DepthAnything]


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def vit(estimator: TorchEstimator) -> VisionTransformer:
    assert isinstance(estimator.network, DepthAnything)
    return estimator.network.pretrained


def by_hand(network: DepthAnything, image: np.ndarray, input_size: int) -> np.ndarray:
    """The official infer_image, step by step."""
    height, width = network_size(image.shape[0], image.shape[1], input_size)
    pixels = cv2.resize(image / 255.0, (width, height), interpolation=cv2.INTER_CUBIC)
    x = torch.from_numpy(((pixels - MEAN) / STD).transpose(2, 0, 1)).float()[None]
    with torch.no_grad():
        values = network(x)
        values = F.interpolate(values[None], image.shape[:2], mode="bilinear", align_corners=True)
    return values[0, 0].numpy()


@pytest.mark.parametrize("shape", [(96, 128), (129, 97), (60, 240), (41, 57)])
@pytest.mark.parametrize("max_depth", [None, 20.0])
def test_equals_the_official_steps(
    small_network: Make, shape: tuple[int, int], max_depth: float | None
) -> None:
    image = photo(*shape)
    expected = by_hand(small_network(max_depth), image, 140)
    estimator = TorchEstimator(small_network(max_depth), "cpu", input_size=140)
    assert isinstance(estimator, DepthEstimator)
    (prediction,) = estimator.estimate([image])
    assert prediction.values.shape == shape
    assert prediction.values.dtype == np.float32
    assert prediction.input_size == network_size(*shape, 140)
    assert prediction.kind is (
        PredictionKind.RELATIVE_DISPARITY if max_depth is None else PredictionKind.METRIC_DEPTH
    )
    assert expected.std() > 0.1
    assert float(np.abs(prediction.values - expected).max()) <= 1e-3


def test_mixed_sizes_come_back_in_order_and_batched(small_network: Make) -> None:
    estimator = TorchEstimator(small_network(), "cpu", input_size=112)
    images = [photo(80, 100, 1), photo(100, 80, 2), photo(80, 100, 3), photo(80, 100, 4)]
    alone = [estimator.estimate([image])[0].values for image in images]
    together = estimator.estimate(images)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(other.values, one, atol=1e-4)
    assert not np.allclose(alone[0], alone[2], atol=0.05)
    assert estimator.estimate([]) == []


def test_same_size_again_uses_what_is_there_and_gives_fresh_arrays(small_network: Make) -> None:
    estimator = TorchEstimator(small_network(), "cpu", input_size=112)
    estimator.warm_up(80, 100)
    (kept,) = estimator._passes.values()
    tables = list(vit(estimator)._tables.values())
    (first,) = estimator.estimate([photo(80, 100, 1)])
    before = first.values.copy()
    (second,) = estimator.estimate([photo(80, 100, 2)])
    assert list(estimator._passes.values()) == [kept]
    again = vit(estimator)._tables.values()
    assert all(one is other for one, other in zip(tables, again, strict=True))
    np.testing.assert_array_equal(first.values, before)
    assert not np.shares_memory(first.values, second.values)
    first.values[:] = 0  # the caller owns it
    np.testing.assert_array_equal(estimator.estimate([photo(80, 100, 1)])[0].values, before)


def test_many_sizes_keep_few_buffers(small_network: Make) -> None:
    estimator = TorchEstimator(small_network(), "cpu", input_size=28)
    for width in range(30, 60, 2):
        estimator.warm_up(30, width)
    assert len(estimator._passes) <= 8
    assert len(vit(estimator)._tables) <= 8


def test_changed_weights_change_the_cached_positions(small_network: Make) -> None:
    estimator = TorchEstimator(small_network(), "cpu", input_size=112)
    before = estimator.estimate([photo(80, 100)])[0].values
    with torch.no_grad():
        vit(estimator).pos_embed.mul_(-1)
    after = estimator.estimate([photo(80, 100)])[0].values
    assert np.abs(after - before).max() > 0.01


def test_read_only_and_strided_images(small_network: Make) -> None:
    estimator = TorchEstimator(small_network(), "cpu", input_size=112)
    image = photo(80, 100)
    expected = estimator.estimate([image])[0].values
    frozen = image.copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(estimator.estimate([frozen])[0].values, expected)
    turned = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
    np.testing.assert_array_equal(estimator.estimate([turned])[0].values, expected)
    np.testing.assert_array_equal(image, photo(80, 100))


def test_bf16_stays_near_fp32(small_network: Make) -> None:
    exact = TorchEstimator(small_network(20.0), "cpu", input_size=112)
    half = TorchEstimator(small_network(20.0), "cpu", "bf16", input_size=112)
    assert (exact.precision, half.precision) == ("fp32", "bf16")
    a, b = (e.estimate([photo(80, 100)])[0].values for e in (exact, half))
    assert b.dtype == np.float32
    error = float(np.abs(a - b).mean() / a.mean())
    print(f"\nbf16 against fp32: mean relative difference {error:.1e}")
    assert 0 < error < 0.02


def test_settings_that_cannot_be(small_network: Make) -> None:
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) == "fp32"
    assert choose_precision("auto", torch.device("cuda:0")) == "fp16"
    with pytest.raises(SettingError, match="fp16"):
        choose_precision("fp16", cpu)
    with pytest.raises(SettingError, match="precision is 'half'"):
        choose_precision("half", cpu)
    for device in ("gpu", "cuda:x", "meta"):
        with pytest.raises(SettingError, match=f"device is '{device}'"):
            choose_device(device)
    with pytest.raises(SettingError, match=r"device is 'cuda:99' but"):
        choose_device("cuda:99")
    with pytest.raises(SettingError, match="input_size is 5"):
        TorchEstimator(small_network(), "cpu", input_size=5)
    with pytest.raises(InputError, match="HxWx3"):
        TorchEstimator(small_network(), "cpu").estimate([np.zeros((3, 3), np.uint8)])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_without_cuda() -> None:
    assert choose_device("auto").type in ("cpu", "mps")
    with pytest.raises(SettingError, match="PyTorch sees no CUDA device"):
        choose_device("cuda")


def test_device_pass_equals_the_official_steps(small_network: Make) -> None:
    network, image = small_network(20.0), photo(96, 128)
    size, cpu = network_size(96, 128, 140), torch.device("cpu")
    rule = Preprocessing(140)
    device_pass = DevicePass(network.eval(), 2, image.shape, size, rule, cpu, torch.float32)
    ((first, second),) = device_pass.run([image, photo(96, 128, 1)])
    np.testing.assert_allclose(first, by_hand(network, image, 140), atol=2e-3)
    np.testing.assert_allclose(second, by_hand(network, photo(96, 128, 1), 140), atol=2e-3)
    kept = first.copy()
    device_pass.run([photo(96, 128, 2)] * 2)
    np.testing.assert_array_equal(first, kept)  # the caller's, not a buffer


def test_a_size_is_recorded_after_some_calls_and_replayed(small_network: Make) -> None:
    """A stand-in for CUDA: it fills the same tensor at every replay, from what is there then."""
    replays: list[int] = []
    records: list[torch.device] = []

    def record(job: Job, device: torch.device) -> Job:
        records.append(device)
        result = job().clone()

        def replay() -> torch.Tensor:
            replays.append(1)
            return result.copy_(job())

        return replay

    network, cpu = small_network(20.0).eval(), torch.device("cpu")
    size = network_size(96, 128, 140)
    device_pass = DevicePass(
        *(network, 1, (96, 128, 3), size, Preprocessing(140), cpu, torch.float32), record
    )
    expected = [by_hand(network, photo(96, 128, seed), 140) for seed in range(12)]
    answers = []
    for seed in range(12):
        answers.append(device_pass.run([photo(96, 128, seed)])[0][0])
        assert len(records) <= max(0, seed - 3)  # not in the first calls
    assert len(records) == 1
    assert 1 <= len(replays) < 12
    for answer, right in zip(answers, expected, strict=True):
        np.testing.assert_allclose(answer, right, atol=2e-3)


def test_what_cannot_be_recorded_runs_as_it_is(small_network: Make) -> None:
    tried: list[int] = []
    network, cpu = small_network(20.0).eval(), torch.device("cpu")
    size = network_size(96, 128, 140)
    device_pass = DevicePass(
        *(network, 1, (96, 128, 3), size, Preprocessing(140), cpu, torch.float32),
        lambda job, device: tried.append(1),
    )
    device_pass.record()
    for seed in range(12):
        ((answer,),) = device_pass.run([photo(96, 128, seed)])
    np.testing.assert_allclose(answer, by_hand(network, photo(96, 128, 11), 140), atol=2e-3)
    assert len(tried) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("batch", [1, 3])
def test_cuda_graph_equals_the_plain_pass(small_network: Make, batch: int) -> None:
    estimator = TorchEstimator(small_network(20.0), "cuda:0", "fp32", input_size=140)
    images = [[photo(96, 128, 10 * turn + one) for one in range(batch)] for turn in range(4)]
    plain = [[p.values for p in estimator.estimate(several)] for several in images]
    estimator.warm_up(96, 128, batch)
    # More sizes than the network keeps position tables for: the graph must not lose its own.
    for number in range(12):
        estimator.estimate([photo(96 + 14 * number, 128)])
        estimator.warm_up(96, 128, batch)
    replayed = [[p.values for p in estimator.estimate(several)] for several in images]
    np.testing.assert_allclose(replayed, plain, atol=1e-3)
    assert not np.array_equal(replayed[0], replayed[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("precision", "bar"), [("fp32", 2e-3), ("fp16", 0.01), ("bf16", 0.05)])
def test_cuda_equals_the_official_steps(small_network: Make, precision: str, bar: float) -> None:
    image = photo(96, 128)
    expected = by_hand(small_network(20.0), image, 140)
    estimator = TorchEstimator(small_network(20.0), "cuda:0", precision, input_size=140)
    (prediction,) = estimator.estimate([image])
    assert estimator.device == "cuda:0"
    assert float(np.abs(prediction.values / expected - 1).mean()) <= bar
