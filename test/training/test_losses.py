"""Losses on numbers computed by hand, and their gradients against finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from depth_anything_ros.training import losses


def grid(*rows: list[float]) -> Tensor:
    return torch.tensor([rows], dtype=torch.float32)


ALL = torch.ones(1, 2, 3, dtype=torch.bool)


def test_normalise_takes_median_and_mean_deviation_away() -> None:
    # Median 3 (the lower middle of five), deviations 2 1 0 1 7: mean 2.2; the invalid 99 is out.
    values = grid([1, 2, 3], [4, 10, 99])
    valid = torch.tensor([[[True, True, True], [True, True, False]]])
    expected = grid([-2, -1, 0], [1, 7, 0]) / 2.2
    assert torch.allclose(losses.normalise(values, valid), expected, atol=1e-6)


def test_scale_shift_invariant_by_hand() -> None:
    target = grid([0, 1, 2], [3, 4, 10])
    # Scale and shift of either side do not matter.
    assert losses.scale_shift_invariant(7 * target - 3, 0.1 * target + 2, ALL) < 1e-6
    prediction = grid([0, 1, 2], [3, 4, 4])
    # Target: median 2, deviations 2 1 0 1 2 8, mean 14/6. Prediction: 2 1 0 1 2 2, mean 8/6.
    ours = [-1.5, -0.75, 0, 0.75, 1.5, 1.5]
    truth = [x / (14 / 6) for x in (-2, -1, 0, 1, 2, 8)]
    errors = sorted(abs(a - b) for a, b in zip(ours, truth, strict=True))
    loss = losses.scale_shift_invariant(prediction, target, ALL)
    assert loss.item() == pytest.approx(sum(errors) / 6, rel=1e-6)
    # Trimming a third leaves the four smallest.
    trimmed = losses.scale_shift_invariant(prediction, target, ALL, trimmed=1 / 3)
    assert trimmed.item() == pytest.approx(sum(errors[:4]) / 4, rel=1e-6)


def test_a_tenth_of_the_pixels_is_trimmed() -> None:
    error = torch.arange(1.0, 101).view(1, 10, 10)
    valid = torch.ones(1, 10, 10, dtype=torch.bool)
    assert losses._mean(error, valid, losses.TRIMMED_SHARE).item() == pytest.approx(45.5)
    valid[0, 9] = False  # 1..90 are left, of which 1..81 stay
    assert losses._mean(error, valid, losses.TRIMMED_SHARE).item() == pytest.approx(41.0)


def test_log_depth_is_compared_after_alignment() -> None:
    target = grid([0.5, 0.25, 0.1], [0.2, 1.0, 0.0])  # the last is the sky: it does not count
    assert losses.aligned_log_depth(3 * target + 2, target, ALL) < 1e-6
    # Two pixels decide scale and shift exactly; of three on a line, the middle one is off.
    prediction, truth = grid([0, 1, 2], [0, 0, 0]), grid([0.1, 0.3, 0.4], [0, 0, 0])
    # Least squares: slope 0.15, middle 0.8 / 3 at 1: 0.1167, 0.2667, 0.4167.
    fitted = [0.8 / 3 - 0.15, 0.8 / 3, 0.8 / 3 + 0.15]
    errors = [abs(math.log(a / b)) for a, b in zip(fitted, (0.1, 0.3, 0.4), strict=True)]
    loss = losses.aligned_log_depth(prediction, truth, ALL)
    assert loss.item() == pytest.approx(sum(errors) / 3, rel=1e-5)
    # One that runs the wrong way says nothing about how to go on.
    assert losses.aligned_log_depth(-prediction, truth, ALL).item() == 0


def test_relative_depth_is_compared_after_alignment() -> None:
    target = grid([0.5, 0.25, 0.1], [0.2, 1.0, 0.0])  # the last is the sky: it does not count
    assert losses.aligned_relative_depth(3 * target + 2, target, ALL, 200.0) < 1e-6
    prediction, truth = grid([0, 1, 2], [0, 0, 0]), grid([0.1, 0.3, 0.4], [0, 0, 0])
    # Least squares as above: 0.1167, 0.2667, 0.4167.
    fitted = [0.8 / 3 - 0.15, 0.8 / 3, 0.8 / 3 + 0.15]
    errors = [abs(b / a - 1) for a, b in zip(fitted, (0.1, 0.3, 0.4), strict=True)]
    loss = losses.aligned_relative_depth(prediction, truth, ALL, 80.0)
    assert loss.item() == pytest.approx(sum(errors) / 3, rel=1e-5)
    # 0.4 is farther than 2 m, and two points alone always fit.
    assert losses.aligned_relative_depth(prediction, truth, ALL, 4.0) < 1e-6
    assert losses.aligned_relative_depth(-prediction, truth, ALL, 80.0).item() == 0


def test_relative_depth_beyond_infinity_still_has_a_gradient() -> None:
    prediction = torch.tensor([[[0.0, 1.0, 2.0]]], requires_grad=True)
    truth, valid = torch.tensor([[[0.01, 0.02, 0.9]]]), torch.ones(1, 1, 3, dtype=torch.bool)
    # Least squares: slope 0.445, mean 0.31. The first comes out at -0.135, beyond infinity: the
    # tangent there is 3 + 4 * 13.5, of which a tenth counts beyond 3.
    errors = [3 + 0.1 * 4 * 13.5, 1 - 0.02 / 0.31, 0.9 / 0.755 - 1]
    loss = losses.aligned_relative_depth(prediction, truth, valid, 200.0)
    assert loss.item() == pytest.approx(sum(errors) / 3, rel=1e-5)
    (slope,) = torch.autograd.grad(loss, prediction)
    assert (slope.abs() > 1e-3).all()


def test_fixed_scale_wants_the_normalised_disparity_itself() -> None:
    target = grid([0, 1, 2], [3, 4, 10])  # median 2, mean deviation 14/6
    wanted = grid([-2, -1, 0], [1, 2, 8]) / (14 / 6) + losses.FIXED_MEDIAN
    assert torch.allclose(losses.fixed_target(7 * target - 3, ALL), wanted, atol=1e-5)
    assert losses.fixed_scale(wanted, target, ALL) < 1e-6
    # Unlike the invariant loss it minds a shift.
    assert losses.fixed_scale(wanted + 0.5, target, ALL).item() == pytest.approx(0.5, abs=1e-6)
    # What is more than FIXED_MEDIAN deviations below the median counts as 0: -10 / (10/6) < -3.
    far = grid([-10, 0, 0], [0, 0, 0])
    assert losses.fixed_target(far, ALL)[0, 0].tolist() == [0, 3, 3]
    off = wanted.clone()
    off[0, 1, 2] += 6
    off[0, 0, 0] += 3
    assert losses.fixed_scale(off, target, ALL).item() == pytest.approx(9 / 6, rel=1e-5)
    assert losses.fixed_scale(off, target, ALL, trimmed=1 / 6).item() == pytest.approx(3 / 5)


def test_gradient_matching_by_hand() -> None:
    target = grid([0, 1, 2], [3, 4, 10])
    difference = grid([-1.5, -0.75, 0], [0.75, 1.5, 1.5]) - grid([-2, -1, 0], [1, 2, 8]) / (14 / 6)
    prediction = grid([0, 1, 2], [3, 4, 4])
    d = difference[0]
    full = (d[:, 1:] - d[:, :-1]).abs().sum() + (d[1:] - d[:-1]).abs().sum()
    half = (d[0, 2] - d[0, 0]).abs()
    one = losses.gradient_matching(prediction, target, ALL, scales=1)
    two = losses.gradient_matching(prediction, target, ALL, scales=2)
    assert one.item() == pytest.approx(full.item() / 6, rel=1e-5)
    assert two.item() == pytest.approx(full.item() / 6 + half.item() / 2, rel=1e-5)


def test_gradient_matching_does_not_look_across_holes() -> None:
    prediction, target = grid([0, 1, 2], [3, 4, 5]), grid([0, 1, 2], [3, 4, 5])
    target[0, 0, 1] = 1e6
    valid = ALL.clone()
    valid[0, 0, 1] = False
    assert losses.gradient_matching(prediction, target, valid) < 1e-6


def test_feature_alignment_leaves_similar_patches_alone() -> None:
    frozen = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]])
    student = torch.tensor([[[2.0, 0.0], [0.0, 3.0], [0.9, math.sqrt(1 - 0.81)]]])
    # Cosines 1, 0, 0.9: only the second is below 0.85.
    assert losses.feature_alignment(student, frozen).item() == pytest.approx(1.0)
    # With tolerance 0.95 the third counts, too: (1 + 0.1) / 2.
    assert losses.feature_alignment(student, frozen, 0.95).item() == pytest.approx(0.55)
    assert losses.feature_alignment(frozen, frozen).item() == 0


def test_normals_of_a_slanted_plane() -> None:
    # z = 4 + x / 2 over rays x = u / f: z = 4 / (1 - u / (2 f)), normal (1, 0, -2) / sqrt(5).
    focal = torch.tensor([20.0])
    u = (torch.arange(8) - 3.5) / focal
    depth = (4 / (1 - u / 2)).expand(1, 6, 8)
    normals = losses.depth_normals(depth, focal)
    expected = torch.tensor([1.0, 0.0, -2.0]).view(1, 3, 1, 1) / math.sqrt(5)
    assert torch.allclose(normals, expected.expand_as(normals), atol=1e-4)
    valid = torch.ones(1, 6, 8, dtype=torch.bool)
    flat = torch.full((1, 6, 8), 4.0)
    loss = losses.surface_normal(depth, flat, valid, focal)
    assert loss.item() == pytest.approx(1 - 2 / math.sqrt(5), abs=1e-4)
    assert losses.surface_normal(3 * depth, depth, valid, focal).item() < 1e-5


def test_silog_by_hand() -> None:
    target = grid([1, 2, 4], [1, 1, 1])
    e = math.e
    prediction = grid([e, 2 * e, 4 * e], [e, 1, 1])
    g = [1, 1, 1, 1, 0, 0]
    expected = math.sqrt(4 / 6 - 0.5 * (sum(g) / 6) ** 2)
    assert losses.silog(prediction, target, ALL).item() == pytest.approx(expected, rel=1e-6)
    # With lambda 1 a common factor costs nothing.
    assert losses.silog(5 * target, target, ALL, variance=1.0).item() < 1e-3


def test_images_count_alike_however_many_pixels_they_know() -> None:
    torch.manual_seed(0)
    prediction, target = torch.rand(2, 6, 6) + 0.5, torch.rand(2, 6, 6) + 0.5
    valid = torch.ones(2, 6, 6, dtype=torch.bool)
    valid[1, 2:] = False
    for loss in (
        losses.scale_shift_invariant,
        losses.fixed_scale,
        losses.gradient_matching,
        losses.silog,
    ):
        each = [loss(prediction[i : i + 1], target[i : i + 1], valid[i : i + 1]) for i in (0, 1)]
        assert loss(prediction, target, valid).item() == pytest.approx(
            (each[0].item() + each[1].item()) / 2, rel=1e-5
        )
        nothing = torch.zeros_like(valid)
        assert loss(prediction, target, nothing).item() == 0


def relative(loss: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    torch.manual_seed(1)
    target = torch.rand(2, 4, 4, dtype=torch.float64) + 0.5
    valid = torch.rand(2, 4, 4) > 0.2
    return lambda x: loss(x, target, valid)


def normals(x: Tensor) -> Tensor:
    torch.manual_seed(2)
    target = torch.rand(2, 4, 4, dtype=torch.float64) + 2
    valid = torch.ones(2, 4, 4, dtype=torch.bool)
    return losses.surface_normal(x + 2, target, valid, torch.tensor([4.0, 5.0]))


def features(x: Tensor) -> Tensor:
    torch.manual_seed(3)
    return losses.feature_alignment(x, torch.rand(2, 4, 4, dtype=torch.float64) - 0.5)


@pytest.mark.parametrize(
    "function",
    [
        relative(losses.scale_shift_invariant),
        relative(lambda p, t, v: losses.scale_shift_invariant(p, t, v, trimmed=0.1)),
        relative(losses.gradient_matching),
        relative(losses.silog),
        normals,
        features,
    ],
    ids=["ssi", "trimmed", "gradient", "silog", "normal", "feature"],
)
def test_gradients_equal_finite_differences(
    function: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The losses work in float32 on purpose; for finite differences they must not round.
    monkeypatch.setattr(Tensor, "float", lambda self: self.double())
    torch.manual_seed(4)
    x = (torch.rand(2, 4, 4, dtype=torch.float64) + 0.5).requires_grad_()
    assert torch.autograd.gradcheck(function, (x,), eps=1e-6, atol=1e-5)
