"""gradiometer's benchmark of cures draws evenly and counts as a hand does."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.cures.curable import CURABILITY
from benchmarks.cures.drawing import draw
from benchmarks.cures.judging import Times, is_as_healthy, is_faulty, rows_of, score
from benchmarks.cures.records import FAILED, Case, Ended, Repaired, Treated, append_case, read_cases
from benchmarks.cures.tables import as_object, outcomes_of, why_open
from benchmarks.truth.faults import FAULTS
from benchmarks.truth.judging import Rate
from benchmarks.truth.results import Result

TWINS = (Ended(0.20, 0.95), Ended(0.30, 0.90))


def case(number: int, fault: str = "deep tanh", outcome: str = "better", **changes: object) -> Case:
    ends = (Ended(0.25, 0.93), Ended(0.31, 0.91)) if outcome == "better" else ()
    treated = Treated(outcome, ("redraw_weights:he",), ("vanishing",), "", ("a race",), 40.0 + number, 12, ends=ends)
    repaired = Repaired("vanish", 10.0, 3, is_solved=True, cures=("insert_normalisation",), ends=ends)
    twins, untouched = (TWINS, (Ended(0.9, 0.2), Ended(0.3, 0.9))) if fault else ((), ())
    return replace(Case(number, fault, "mlp", 0.5, twins, untouched, treated, repaired), **changes)


def test_says_of_every_fault_of_the_truth_benchmark_whether_it_can_be_cured():
    assert list(CURABILITY) == list(FAULTS)
    assert not any(CURABILITY[name].is_curable for name, fault in FAULTS.items() if not fault.is_curable)


def test_takes_an_end_for_healthy_by_loss_or_by_accuracy():
    assert is_as_healthy([Ended(0.27, 0.5), Ended(0.32, 0.5)], TWINS)
    assert is_as_healthy([Ended(0.90, 0.92), Ended(0.90, 0.89)], TWINS)
    assert not is_as_healthy([Ended(0.31, 0.89)], TWINS)
    assert not is_as_healthy([Ended(0.31)], [Ended(0.3)])
    assert is_as_healthy([Ended(0.3)], [Ended(0.3)])
    assert not is_as_healthy([], TWINS)


def test_counts_what_is_cured_confirmed_and_left_alone():
    worse = replace(case(1).treated, ends=(Ended(0.5, 0.5),), confirmation="not shown")
    unseen = Repaired("", 4.0, 1)
    cases = [
        case(0, treated=replace(case(0).treated, confirmation="better")),
        case(1, treated=worse, repaired=unseen),
        case(2, outcome="not shown"),
        case(3, "", "not shown", repaired=unseen),
        case(4, "", "not shown"),
    ]
    scores = score(cases)
    assert (scores.cured, scores.proved) == (Rate(1, 3), Rate(2, 3))
    assert (scores.repaired, scores.noticed, scores.solved) == (Rate(1, 3), Rate(2, 3), Rate(2, 3))
    assert (scores.recommended, scores.alarmed, scores.confirmed) == (Rate(0, 2), Rate(1, 2), Rate(1, 2))
    assert scores.times == Times(41.0, pytest.approx(41.8))
    assert scores.cured_times.median_seconds == 40.0
    assert why_open(cases[1]).startswith("ends worse than healthy: 0.5 to 0.5")
    assert why_open(cases[2]) == "nothing proved"


def test_counts_no_training_whose_fault_does_no_harm_under_other_seeds():
    harmless = case(5, outcome="not shown", untouched=(Ended(0.35, 0.9), Ended(0.25, 0.9)))
    assert is_faulty(case(0))
    assert not is_faulty(harmless)
    assert not is_faulty(case(6, ""))
    assert score([case(0), harmless]).proved == Rate(1, 1)
    told = outcomes_of([case(0), harmless, case(6, "")])
    assert told == {"faulty": {"better": 1}, "no harm": {"not shown": 1}, "healthy": {"better": 1}}


def test_shows_each_class_with_what_won_there():
    rows = rows_of([case(0), case(1), case(2, "deep relu", "not shown"), case(3, "")], lambda known: known.fault)
    assert [row.name for row in rows] == ["deep relu", "deep tanh"]
    assert rows[1].winners == (("redraw_weights:he", 2),)
    assert rows[0].cured == Rate(0, 1)
    text = json.dumps(as_object(score([]), {"faults": rows}, [case(2, outcome="not shown")]), allow_nan=False)
    assert json.loads(text)["not_cured"][0]["reason"] == "nothing proved"


def test_keeps_its_cases_from_one_call_to_the_next(tmp_path):
    failed, cases = case(1, outcome=FAILED), [case(0, "", "not shown"), case(1)]
    for known in (failed, *reversed(cases)):
        append_case(tmp_path, known)
    assert read_cases(tmp_path) == cases
    assert why_open(failed) == "no answer"
    assert read_cases(tmp_path / "nowhere") == []


def test_draws_evenly_over_the_faults_and_the_longer_sample_begins_with_the_shorter():
    kinds = ["a"] * 40 + ["b"] * 20 + ["c"] * 4
    results = [Result(number, kind, "reporting", "mlp", {}, 1, "", (), "", 1.0) for number, kind in enumerate(kinds)]
    whole = draw(results, lambda result: result.fault, seed=3)
    assert sorted(result.number for result in whole) == list(range(64))
    for size in (16, 32, 48):
        shares = Counter(result.fault for result in draw(results, lambda result: result.fault, 3, size))
        assert all(abs(shares[kind] - size * kinds.count(kind) / 64) <= 1 for kind in "abc")
        assert draw(results, lambda result: result.fault, 3, size) == whole[:size]
    assert draw(results, lambda result: result.fault, seed=4) != whole
