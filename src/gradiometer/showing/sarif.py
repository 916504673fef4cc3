"""A diagnosis as SARIF 2.1.0: every condition a rule, every finding a result at the line that calls the layer.

Paths are relative to the root of the repository that the run was recorded in, so that a report that is uploaded from
another machine shows at the same line; nothing of the path to that root is written. A fingerprint is made of the
condition, its layer and the script alone: the same fault keeps it from run to run, whatever its numbers are.

Source:
    OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", 2020; sections 3.11.5 and 3.11.6 for what
    has to be escaped in a message.
"""

import hashlib
import ntpath
import posixpath
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import quote

from gradiometer import __version__
from gradiometer.diagnosing import CONDITIONS
from gradiometer.diagnosing.pages import Page, page_of
from gradiometer.schema import Diagnosis, Finding, Run, Severity
from gradiometer.showing.json_output import json_text
from gradiometer.showing.wording import condition_in_words, cure_in_words, layers_in_words, number_beside, sentence

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

LEVELS: dict[Severity, str] = {"critical": "error", "warning": "warning", "info": "note"}
"""Severity to the level of a result."""

ROOT = "%SRCROOT%"
"""What stands for the repository's root; code scanning puts its own checkout there."""


def sarif_text(run: Run, diagnosis: Diagnosis) -> str:
    """Write a diagnosis as a SARIF log with one run.

    Args:
        run: The run.
        diagnosis: What is wrong with it; what follows from a finding is a result of its own, what the settings ignore
            is none.
    """
    findings = [(finding, "") for finding in diagnosis.findings]
    findings += [(found, root.condition) for root in diagnosis.findings for found in root.consequences]
    names = list(CONDITIONS)
    script = script_path(run)
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver()},
                "automationDetails": {"id": f"gradiometer/{script.as_posix()}/"},
                "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the repository."}}},
                "invocations": [{"executionSuccessful": True}],
                "columnKind": "unicodeCodePoints",
                "results": [result_of(run, finding, root, names) for finding, root in findings],
                "properties": {
                    "verdict": diagnosis.verdict,
                    "reason": diagnosis.reason,
                    "coverage": diagnosis.coverage.line,
                    "ignored": [finding.condition for finding, _ in diagnosis.ignored],
                },
            }
        ],
    }
    return json_text(log)


def driver() -> dict[str, Any]:
    """The tool with all its rules."""
    return {
        "name": "gradiometer",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [rule_of(page_of(name)) for name in CONDITIONS],
    }


def rule_of(page: Page) -> dict[str, Any]:
    """A condition as a rule, with its page as help."""
    title = condition_in_words(page.name)
    text = "\n\n".join([page.title, *(f"{heading}: {words}" for heading, words in page.sections)])
    markdown = "\n\n".join([f"**{page.title}**", *(f"### {heading}\n\n{words}" for heading, words in page.sections)])
    return {
        "id": page.name,
        "name": "".join(word.capitalize() for word in title.split()),
        "shortDescription": {"text": page.title},
        "fullDescription": {"text": page.sections[0][1]},
        "help": {"text": text, "markdown": markdown},
        "defaultConfiguration": {"level": "warning"},
        "properties": {"tags": ["training"]},
    }


def result_of(run: Run, finding: Finding, root: str, names: list[str]) -> dict[str, Any]:
    """A finding as a result.

    Args:
        run: The run.
        finding: The finding.
        root: Condition that it follows from; empty for none.
        names: Conditions in the order of the rules.
    """
    return {
        "ruleId": finding.condition,
        "ruleIndex": names.index(finding.condition),
        "level": LEVELS[finding.severity],
        "message": {"text": message_of(finding, root)},
        "locations": [location_of(run, finding)],
        "partialFingerprints": {"gradiometerFinding/v1": fingerprint_of(run, finding)},
        "properties": {
            "severity": finding.severity,
            "step": finding.step,
            "cures": list(finding.cures),
            "evidence": [{"name": one.name, "value": one.value, "unit": one.unit} for one in finding.evidence],
        },
    }


def message_of(finding: Finding, root: str) -> str:
    """What, where, why, and what to try, as a message that no name in it can make a link of."""
    share = number_beside(finding.cause.text, finding.cause.share_db, "dB")
    parts = [sentence(finding.summary), f"Where: {layers_in_words(finding.layers)}."]
    if finding.cause.text not in finding.summary:
        parts.append(sentence(f"Why: {finding.cause.text} {share}".strip()))
    if root:
        parts.append(f"It follows from: {condition_in_words(root)}.")
    if finding.cures:
        parts.append(f"What to try: {'; '.join(cure_in_words(label) for label in finding.cures[:3])}.")
    return plain_message(" ".join(parts))


def plain_message(text: str) -> str:
    r"""A text as a SARIF message: braces doubled, brackets escaped, without control characters.

    Example:
        >>> print(plain_message("[a](b) {0}\x1b"))
        \[a\](b) {{0}}\x1b
    """
    shown = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "backslashreplace").decode()
        for letter in text
    )
    return shown.replace("{", "{{").replace("}", "}}").replace("[", "\\[").replace("]", "\\]")


def location_of(run: Run, finding: Finding) -> dict[str, Any]:
    """The line that calls the first layer of a finding; of one that names no layer, the line that calls backward.

    Where neither is known it is the script's first line.
    """
    sites = {layer.name: layer.call_site for layer in run.layers}
    site = sites.get(finding.layers[0]) if finding.layers else None
    if site is None and run.losses and not finding.layers:
        site = run.losses[0].site
    file, _, line = (site or "").rpartition(":")
    is_known = bool(file) and line.isdigit() and int(line) > 0
    path = repository_path(run, file) if is_known else script_path(run)
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(path.as_posix(), errors="backslashreplace"), "uriBaseId": ROOT},
            "region": {"startLine": int(line) if is_known else 1},
        }
    }
    if finding.layers:
        location["logicalLocations"] = [
            {"name": plain_name(name), "fullyQualifiedName": plain_name(name), "kind": "module"}
            for name in finding.layers[:10]
        ]
    return location


def plain_name(name: str) -> str:
    """A name without lone surrogates, which UTF-8 has no bytes for."""
    return name.encode("utf-8", "backslashreplace").decode()


def fingerprint_of(run: Run, finding: Finding) -> str:
    """What stays the same while a fault stays the same."""
    words = (finding.condition, finding.layers[0] if finding.layers else "", script_path(run).as_posix())
    return hashlib.sha256("\n".join(words).encode("utf-8", "backslashreplace")).hexdigest()


def script_path(run: Run) -> PurePath:
    """Where the script lies in its repository; of a module, its name."""
    return repository_path(run, str(run.facts.get("script") or "interactive"))


def repository_path(run: Run, file: str) -> PurePath:
    """A file's path within its repository.

    Args:
        run: The run; it knows the folder that it was started in, and on which system.
        file: As a call site has it: relative to that folder, or, for a file elsewhere, its name alone.

    Returns:
        The path relative to the root of the repository, where one is here; relative to the folder of the run
        otherwise; the name alone of a file that lies in neither.
    """
    is_windows = str(run.facts.get("platform", "")).startswith("Windows")
    kind, plain_path = (PureWindowsPath, ntpath.normpath) if is_windows else (PurePosixPath, posixpath.normpath)
    path, script = kind(file), kind(str(run.facts.get("script") or ""))
    if path.name == str(path) and path.name == script.name:
        path = script
    folder = kind(str(run.facts.get("working_directory") or ""))
    place = kind(plain_path(folder / path))
    root = repository_root(Path(place).parent) or folder
    if place.is_relative_to(str(root)) and ".." not in place.relative_to(str(root)).parts:
        return place.relative_to(str(root))
    return kind(path.name)


def repository_root(folder: Path) -> Path | None:
    """The nearest folder above that holds a `.git`; None where there is none on this machine."""
    if not folder.is_absolute():
        return None
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), None)
