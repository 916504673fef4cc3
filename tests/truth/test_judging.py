"""gradiometer's truth benchmark counts hits, misses and false alarms as a hand does."""

import numpy as np
import pytest

from benchmarks.truth.cutting import cut
from benchmarks.truth.judging import Answer, Judged, Rate, Root, balanced, judge_file, score
from benchmarks.truth.results import Result, append_result, count, read_results
from benchmarks.truth.running import run_one
from gradiometer.schema import Event, LossSeries, Run

ANSWER = Answer(("vanishing",), ("depth",), "depth")


def result(number: int, fault: str = "", end: float = 0.1, layer: str = "", part: str = "choosing") -> Result:
    return Result(number, fault, part, "mlp", {}, 100, layer, (1.0, end, end, end), f"{number}.db", 1.0)


def judged(found: Result, verdict: str, *roots: Root) -> Judged:
    rules = {"tool": ["loud"] if found.fault else []}
    return Judged(found, verdict, roots, {"0": 1, "1": 1, "2": 2, "4": 3, "6": 4}, rules)


def root(condition: str, severity: str = "critical", cause: str = "depth", layer: str = "0", step: int = 4) -> Root:
    return Root(condition, severity, cause, layer, step)


def test_counts_only_faults_that_harm_and_twins_that_learn() -> None:
    results = [
        result(0),
        result(0, "a", end=0.3),
        result(1),
        result(1, "a", end=0.15),
        result(2, end=0.95),
        result(2, "a", end=1.5),
        result(3),
        result(3, "frozen", end=0.9),
        result(4),
        result(4, "shuffled", end=0.9),
        result(5, part="reporting"),
    ]
    counted = count(results, "choosing", ("frozen", "shuffled"), ("shuffled",))
    assert [found.number for found in counted.healthy] == [0, 1, 3, 4]
    assert [found.number for found in counted.faulty] == [0]
    assert [found.number for found in counted.left_out] == [3]
    assert [found.number for found in counted.controls] == [4]
    assert [found.number for found in counted.not_learned] == [2]
    assert sorted(found.number for found in counted.harmless) == [1, 2]
    assert [found.number for found in count(results, "both", (), ()).healthy] == [0, 1, 3, 4, 5]


def test_does_not_count_a_twin_that_lost_what_it_had_learned() -> None:
    lost = Result(0, "", "choosing", "mlp", {}, 100, "", (0.2, 0.1, 0.7, 0.7, 0.7), "0.db", 1.0)
    assert not lost.is_healthy


def test_scores_hits_misses_and_false_alarms() -> None:
    faulty = [
        judged(result(0, "a", layer="0"), "broken", root("vanishing", layer="2")),
        judged(result(1, "a", layer="0"), "broken", root("stalled"), root("vanishing", cause="loss", step=20)),
        judged(result(2, "a", layer="6"), "broken", root("vanishing", layer="0", step=0)),
        judged(result(3, "a"), "at_risk", root("vanishing", "info"), root("dead", "warning")),
        judged(result(4, "a"), "unknown"),
    ]
    healthy = [judged(result(5), "healthy"), judged(result(6), "unknown"), judged(result(7), "at_risk", root("dead"))]
    scores = score(faulty, healthy, lambda name: ANSWER)
    assert scores.detection == Rate(3, 5)
    assert scores.alarmed == Rate(4, 5)
    assert scores.false_alarms == Rate(2, 3)
    assert scores.condition == Rate(2, 5)
    assert scores.cause == Rate(2, 5)
    assert scores.layer == Rate(2, 3)
    assert scores.median_share == pytest.approx(0.04)
    assert scores.balanced_accuracy == pytest.approx(0.5 * (3 / 5 + 1 / 3))
    assert scores.rules["tool"] == (Rate(5, 5), Rate(0, 3))
    assert balanced(*scores.rules["tool: loud"]) == 1.0


def test_gives_the_exact_interval_of_a_rate() -> None:
    # No hit in n trials: the upper end is 1 - 0.025^(1/n) (Clopper & Pearson 1934).
    assert Rate(0, 300).interval == pytest.approx((0.0, 1.0 - 0.025 ** (1.0 / 300.0)))
    assert Rate(300, 300).interval == pytest.approx((0.025 ** (1.0 / 300.0), 1.0))


def test_keeps_a_run_file_without_companions_and_diagnoses_it_again(tmp_path) -> None:
    task = (1, "rate far too small", "reporting")
    found = run_one(task, tmp_path)
    append_result(tmp_path, found)
    assert found.error == ""
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".db"] == [found.file]
    assert {path.suffix for path in tmp_path.iterdir()} == {".db", ".npz", ".jsonl"}
    assert len(list(tmp_path.iterdir())) == 3
    assert read_results(tmp_path) == [found]
    again = judge_file(found, tmp_path)
    assert again == judge_file(found, tmp_path)
    assert "WeightUpdateRatio" in again.rules["SageMaker Debugger"]
    assert set(again.places.values()) <= set(range(1, len(again.places) + 1))


def test_goes_by_the_first_part_of_a_run_when_asked():
    steps = np.arange(100)
    whole = Run(
        facts={"step_count": 100},
        steps=steps,
        step_columns={"total_norm": np.ones(100)},
        losses=(LossSeries("train.py:1", steps, 1.0 / (1.0 + steps), np.zeros(100, dtype=np.int64)),),
        snapshot_steps=np.array([0, 1, 2, 4, 8, 16, 32, 64]),
        snapshot_columns={"loss": np.ones(8)},
        events=(Event(3, "note", "early"), Event(50, "note", "late")),
    )
    part = cut(whole, 0.1)
    assert part.step_count == 10
    assert part.snapshot_steps.tolist() == [0, 1, 2, 4, 8]
    assert len(part.snapshot_columns["loss"]) == 5
    assert part.losses[0].steps[-1] == 9
    assert [event.text for event in part.events] == ["early"]
    assert cut(whole, 1.0) is whole
