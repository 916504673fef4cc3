"""Runs of which parameters alone were seen are judged by these, and say so."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from specimens import BATCH, Chain, descent, make_clusters, run_of
from torch import nn
from torch.nn import functional as F

from gradiometer.diagnosing import diagnose
from gradiometer.diagnosing.unopened import NOTE, gradient_levels, is_unopened
from gradiometer.schema import Coverage, Diagnosis, Run
from gradiometer.session import watch

LAYER_INPUTS = ("output_gradient_norm", "input_mean", "input_rms", "input_greatest")

CONCLUSIONS = {
    "vanishing": ("broken", "vanishing"),
    "exploding": ("at_risk", "exploding"),
    # Units that are flat show in parameters by what they do to the gradient.
    "saturated": ("broken", "vanishing"),
    "dead": ("broken", "dead"),
    "stuck": ("broken", "stuck"),
    "non_finite": ("broken", "non_finite"),
    "stalled": ("at_risk", "stalled"),
    "thrashing": ("broken", "thrashing"),
}
"""Specimen to the verdict and the root that parameters alone give."""


def blinded(run: Run, *, reason: str = "compiled") -> Run:
    """The same run as it would be had no layer been opened."""
    return replace(
        run,
        layers=(),
        parameters=tuple(replace(parameter, layer=None) for parameter in run.parameters),
        layer_columns={name: values[:, :0] for name, values in run.layer_columns.items()},
        snapshot_columns={
            name: np.full_like(values, np.nan) if name in LAYER_INPUTS else values
            for name, values in run.snapshot_columns.items()
        },
        facts={name: value for name, value in run.facts.items() if name != "batch_size"},
        coverage=Coverage(0, len(run.layers), tuple((layer.name, reason) for layer in run.layers)),
    )


def roots_of(diagnosis: Diagnosis) -> list[str]:
    return [finding.condition for finding in diagnosis.findings if finding.severity != "info"]


@pytest.mark.parametrize("condition", CONCLUSIONS)
def test_decides_by_parameters_alone_where_they_decide(condition):
    diagnosis = diagnose(blinded(run_of(condition, "sick")))
    verdict, root = CONCLUSIONS[condition]
    assert (diagnosis.verdict, roots_of(diagnosis)) == (verdict, [root])
    assert all(NOTE in finding.evidence for finding in diagnosis.findings)
    assert all(" nan" not in finding.summary for finding in diagnosis.findings)


@pytest.mark.parametrize("condition", CONCLUSIONS)
def test_calls_a_healthy_twin_healthy_by_its_parameters_and_its_loss(condition):
    diagnosis = diagnose(blinded(run_of(condition, "twin")))
    assert diagnosis.verdict == "healthy", (diagnosis.reason, diagnosis.findings)
    assert roots_of(diagnosis) == []


def test_judges_a_network_that_is_really_compiled():
    torch.manual_seed(0)
    model = Chain(8, nn.Sigmoid())
    called = torch.compile(model, backend="eager")
    optimizer = descent(0.1)(model.parameters())
    points, labels = make_clusters()
    generator = torch.Generator().manual_seed(1)
    with watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(60):
            batch = torch.randint(0, len(points), (BATCH,), generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(called(points[batch]), labels[batch]).backward()
            optimizer.step()
    assert is_unopened(watching.run)
    diagnosis = diagnose(watching.run)
    assert (diagnosis.verdict, roots_of(diagnosis)) == ("broken", ["vanishing"])
    # The same layers as where all was seen, named by their parameters.
    assert diagnosis.findings[0].layers[-1] == "hidden.0"
    assert set(diagnosis.findings[0].layers) <= {f"hidden.{rank}" for rank in range(8)}


def test_says_unknown_and_points_to_the_layers_where_the_loss_does_not_tell():
    run = blinded(run_of("thrashing", "twin"))
    few = replace(
        run,
        losses=tuple(
            replace(
                series,
                steps=series.steps[:4],
                values=series.values[:4] * 0.0 + 2.3,
                nonfinite_counts=series.nonfinite_counts[:4],
            )
            for series in run.losses
        ),
    )
    diagnosis = diagnose(few)
    assert (diagnosis.verdict, diagnosis.way_out) == ("unknown", "open_compiled")
    assert "--open-compiled" in diagnosis.reason


def test_does_not_speak_of_compiling_where_nothing_is_compiled():
    run = blinded(run_of("thrashing", "twin"), reason="not called")
    few = replace(
        run,
        losses=tuple(
            replace(
                series,
                steps=series.steps[:4],
                values=series.values[:4] * 0.0 + 2.3,
                nonfinite_counts=series.nonfinite_counts[:4],
            )
            for series in run.losses
        ),
    )
    diagnosis = diagnose(few)
    assert (diagnosis.verdict, diagnosis.way_out) == ("unknown", "more_steps")
    assert "--open-compiled" not in diagnosis.reason


def test_takes_the_gradients_of_weights_for_levels():
    run = run_of("vanishing", "sick")
    names, levels = gradient_levels(blinded(run))
    columns = [[parameter.name for parameter in run.parameters].index(f"{name}.weight") for name in names]
    norms = [
        run.parameter_columns["gradient_rms"][-1, column] * math.sqrt(run.parameters[column].element_count)
        for column in columns
    ]
    assert names == [*(f"hidden.{rank}" for rank in range(8)), "output"]
    assert levels[-1].tolist() == pytest.approx([20.0 * math.log10(norm / norms[-1]) for norm in norms])
