"""Held-out loss and equal training time, on runs made up by hand."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from curing.trials.trial_material import SIGMOIDS, spec_for
from gradiometer.curing.trials.contrasting import (
    Match,
    equal_time_contrast,
    held_out_contrasts,
    step_durations,
    why_no_held_out,
)
from gradiometer.curing.trials.local import run_trials
from gradiometer.curing.trials.pairing import Reading, read_trial
from gradiometer.curing.trials.spec import TrialSpec
from gradiometer.schema import LossSeries, Run, Trial

SPEC = TrialSpec("train.py", None, (), "/nowhere", "/nowhere")


def reading(
    losses: Sequence[float] = (1.0,),
    seconds: Sequence[float | None] = (1.0,),
    *,
    evaluation: Mapping[str, object] | None = None,
    status: str = "done",
) -> Reading:
    """A trial with these losses and times, step by step; each step was measured for a further half second."""
    steps = np.arange(len(losses))
    taken = np.array([np.nan if value is None else value + 0.5 for value in seconds])
    run = Run(
        facts={} if evaluation is None else {"evaluation": evaluation},
        steps=steps,
        step_columns={"step_seconds": taken, "measuring_seconds": np.full(len(steps), 0.5)},
        losses=(LossSeries("train.py:7", steps, np.array(losses), np.zeros(len(steps), dtype=np.int64)),),
    )
    trial = Trial((), 1, "trial", "/nowhere/run.db", status, final_loss=losses[-1], step_count=len(losses))
    return Reading(SPEC, trial, run, start_loss=losses[0])


def evaluated(*rows: tuple[int, float], site: str = "train.py:9") -> Reading:
    return reading(evaluation={"forward_count": len(rows), "losses": {site: rows}, "fault": ""})


def test_compares_each_pair_at_the_last_evaluation_that_both_reached() -> None:
    match = Match(
        (
            (evaluated((10, 2.0), (20, 2.1), (30, 2.2)), evaluated((10, 1.0), (20, 0.5))),
            (evaluated((10, 2.0), (20, 2.3)), evaluated((10, 1.0), (20, 0.6), (30, 0.1))),
            (evaluated((10, 2.4)), evaluated((10, 1.1))),
        )
    )
    (contrast,) = held_out_contrasts(match)
    expected = stats.ttest_rel([0.5, 0.6, 1.1], [2.1, 2.3, 2.4]).confidence_interval(0.95)

    assert (contrast.site, contrast.moments) == ("train.py:9", (20.0, 20.0, 10.0))
    assert (contrast.control, contrast.treated) == ((2.1, 2.3, 2.4), (0.5, 0.6, 1.1))
    assert contrast.verdict == "better"
    assert contrast.difference == pytest.approx(-4.6 / 3)
    assert contrast.interval == pytest.approx(tuple(expected))


def test_calls_a_cure_worse_that_is_clearly_worse_on_held_out_data() -> None:
    pairs = tuple((evaluated((5, 0.5 + 0.01 * k)), evaluated((5, 0.9))) for k in range(3))
    assert held_out_contrasts(Match(pairs))[0].verdict == "worse"
    lost = tuple((control, evaluated((5, math.inf))) for control, _ in pairs)
    assert held_out_contrasts(Match(lost))[0].verdict == "worse"


def test_compares_call_by_call_and_leaves_out_what_only_one_of_a_pair_has() -> None:
    both = {"train.py:9": [(5, 1.0)], "train.py:12": [(5, 3.0)]}
    one = {"train.py:12": [(5, 2.0)], "train.py:20": [(5, 2.0)]}
    sides = [reading(evaluation={"forward_count": 1, "losses": losses, "fault": ""}) for losses in (both, one)]
    assert [contrast.site for contrast in held_out_contrasts(Match(((sides[0], sides[1]),)))] == ["train.py:12"]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (None, "does not evaluate in these steps"),
        ({"forward_count": 0, "losses": {}, "fault": ""}, "does not evaluate in these steps"),
        ({"forward_count": 3, "losses": {}, "fault": ""}, "computes no loss of torch.nn"),
        ({"forward_count": 3, "losses": {}, "fault": "RuntimeError: no"}, "RuntimeError: no"),
    ],
)
def test_says_why_there_is_no_held_out_loss(facts: Mapping[str, object] | None, expected: str) -> None:
    side = reading(evaluation=facts)
    match = Match(((side, side),))
    assert held_out_contrasts(match) == ()
    assert expected in why_no_held_out(match)


TIMES = st.lists(st.floats(0.01, 2.0), min_size=1, max_size=40)


@given(TIMES, TIMES)
def test_compares_at_the_time_that_the_quicker_one_took_in_all(first: list[float], second: list[float]) -> None:
    sides = [reading(list(np.arange(len(times)) + 1.0), times) for times in (first, second)]
    contrast = equal_time_contrast(Match(((sides[0], sides[1]),)))
    limit = min(sum(first), sum(second))

    def expected(times: list[float]) -> float:
        done, passed = 0, 0.0
        for seconds in times:
            passed += seconds
            done += passed <= limit * (1 + 1e-9)
        done = max(done, 1)
        last = max(1, math.ceil(0.2 * done))
        return sum(range(done - last + 1, done + 1)) / last

    assert contrast is not None
    assert contrast.moments == pytest.approx((limit,))
    assert contrast.control == pytest.approx((expected(first),))
    assert contrast.treated == pytest.approx((expected(second),))


def test_says_how_long_a_step_takes_and_that_a_dear_cure_is_not_shown_at_equal_time() -> None:
    falling = [1.0 / (1 + step) for step in range(40)]
    pairs = tuple((reading(falling, [1.0] * 40), reading(falling, [2.0 + 0.1 * k] * 40)) for k in range(3))
    contrast = equal_time_contrast(Match(pairs))

    assert contrast is not None
    assert contrast.verdict == "worse"
    assert "a step takes 2.1 times as long with it" in contrast.detail


def test_takes_the_median_for_steps_whose_time_is_not_known() -> None:
    run = reading([1.0] * 5, [1.0, None, 3.0, 2.0, None]).run
    assert run is not None
    assert step_durations(run).tolist() == [1.0, 2.0, 3.0, 2.0, 2.0]
    assert equal_time_contrast(Match(((reading(seconds=[None]), reading()),))) is None


def test_counts_a_training_that_failed_as_lost_at_equal_time() -> None:
    pairs = tuple((reading([2.0] * 5, [1.0] * 5), reading([1.0] * 5, [1.0] * 5, status="failed")) for _ in range(3))
    contrast = equal_time_contrast(Match(pairs))
    assert contrast is not None
    assert (contrast.verdict, contrast.difference) == ("worse", None)


EVALUATING = (
    SIGMOIDS
    + """\
    if step % 5 == 4:
        model.eval()
        with torch.no_grad():
            held = nn.functional.binary_cross_entropy_with_logits(model(inputs[:8]), targets[:8])
            print(step + 1, repr(held.item()), flush=True)
        model.train()
"""
)


@pytest.mark.slow
def test_reads_from_a_trial_what_its_script_has_printed(tmp_path: Path) -> None:
    spec = spec_for(tmp_path, EVALUATING, steps=20, step_limit=17)
    done = read_trial(run_trials([spec], workers=1)[0])
    bare = read_trial(run_trials([spec_for(tmp_path / "trials", SIGMOIDS, steps=20, step_limit=17)], workers=1)[0])
    assert done.run is not None
    assert bare.run is not None
    printed = [line.split() for line in (Path(spec.folder) / "output.log").read_text().splitlines()]
    (site,) = done.run.facts["evaluation"]["losses"]

    line = next(number for number, text in enumerate(EVALUATING.splitlines(), 1) if "held =" in text)
    assert site == f"train.py:{line}"
    assert done.run.facts["evaluation"]["losses"][site] == [[int(step), float(loss)] for step, loss in printed]
    assert [int(step) for step, _ in printed] == [5, 10, 15]
    assert np.array_equal(done.run.losses[0].values, bare.run.losses[0].values)
