"""Guard a model's signal propagation by a unit test.

    from gradiometer.testing import assert_healthy

    def test_the_network_can_train():
        assert_healthy(make_model(), torch.nn.functional.cross_entropy, [(images, labels)])

With pytest the same function is there as a fixture of that name, without an import.
"""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradiometer.diagnosing.weight_motion import USUAL_RATIO
from gradiometer.errors import SettingsError
from gradiometer.schema import SEVERITIES, Diagnosis, Finding, Severity
from gradiometer.session import CHECK_STEPS, check

__all__ = ["assert_healthy"]


def assert_healthy(
    model: nn.Module,
    loss_fn: Callable[..., Tensor],
    batches: Iterable[Any],
    optimizer: Optimizer | None = None,
    *,
    steps: int = CHECK_STEPS,
    fail_on: Severity = "warning",
    allow: Sequence[str] = (),
) -> Diagnosis:
    """Fail where a model's first steps show that it will not train well.

    The steps are taken on copies: model, optimizer and random state stay as they are.

    Args:
        model: The model.
        loss_fn: Called with the model's output and the target; returns a scalar.
        batches: Pairs (input, target); gone through again where there are fewer than `steps`.
        optimizer: The model's optimizer. None takes plain gradient descent at the rate at which the middle layer's
            weights move by the usual thousandth of their size in the first step, so that what is judged is the network.
        steps: Steps to take.
        fail_on: Severity from which on a finding fails the test.
        allow: Conditions that are accepted.

    Returns:
        The diagnosis, where it is healthy enough.

    Raises:
        AssertionError: There is a finding as severe as that, or too little was seen for a verdict; the message says
            what, where and why.
        SettingsError: There is no batch, or no such severity.

    Example:
        >>> from torch.nn.functional import mse_loss
        >>> model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
        >>> assert_healthy(model, mse_loss, [(torch.ones(8, 4), torch.zeros(8, 1))]).verdict
        'healthy'
    """
    if fail_on not in SEVERITIES:
        raise SettingsError(f"{fail_on!r} is no severity: choose critical, warning or info.")
    taken = list(islice(batches, steps))
    if not taken:
        raise SettingsError("assert_healthy needs at least one batch: pairs of input and target")
    if optimizer is None:
        optimizer = torch.optim.SGD(model.parameters(), lr=usual_rate(model, loss_fn, taken[0]))
    diagnosis = check(model, loss_fn, taken, optimizer, steps=steps)
    worst = SEVERITIES.index(fail_on)
    found = [
        finding
        for finding in diagnosis.findings
        if SEVERITIES.index(finding.severity) <= worst and finding.condition not in allow
    ]
    if found:
        raise AssertionError("\n\n".join(in_words(finding) for finding in found))
    if diagnosis.verdict == "unknown":
        raise AssertionError(f"too little was seen for a verdict: {diagnosis.reason}")
    return diagnosis


def usual_rate(model: nn.Module, loss_fn: Callable[..., Tensor], batch: Any) -> float:
    """Learning rate at which plain descent moves the middle layer's weights by the usual share of their size.

    Args:
        model: The model; a copy of it is used.
        loss_fn: The loss.
        batch: One pair (input, target).

    Returns:
        The rate; 0.01 where no weight has a finite gradient to go by.
    """
    model = copy.deepcopy(model)
    inputs, target = batch
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        model.zero_grad()
        loss_fn(model(inputs), target).backward()  # type: ignore[no-untyped-call]
    ratios = [
        float(parameter.detach().norm() / parameter.grad.norm())
        for parameter in model.parameters()
        if parameter.grad is not None and parameter.dim() > 1 and float(parameter.grad.norm()) > 0.0
    ]
    known = [ratio for ratio in ratios if math.isfinite(ratio) and ratio > 0.0]
    return USUAL_RATIO * median(known) if known else 0.01


def in_words(finding: Finding) -> str:
    """A finding as a failed test tells it."""
    lines = [f"{finding.severity}: {finding.condition}", finding.summary]
    lines += [f"  {evidence.text}" for evidence in finding.evidence]
    lines += [f"  {name} follows" for name in dict.fromkeys(link.condition for link in finding.consequences)]
    if finding.cures:
        lines.append(f"  try: {', '.join(finding.cures[:3])}")
    return "\n".join(lines)
