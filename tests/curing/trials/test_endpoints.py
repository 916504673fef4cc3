"""Endpoints that are no loss, on runs made up by hand and on two real trainings."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from curing.trials.trial_material import SIGMOIDS, spec_for
from gradiometer.curing.trials.contrasting import Match
from gradiometer.curing.trials.endpoints import accuracy, balance, end_of, endpoints_of, fault_gone
from gradiometer.curing.trials.local import run_trials
from gradiometer.curing.trials.pairing import Reading, read_trial
from gradiometer.curing.trials.spec import TrialSpec
from gradiometer.diagnosing import diagnose
from gradiometer.schema import LAYER_COLUMNS, SNAPSHOT_COLUMNS, Endpoint, Layer, Run, Trial
from showing.made_run import made_run

SPEC = TrialSpec("train.py", None, (), "/nowhere", "/nowhere")


def reading(
    levels: Sequence[Sequence[float]],
    shares: Sequence[float] | None = None,
    *,
    bad_count: int = 0,
    status: str = "done",
    spacing: int = 1,
) -> Reading:
    """A trial with these levels on its trunk [snapshot layer] and accuracies [snapshot]."""
    count, width = len(levels), len(levels[0])
    columns = {name: np.full((count, width), np.nan) for name in LAYER_COLUMNS}
    columns["level_db"] = np.array(levels, dtype=float)
    columns["trunk_position"] = np.tile(np.arange(width, dtype=float), (count, 1))
    columns["gradient_nonfinite_count"] = np.zeros((count, width))
    columns["gradient_nonfinite_count"][-1] = bad_count
    snapshots = {name: np.full(count, np.nan) for name in SNAPSHOT_COLUMNS}
    if shares is not None:
        snapshots["batch_accuracy"] = np.array(shares)
    run = Run(
        layers=tuple(Layer(str(index), "Linear", "leaf", index) for index in range(width)),
        snapshot_steps=np.arange(count) * spacing,
        snapshot_columns=snapshots,
        layer_columns=columns,
    )
    return Reading(SPEC, Trial((), 1, "trial", "/nowhere/run.db", status), run)


def test_compares_the_levels_at_the_end_pair_by_pair() -> None:
    wide, narrow = [(60.0, 62.0), (80.0, 81.0), (70.0, 75.0)], (6.0, 9.0, 3.0)
    pairs = tuple(
        (
            reading([[0.0, -5.0]] * 15 + [[0.0, -a]] * 3 + [[0.0, -b]] * 2),
            reading([[0.0, -90.0]] * 2 + [[2.0, 2 - c]] * 8),
        )
        for (a, b), c in zip(wide, narrow, strict=True)
    )
    found = balance(Match(pairs, comparison_count=2))
    # Of 20 steps the last four are the end: two of either range.
    control = [(a + b) / 2 for a, b in wide]
    expected = stats.ttest_rel(narrow, control).confidence_interval(0.975)

    assert found is not None
    assert (found.control, found.treated) == (pytest.approx(control), pytest.approx(narrow))
    assert (found.verdict, found.confidence) == ("better", pytest.approx(0.975))
    assert found.difference == pytest.approx(np.subtract(narrow, control).mean())
    assert found.interval == pytest.approx(tuple(expected))
    assert found.text == "At the end the levels on the trunk ranged over 71.3 dB without it, 6.0 dB with it."


def test_takes_unpaired_trials_as_two_groups() -> None:
    pairs = tuple((reading([[0.0, -a]]), reading([[0.0, -b]])) for a, b in ((60.0, 5.0), (70.0, 6.0), (65.0, 4.0)))
    found = balance(Match(pairs, is_paired=False))
    expected = stats.ttest_ind([5.0, 6.0, 4.0], [60.0, 70.0, 65.0], equal_var=False).confidence_interval(0.95)
    assert found is not None
    assert found.interval == pytest.approx(tuple(expected))


def test_does_not_call_a_small_or_uneven_change_of_balance_better() -> None:
    even = tuple((reading([[0.0, -20.0 - k]]), reading([[0.0, -17.0 - k]])) for k in range(4))
    uneven = tuple((reading([[0.0, -20.0]]), reading([[0.0, -change]])) for change in (2.0, 60.0, 3.0))
    worse = tuple((reading([[0.0, -20.0 - k]]), reading([[0.0, -50.0]])) for k in range(3))
    verdicts = [found.verdict for pairs in (even, uneven, worse) if (found := balance(Match(pairs))) is not None]
    assert verdicts == ["not shown", "not shown", "worse"]


def test_counts_a_treated_gradient_of_nan_as_the_worst_and_leaves_out_a_control_of_nan() -> None:
    bad, good, missing = (
        reading([[0.0, -9.0]], bad_count=1),
        reading([[0.0, -9.0]]),
        reading([[math.nan, math.nan]]),
    )
    found = balance(Match(((good, bad), (bad, good), (good, good), (good, missing))))
    assert found is not None
    assert (found.control, found.treated) == ((9.0, 9.0), (240.0, 9.0))
    assert balance(Match(((bad, good), (missing, missing)))) is None


def test_compares_accuracy_on_the_last_batches() -> None:
    rows = ((0.1, 0.8), (0.2, 0.9), (0.15, 0.8))
    pairs = tuple(
        (reading([[0.0, 0.0]] * 20, [0.0] * 16 + [a] * 4), reading([[0.0, 0.0]] * 20, [0.0] * 16 + [b, math.nan, b, b]))
        for a, b in rows
    )
    found = accuracy(Match(pairs))
    expected = stats.ttest_rel([b for _, b in rows], [a for a, _ in rows]).confidence_interval(0.95)
    assert found is not None
    assert found.verdict == "better"
    assert found.interval == pytest.approx(tuple(expected))
    assert found.text == "Accuracy on the training batches of the last steps: 15.0% without it, 83.3% with it."


def test_has_no_accuracy_where_it_was_not_measured_and_no_interval_of_one_pair() -> None:
    known, unknown = reading([[0.0, 0.0]], [0.5]), reading([[0.0, 0.0]])
    assert accuracy(Match(((known, unknown),))) is None
    single = accuracy(Match(((known, known),)))
    assert single is not None
    assert (single.difference, single.interval, single.verdict) == (0.0, None, "not shown")


def test_looks_at_a_few_measurements_at_least() -> None:
    run = reading([[0.0, -1.0]] * 8, spacing=100).run
    assert run is not None
    assert end_of(replace(run, facts={"step_count": 10_000})) == slice(5, None)
    assert end_of(replace(run, snapshot_steps=np.arange(8) * 10, facts={"step_count": 71})) == slice(5, None)


def seen(run: Run, status: str = "done") -> Reading:
    return Reading(SPEC, Trial((), 1, "trial", "/nowhere/run.db", status), run)


def test_counts_in_how_many_trainings_the_fault_is_gone() -> None:
    sick = made_run(is_cured=False)
    levels = np.zeros_like(sick.layer_column("level_db"))
    motion = {"update_ratio": np.full_like(sick.parameter_column("update_ratio"), 1e-3)}
    healed = replace(
        sick,
        layer_columns={**sick.layer_columns, "level_db": levels, "gain_db": levels},
        parameter_columns={**sick.parameter_columns, **motion},
        losses=(replace(sick.losses[0], values=np.geomspace(2.3, 0.1, len(sick.losses[0].values))),),
    )
    findings = [finding for finding in diagnose(sick).findings if finding.severity == "critical"]
    assert findings

    def judged(*pairs: tuple[Reading, Reading]) -> Endpoint:
        found = fault_gone(Match(pairs), findings)
        assert found is not None
        return found

    pair = (seen(sick), seen(healed))
    found = judged(pair, pair, pair, (seen(sick), seen(Run())))
    assert (found.control, found.treated, found.verdict, found.interval) == ((0.0,) * 3, (1.0,) * 3, "better", None)
    assert found.text.startswith("The fault was gone in 3 of 3 trainings with it, in 0 without it")
    assert judged(pair, (seen(sick), seen(healed, "failed"))).verdict == "not shown"
    assert judged((seen(healed), seen(healed, "failed"))).verdict == "worse"
    assert fault_gone(Match((pair,)), []) is None
    assert endpoints_of(Match(()), findings) == ()


@pytest.mark.slow  # two trainings in processes
def test_gives_all_endpoints_of_real_trials(tmp_path: Path) -> None:
    sick = read_trial(run_trials([spec_for(tmp_path, SIGMOIDS, steps=120)], workers=1)[0])
    (tmp_path / "healed").mkdir()
    text = SIGMOIDS.replace("nn.Sigmoid()", "nn.ReLU()")
    healed = read_trial(run_trials([spec_for(tmp_path / "healed", text, steps=120)], workers=1)[0])
    assert sick.run is not None
    found = {known.name: known for known in endpoints_of(Match(((sick, healed),)), diagnose(sick.run).findings)}

    assert list(found) == ["balance", "fault_gone", "accuracy"]
    assert found["balance"].treated[0] < found["balance"].control[0]
    assert found["fault_gone"].verdict == "better"
    assert 0.0 < found["accuracy"].control[0] < 1.0
    assert 0.0 < found["accuracy"].treated[0] < 1.0
