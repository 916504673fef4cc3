"""What the lab found as the objects that `--json` prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from gradiometer.schema import Chart, ExperimentReport, HeatMap, Part, PictureGrid, Table
from gradiometer.showing.json_output import plain

KINDS: dict[type, str] = {Chart: "chart", HeatMap: "heat_map", PictureGrid: "pictures", Table: "table"}
"""Part of a section to the word that tells it apart; a text is a string."""


def report_object(report: ExperimentReport) -> dict[str, Any]:
    """A report as one object: every field by its name, a verdict in each row, a `kind` in each part of a section."""
    rows = [{**plain(row), "verdict": row.verdict} for row in report.rows]
    sections = [
        {"title": section.title, "parts": [part_object(part) for part in section.parts]} for section in report.sections
    ]
    return {**plain(report), "sections": sections, "rows": rows, "facts": dict(report.facts)}


def part_object(part: Part) -> Any:
    """A part of a section: a text, or an object with its kind."""
    return part if isinstance(part, str) else {"kind": KINDS[type(part)], **plain(part)}


def reports_object(reports: Sequence[ExperimentReport], failed: Mapping[str, str]) -> dict[str, Any]:
    """Several reports, and the experiments that could not be run with the reason."""
    return {
        "experiments": [report_object(report) for report in reports],
        "failed": [{"name": name, "reason": reason} for name, reason in failed.items()],
    }
