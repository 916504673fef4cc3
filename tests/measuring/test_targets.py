"""The best constant guess is computed alike from tensors, as on a device, and from arrays, as on the host."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gradiometer.measuring.targets import (
    GUESSES,
    MOST_KEPT,
    Meeting,
    TargetBook,
    Totals,
    count_classes,
    count_on_device,
    keep,
    share_of_right_classes,
    smoothed_entropy,
)
from measuring.networks import seeded


def rows() -> Tensor:
    with seeded(6):
        return torch.rand(50, 4, dtype=torch.float64)


@pytest.mark.parametrize("kind", sorted(GUESSES))
def test_guesses_the_same_on_a_device_as_on_the_host(kind: str) -> None:
    found = []
    for values in (rows(), rows().numpy()):
        logarithms = values.log() if isinstance(values, Tensor) else np.log(values)
        is_divergence = kind == "kl_divergence"
        squares = values * logarithms if is_divergence else values * values
        totals = Totals(50.0, values.sum(0), squares.sum(0), [values[:30], values[30:]])
        found.append(float(GUESSES[kind](totals, Meeting(kind))))
    assert found[0] == pytest.approx(found[1], rel=1e-12)


@pytest.mark.parametrize("ignored", [None, -100, 2])
def test_counts_classes_on_a_device_as_on_the_host(ignored: int | None) -> None:
    classes = torch.tensor([0, 2, 2, 4, 1, 0, 2] + ([-100] * 3 if ignored == -100 else []))
    expected = [float(int((classes == rank).sum())) for rank in range(5)]
    if ignored == 2:
        expected[2] = 0.0
    assert count_classes(classes, 5, ignored).tolist() == expected
    on_device = count_on_device(classes, 5, ignored)
    assert on_device.tolist() == expected
    for smoothing in (0.0, 0.3):
        host = smoothed_entropy(np.array(expected), 1.0, smoothing)
        assert float(smoothed_entropy(on_device, 1.0, smoothing)) == pytest.approx(host, rel=1e-12)


def test_counts_right_classes_in_half_formats_and_along_any_axis() -> None:
    with seeded(8):
        outputs, targets = torch.randn(6, 3, 5).bfloat16(), torch.randint(0, 3, (6, 5))
    expected = float((outputs.argmax(1) == targets).double().mean())
    for values in (outputs, outputs.float()):
        assert float(share_of_right_classes(values, targets, Meeting("nll"))) == pytest.approx(expected)


def test_keeps_a_bounded_number_of_values_for_the_median() -> None:
    kept: list[np.ndarray] = []
    for _ in range(100):
        keep(kept, rows().numpy())
        assert sum(part.size for part in kept) <= MOST_KEPT
    assert sum(part.size for part in kept) > MOST_KEPT // 4


@pytest.mark.parametrize("kind", ["squared_error", "absolute_error", "binary_cross_entropy_with_logits"])
def test_knows_what_a_guess_loses_on_targets_wider_than_it_reads(kind: str) -> None:
    with seeded(9):
        targets = torch.randn(40, 20_000) * torch.linspace(0.5, 2.0, 20_000)
        weights = torch.linspace(0.5, 4.0, 20_000) if kind.startswith("binary") else None
    if weights is not None:
        targets = (targets > 0.3).float()
        share = targets.double().mean(0).clamp(1e-9, 1.0 - 1e-9)
        guess = (weights * share / (weights * share + 1.0 - share)).logit().expand(40, -1)
        expected = F.binary_cross_entropy_with_logits(guess, targets.double(), pos_weight=weights.double())
    elif kind == "squared_error":
        expected = targets.double().var(0, correction=0).mean()
    else:
        expected = (targets - targets.quantile(0.5, dim=0)).abs().mean()
    meeting = Meeting(kind, targets, weights=weights, is_mean=True)
    found = TargetBook().read(meeting).constant_loss
    assert found == pytest.approx(float(expected), rel=0.1)


def test_adds_up_targets_that_are_arrays_without_a_device() -> None:
    class Plain(np.ndarray):
        """An array as NumPy before 2.0 has it."""

        @property
        def device(self) -> str:
            raise AttributeError("device")

    totals, part = Totals(), np.array([1.0, 2.0]).view(Plain)
    totals.add(3.0, part, part)
    totals.add(4.0, part, part)
    assert (totals.row_count, totals.sums.tolist()) == (7.0, [2.0, 4.0])
