"""What holds for every condition: found in specimen and functional calls, absent from the twin, documented."""

import importlib
import inspect
import math
from dataclasses import replace
from pathlib import Path

import pytest
from all_specimens import SPECIMENS, run_of

import gradiometer.diagnosing
from gradiometer.diagnosing import CONDITIONS, diagnose
from gradiometer.prescribing import MEASURES_AGAINST, PRESCRIPTIONS
from gradiometer.schema import SEVERITIES, Finding

HEADINGS = ("What it finds:", "Why it matters:", "What cures it:", "Source:")

TRAINED_FOR_LONG = {"collapsed", "fading_memory", "linear", "noisy", "over_regularised", "stalled", "unscaled_input"}
"""Conditions whose specimens take seconds to show them."""

QUICKLY_TRAINED = [
    pytest.param(name, marks=pytest.mark.slow) if name in TRAINED_FOR_LONG else name for name in CONDITIONS
]
"""All conditions; those that take seconds are slow."""

ALIKE_IN_CALLS = {"accumulating", "diverging", "exploding", "symmetric", "underflowing"}
"""Conditions that are told by losses and parameters, or by layers in the way that others of the table are."""

QUICKLY_TRAINED_IN_CALLS = [
    pytest.param(name, marks=pytest.mark.slow) if name in TRAINED_FOR_LONG | ALIKE_IN_CALLS else name
    for name in CONDITIONS
]
"""All conditions; slow are those that take seconds, and those whose functional calls show nothing that is their own."""


def conditions_in(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.condition for finding in findings if finding.severity != "info"}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_finds_a_condition_in_its_specimen_as_the_root(condition):
    diagnosis = diagnose(run_of(condition, "sick"))
    assert diagnosis.verdict in {"broken", "at_risk"}
    assert diagnosis.findings[0].condition == condition


@pytest.mark.parametrize("condition", QUICKLY_TRAINED)
def test_finds_nothing_in_a_healthy_twin(condition):
    diagnosis = diagnose(run_of(condition, "twin"))
    assert diagnosis.verdict == "healthy", diagnosis.findings
    assert conditions_in(diagnosis.findings) == set()


@pytest.mark.parametrize("condition", QUICKLY_TRAINED_IN_CALLS)
def test_finds_a_condition_in_functional_calls(condition):
    assert conditions_in(diagnose(run_of(condition, "functional")).findings) == {condition}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_finds_no_other_condition_in_a_specimen_but_what_follows_from_it(condition):
    roots = [finding for finding in diagnose(run_of(condition, "sick")).findings if finding.severity != "info"]
    assert [root.condition for root in roots] == [condition]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_has_a_documented_file_for_a_condition(condition):
    module = importlib.import_module(f"gradiometer.diagnosing.{condition}")
    find = getattr(module, f"find_{condition}")
    assert CONDITIONS[condition] is find
    assert [heading for heading in HEADINGS if heading not in (module.__doc__ or "")] == []
    thresholds = [p for p in inspect.signature(find).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for threshold in thresholds:
        assert threshold.default is not threshold.empty
        assert f"{threshold.name}:" in (find.__doc__ or ""), f"{threshold.name} has no reason in the docstring"


def test_registers_every_condition_that_has_a_file():
    folder = Path(gradiometer.diagnosing.__file__).parent
    with_finder = {path.stem for path in folder.glob("*.py") if f"def find_{path.stem}(" in path.read_text()}
    assert with_finder == set(CONDITIONS) == set(SPECIMENS)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_states_cause_evidence_cures_and_prognosis(condition):
    finding = diagnose(run_of(condition, "sick")).findings[0]
    assert finding.cause.name in PRESCRIPTIONS
    assert finding.evidence
    assert finding.prognosis
    assert finding.summary.endswith(".")
    assert finding.severity in SEVERITIES
    known = {label for labels in PRESCRIPTIONS.values() for label in labels}
    # Beside the table's labels only the learning rate is given by a number of its own.
    assert [label for label in finding.cures if label not in known and "change_learning_rate" not in label] == []
    assert finding.cures or PRESCRIPTIONS[finding.cause.name] == () or MEASURES_AGAINST[condition] == ()


@pytest.mark.parametrize("condition", sorted(set(CONDITIONS) - {"stalled", "noisy", "accumulating"}))
def test_names_layers_that_the_run_has(condition):
    run = run_of(condition, "sick")
    names = {layer.name for layer in run.layers}
    finding = diagnose(run).findings[0]
    assert finding.layers
    assert set(finding.layers) <= names


@pytest.mark.parametrize("condition", ["mismatched_loss", "accumulating", "symmetric", "over_regularised", "linear"])
def test_finds_nothing_of_the_program_in_a_run_that_noted_less(condition):
    run = run_of(condition, "sick")
    new = {"stale_gradient_norm", "weight_decay", "twin_share", "linear_share", "constant_loss", "batch_accuracy"}
    older = replace(
        run,
        facts={name: fact for name, fact in run.facts.items() if name not in {"loss_path", "optimizers"}},
        layers=tuple(replace(layer, dropped_share=None) for layer in run.layers),
        snapshot_columns={name: column for name, column in run.snapshot_columns.items() if name not in new},
        layer_columns={name: column for name, column in run.layer_columns.items() if name not in new},
        parameter_columns={name: column for name, column in run.parameter_columns.items() if name not in new},
    )
    findings = diagnose(older).findings
    assert condition not in {finding.condition for finding in findings}
    assert all(math.isfinite(finding.step) for finding in findings)
