from dataclasses import replace

import pytest

from gradiometer.diagnosing import CONDITIONS, diagnose
from gradiometer.schema import Diagnosis, Run
from gradiometer.showing.condition_results import condition_results
from showing.made_run import made_diagnosis, made_finding, made_run


def statuses(run: Run, diagnosis: Diagnosis, threshold: str | None = None) -> dict[str, str]:
    return {one.condition: one.status for one in condition_results(run, diagnosis, threshold)}  # type: ignore[arg-type]


def test_tells_of_every_condition_once_in_the_tables_order() -> None:
    assert list(statuses(made_run(), made_diagnosis())) == list(CONDITIONS)


def test_fails_what_is_as_severe_as_asked_and_passes_what_is_not() -> None:
    run, diagnosis = made_run(), made_diagnosis()
    usual = statuses(run, diagnosis)
    assert (usual["vanishing"], usual["saturated"], usual["stalled"]) == ("failed", "failed", "failed")
    strict = statuses(run, diagnosis, "critical")
    assert (strict["vanishing"], strict["saturated"], strict["stalled"]) == ("failed", "passed", "failed")


def test_fails_exactly_where_the_exit_code_would_be_three() -> None:
    run = made_run()
    for severity in ("critical", "warning", "info"):
        consequence = made_finding(condition="stalled", severity="critical")
        diagnosis = Diagnosis("at_risk", (made_finding(severity=severity, consequences=(consequence,)),))
        for threshold in ("critical", "warning", "info"):
            has_failed = "failed" in statuses(run, diagnosis, threshold).values()
            assert has_failed == diagnosis.reaches(threshold), (severity, threshold)


def test_skips_what_was_not_measured_and_says_why() -> None:
    results = {one.condition: one for one in condition_results(made_run(), Diagnosis("healthy"))}
    assert results["fading_memory"].status == "skipped"
    assert results["fading_memory"].reason == "not measured: no gradient through time was measured: nothing recurs"
    assert results["stalled"].status == "passed"


def test_passes_nothing_where_too_little_was_seen() -> None:
    run = Run()
    assert set(statuses(run, diagnose(run)).values()) == {"skipped"}
    unknown = Diagnosis("unknown", reason="one step is no training")
    results = {one.condition: one for one in condition_results(made_run(), unknown)}
    assert "passed" not in {one.status for one in results.values()}
    assert results["stalled"].reason == "not judged: one step is no training"


def test_skips_what_the_settings_ignore_with_their_reason() -> None:
    given = made_diagnosis()
    diagnosis = replace(given, findings=(), ignored=((given.findings[0], "a toy"),))
    result = next(one for one in condition_results(made_run(), diagnosis) if one.condition == "vanishing")
    assert (result.status, result.reason) == ("skipped", "ignored: a toy")


@pytest.mark.parametrize("threshold", [None, "critical", "info"])
def test_counts_what_follows_from_a_finding_with_its_root(threshold: str | None) -> None:
    result = next(
        one
        for one in condition_results(made_run(), made_diagnosis(), threshold)  # type: ignore[arg-type]
        if one.condition == "stalled"
    )
    assert [(one.root, one.is_counted) for one in result.found] == [("vanishing", True)]
