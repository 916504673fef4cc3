"""What a tracker is told of a run, and how often."""

from collections.abc import Sequence

from gradiometer.integrations.scalars import Row
from gradiometer.integrations.telling import Telling, worth_telling
from gradiometer.integrations.tracker import Conclusion, Tracker
from gradiometer.schema import Finding
from gradiometer.settings import Ignored
from showing.made_run import made_finding, made_run


class Ear:
    """A tracker that remembers what it is told."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.findings: list[Finding] = []
        self.conclusions: list[Conclusion] = []

    def tracker(self) -> Tracker:
        def send(rows: Sequence[Row]) -> None:
            self.rows.extend(rows)

        return Tracker("here", send, self.findings.append, self.conclusions.append, lambda: None)


def test_calls_nobody_for_what_is_for_information_or_was_told_before() -> None:
    findings = [
        made_finding(condition="vanishing"),
        made_finding(condition="noisy", severity="info"),
        made_finding(condition="dead", severity="warning"),
    ]
    assert [one.condition for one in worth_telling(findings, {"dead"})] == ["vanishing"]


def test_tells_a_finding_once_however_often_it_looks() -> None:
    ear = Ear()
    telling = Telling(ear.tracker(), has_page=False)
    for _ in range(2):
        telling.look(made_run())
    telling.conclude(made_run())
    conditions = [finding.condition for finding in ear.findings]
    assert conditions
    assert len(set(conditions)) == len(conditions)
    assert len({row.step for row in ear.rows}) == len(ear.rows)
    assert ear.conclusions[0].diagnosis.verdict == "broken"
    assert ear.conclusions[0].page is None


def test_tells_nothing_of_what_the_settings_leave_out() -> None:
    ear = Ear()
    Telling(ear.tracker(), (Ignored("*", "*", "a toy"),), has_page=False).conclude(made_run())
    assert ear.findings == []
    assert ear.conclusions[0].diagnosis.ignored
