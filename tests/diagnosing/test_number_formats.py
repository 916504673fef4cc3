"""What half precision does to an optimizer that divides by the root of squared gradients."""

import torch
from specimens import Chain, draw, draw_he, make_clusters, train
from torch import nn
from torch.nn import functional as F

from gradiometer.diagnosing import diagnose
from gradiometer.schema import Finding, Run


def halved(factor: float, dtype: torch.dtype, **settings: float) -> Run:
    """Train with Adam in some number format, the loss divided by something."""
    torch.manual_seed(0)
    points, labels = make_clusters()
    model = draw(Chain(2, nn.ReLU()), draw_he).to(dtype)
    return train(
        model,
        lambda parameters: torch.optim.Adam(parameters, lr=3e-3, **settings),
        steps=20,
        data=(points.to(dtype), labels),
        loss_fn=lambda outputs, targets: F.cross_entropy(outputs, targets) / factor,
    )


def found_in(run: Run, condition: str) -> Finding | None:
    return next((finding for finding in diagnose(run).findings if finding.condition == condition), None)


def test_finds_gradients_whose_squares_are_lost_to_adam():
    finding = found_in(halved(3e4, torch.float16, eps=1e-7), "underflowing")
    assert finding is not None
    assert finding.severity in {"warning", "critical"}
    assert finding.cause.name == "number_format"
    stride = next(number for number in finding.evidence if number.name == "step over learning rate")
    assert stride.value >= 3.0


def test_finds_no_lost_squares_in_single_precision_or_where_gradients_are_large_enough():
    assert found_in(halved(3e4, torch.float32), "underflowing") is None
    assert found_in(halved(1.0, torch.float16, eps=1e-4), "underflowing") is None


def test_names_the_number_format_where_the_epsilon_of_the_optimizer_is_lost():
    finding = found_in(halved(1.0, torch.float16), "non_finite")
    assert finding is not None
    assert finding.cause.name == "number_format"
    assert "epsilon" in finding.cause.text
