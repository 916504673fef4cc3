"""The JUnit report, read by a parser of its own and held against the shape that Jenkins' schema asks for."""

from xml.etree import ElementTree

import pytest
from junitparser import Failure, JUnitXml, Skipped

from gradiometer.diagnosing import CONDITIONS
from gradiometer.schema import Diagnosis, Run
from gradiometer.showing.junit import junit_text
from showing.hostile_diagnosis import HOSTILE_NAMES, hostile
from showing.made_run import made_diagnosis, made_finding, made_run

JENKINS: dict[str, tuple[set[str], tuple[str, ...]]] = {
    "testsuites": ({"name", "time", "tests", "failures", "errors", "skipped", "disabled"}, ("testsuite",)),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id", "package"},
        ("properties", "testcase", "system-out", "system-err"),
    ),
    "properties": (set(), ("property",)),
    "property": ({"name", "value"}, ()),
    "testcase": ({"name", "classname", "time"}, ("skipped", "error", "failure", "system-out", "system-err")),
    "failure": ({"message", "type"}, ()),
    "skipped": ({"message", "type"}, ()),
    "system-out": (set(), ()),
}
"""Element to the attributes and the children, in their order, that `junit-10.xsd` of Jenkins' xUnit plugin knows."""


def check_shape(element: ElementTree.Element) -> None:
    attributes, children = JENKINS[element.tag]
    assert set(element.attrib) <= attributes, element.tag
    order = [children.index(child.tag) for child in element]
    assert order == sorted(order), element.tag
    for child in element:
        check_shape(child)


@pytest.mark.parametrize("verdict", ["broken", "healthy", "unknown"])
def test_writes_a_report_in_the_shape_that_dashboards_know(verdict: str) -> None:
    diagnosis = made_diagnosis() if verdict == "broken" else Diagnosis(verdict)  # type: ignore[arg-type]
    check_shape(ElementTree.fromstring(junit_text(made_run(), diagnosis)))


def test_reports_a_test_case_for_each_condition_with_counts_that_add_up() -> None:
    report = JUnitXml.fromstring(junit_text(made_run(), made_diagnosis()).encode())
    (suite,) = list(report)
    cases = list(suite)
    assert [case.name for case in cases] == list(CONDITIONS)
    assert {case.classname for case in cases} == {"gradiometer.train"}
    kinds = [type(case.result[0]) if case.result else None for case in cases]
    assert (suite.tests, suite.failures, suite.skipped) == (23, kinds.count(Failure), kinds.count(Skipped))
    assert suite.failures == 3
    known = {one.name: one.value for one in suite.properties()}
    assert known["verdict"] == "broken"
    assert known["steps"] == "300"


def test_says_what_where_and_why_in_a_failure() -> None:
    report = JUnitXml.fromstring(junit_text(made_run(), made_diagnosis()).encode())
    (failure,) = next(case for case in next(iter(report)) if case.name == "vanishing").result
    assert failure.message.startswith("The gradient is lost on its way back")
    assert failure.type == "critical"
    assert "Where: body.1" in failure.text
    assert "-142.5 dB" in failure.text
    assert "[insert_normalisation]" in failure.text
    (follows,) = next(case for case in next(iter(report)) if case.name == "stalled").result
    assert "Follows from: vanishing" in follows.text


def test_tells_of_a_finding_that_does_not_count_beside_a_passed_case() -> None:
    diagnosis = Diagnosis("healthy", (made_finding(severity="info"),))
    report = JUnitXml.fromstring(junit_text(made_run(), diagnosis).encode())
    case = next(case for case in next(iter(report)) if case.name == "vanishing")
    assert not case.result
    assert case.system_out.startswith("info: The gradient is lost")


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_keeps_hostile_names_inside_the_text_they_stand_in(name: str) -> None:
    run, diagnosis = hostile(name)
    plain = ElementTree.fromstring(junit_text(*hostile("plain")))
    root = ElementTree.fromstring(junit_text(run, diagnosis).encode("utf-8"))
    check_shape(root)
    assert [one.tag for one in root.iter()] == [one.tag for one in plain.iter()]


def test_groups_the_cases_of_a_module_by_one_name_without_dots() -> None:
    suite = JUnitXml.fromstring(junit_text(made_run(script="package.train", is_module=True), made_diagnosis()).encode())
    assert {case.classname for case in next(iter(suite))} == {"gradiometer.package_train"}


def test_says_in_universal_time_when_a_run_began() -> None:
    text = junit_text(made_run(started_at="2026-03-01T01:30:00.250+02:00"), made_diagnosis())
    assert ElementTree.fromstring(text)[0].get("timestamp") == "2026-02-28T23:30:00"


def test_writes_a_report_of_a_run_of_which_nothing_is_known() -> None:
    root = ElementTree.fromstring(junit_text(Run(), Diagnosis("unknown")))
    check_shape(root)
    assert root.get("skipped") == "23"
    assert "timestamp" not in root[0].attrib
