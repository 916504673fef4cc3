"""A diagnosis as JUnit XML, one test case for each condition: what test dashboards read.

Elements and attributes are those that Jenkins' schema of JUnit reports knows, in its order. XML can't hold control
characters and lone surrogates, not even escaped: they are written as Python writes them in a string.

Source:
    Jenkins xUnit plugin, `junit-10.xsd`; Extensible Markup Language 1.0, fifth edition, production 2 (Char).
"""

import re
from datetime import UTC, datetime
from pathlib import PurePath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from gradiometer.schema import Diagnosis, Run, Severity
from gradiometer.showing.condition_results import ConditionResult, Found, condition_results
from gradiometer.showing.wording import (
    command_of,
    condition_in_words,
    cure_in_words,
    layers_in_words,
    number_beside,
    sentence,
)

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document can hold."""


def junit_text(run: Run, diagnosis: Diagnosis, threshold: Severity | None = None) -> str:
    """Write a diagnosis as a JUnit report.

    Args:
        run: The run.
        diagnosis: What is wrong with it.
        threshold: Severity from which on a finding is a failure; `warning` where None.
    """
    results = condition_results(run, diagnosis, threshold)
    counts = {
        "tests": len(results),
        "failures": sum(one.status == "failed" for one in results),
        "errors": 0,
        "skipped": sum(one.status == "skipped" for one in results),
    }
    seconds = sum(float(run.facts.get(name) or 0.0) for name in ("training_seconds", "measuring_seconds"))
    name = command_of(run) or str(run.facts.get("script") or "run")
    figures = {**{key: str(count) for key, count in counts.items()}, "time": f"{seconds:.3f}"}
    suites = Element("testsuites", {"name": "gradiometer", **figures})
    suite = SubElement(suites, "testsuite", {"name": allowed(f"gradiometer: {name}"), **figures, **begun(run)})
    add_properties(suite, run, diagnosis)
    for result in results:
        add_case(suite, result, class_name(run))
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def allowed(text: str) -> str:
    r"""The text with what XML can't hold written as an escape.

    Example:
        >>> print(allowed("a\x1b[31m<b>"))
        a\x1b[31m<b>
    """
    return NOT_XML.sub(lambda found: found.group().encode("unicode_escape", "backslashreplace").decode(), text)


def begun(run: Run) -> dict[str, str]:
    """When the run began, as the schema has it: without an offset, here always in UTC; nothing where not known."""
    try:
        moment = datetime.fromisoformat(str(run.facts["started_at"])).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return {}
    return {"timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S")}


def add_properties(suite: Element, run: Run, diagnosis: Diagnosis) -> None:
    """Write what is known of the run as a whole, in so far as it is known."""
    known = {
        "verdict": diagnosis.verdict,
        "reason": diagnosis.reason,
        "coverage": diagnosis.coverage.line,
        "steps": run.step_count,
        **{name: run.facts.get(name) for name in ("status", "seed", "commit", "gradiometer", "torch", "python")},
    }
    properties = SubElement(suite, "properties")
    for name, value in known.items():
        if value not in (None, ""):  # a fact of a foreign file may be a list, which no set can hold
            SubElement(properties, "property", {"name": name, "value": allowed(str(value))})


def class_name(run: Run) -> str:
    """What test cases are grouped by: the script's name. Dashboards take what stands before a dot for a package."""
    script = str(run.facts.get("script") or "run")
    stem = script if run.facts.get("is_module") else PurePath(script).stem
    return f"gradiometer.{stem.replace('.', '_')}"


def add_case(suite: Element, result: ConditionResult, name: str) -> None:
    """Write one condition as a test case."""
    place = {"classname": allowed(name), "name": result.condition, "time": "0.000"}
    case = SubElement(suite, "testcase", place)
    if result.status == "skipped":
        SubElement(case, "skipped", {"message": allowed(result.reason)})
    counted = [one for one in result.found if one.is_counted]
    if counted:
        headline = {"message": allowed(counted[0].finding.summary), "type": counted[0].finding.severity}
        SubElement(case, "failure", headline).text = allowed("\n\n".join(found_in_words(one) for one in counted))
    told = [found_in_words(one) for one in result.found if not one.is_counted]
    if told:
        SubElement(case, "system-out").text = allowed("\n\n".join(told))


def found_in_words(found: Found) -> str:
    """A finding in full, a line for each part."""
    finding = found.finding
    share = number_beside(finding.cause.text, finding.cause.share_db, "dB")
    lines = [
        f"{finding.severity}: {sentence(finding.summary)}",
        f"Where: {layers_in_words(finding.layers)}, first told at step {finding.step}",
        f"Why: {finding.cause.text} {share}".rstrip(),
        *(f"- {one.text} {number_beside(one.text, one.value, one.unit)}".rstrip() for one in finding.evidence),
    ]
    if found.root:
        lines.append(f"Follows from: {condition_in_words(found.root)}")
    if finding.prognosis:
        lines.append(f"If nothing is done: {finding.prognosis}")
    lines += [f"What to try: {cure_in_words(label)} [{label}]" for label in finding.cures[:3]]
    return "\n".join(lines)
