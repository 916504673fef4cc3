"""The SARIF log, held against what sections 3.13 to 3.52 of SARIF 2.1.0 and code scanning require."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradiometer.diagnosing import CONDITIONS
from gradiometer.schema import Diagnosis, Run
from gradiometer.showing.sarif import repository_path, sarif_text
from showing.hostile_diagnosis import HOSTILE_NAMES, hostile
from showing.made_run import made_diagnosis, made_finding, made_run


def log_of(run: Run, diagnosis: Diagnosis) -> dict[str, Any]:
    return json.loads(sarif_text(run, diagnosis), parse_constant=lambda word: 1 / 0)


def check_required(log: dict[str, Any]) -> None:
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "gradiometer"
    assert [rule["id"] for rule in rules] == list(CONDITIONS)
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert "### What it finds" in rule["help"]["markdown"]
        assert "helpUri" not in rule
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"none", "note", "warning", "error"}
        assert result["message"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"]["uriBaseId"] in run["originalUriBaseIds"]
        uri = place["artifactLocation"]["uri"]
        assert uri.isascii()
        assert not uri.startswith("/")
        assert ":" not in uri
        assert place["region"]["startLine"] >= 1
        assert all(isinstance(value, str) for value in result["partialFingerprints"].values())


@pytest.mark.parametrize("verdict", ["broken", "healthy"])
def test_writes_what_the_standard_requires(verdict: str) -> None:
    diagnosis = made_diagnosis() if verdict == "broken" else Diagnosis("healthy")
    log = log_of(made_run(), diagnosis)
    check_required(log)
    assert log["runs"][0]["properties"]["verdict"] == verdict


def test_puts_each_finding_at_its_layers_line_by_its_severity() -> None:
    results = log_of(made_run(), made_diagnosis())["runs"][0]["results"]
    told = [
        (one["ruleId"], one["level"], one["locations"][0]["physicalLocation"]["region"]["startLine"]) for one in results
    ]
    # body.1 is called at train.py:11 and body.3 at :13; a finding without a layer goes to the backward call at :31.
    assert told == [("vanishing", "error", 11), ("saturated", "warning", 13), ("stalled", "error", 31)]
    info = log_of(made_run(), Diagnosis("healthy", (made_finding(severity="info"),)))
    assert info["runs"][0]["results"][0]["level"] == "note"


def test_gives_a_fault_the_same_fingerprint_whatever_its_numbers_and_line() -> None:
    run = made_run()
    moved = replace(run, layers=tuple(replace(layer, call_site="train.py:99") for layer in run.layers))
    stronger = Diagnosis("broken", (made_finding(summary="It is lost by -99 dB.", evidence=(), step=9),))
    first, second, other = (
        log["runs"][0]["results"][0]["partialFingerprints"]
        for log in (
            log_of(run, made_diagnosis()),
            log_of(moved, stronger),
            log_of(run, Diagnosis("broken", (made_finding("body.3"),))),
        )
    )
    assert first == second
    assert first != other


def test_names_files_from_the_repositorys_root_whatever_folder_the_run_began_in(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    inner = tmp_path / "nets" / "deep"
    inner.mkdir(parents=True)
    run = made_run(working_directory=str(inner), script="../train.py")
    assert repository_path(run, "models/net.py").as_posix() == "nets/deep/models/net.py"
    assert repository_path(run, "train.py").as_posix() == "nets/train.py"
    assert repository_path(run, "../../../outside.py").as_posix() == "outside.py"
    # A script above the folder is known to call sites by its name alone, and by its whole path as an argument.
    far = made_run(working_directory=str(inner), script=str(tmp_path / "train.py"))
    assert repository_path(far, "train.py").as_posix() == "train.py"
    assert repository_path(far, "/usr/lib/elsewhere.py").as_posix() == "elsewhere.py"


def test_names_files_of_a_run_recorded_on_windows() -> None:
    run = made_run(platform="Windows-11", working_directory=r"C:\work\nets", script=r"C:\work\nets\train.py")
    assert repository_path(run, r"models\my net.py").as_posix() == "models/my net.py"
    assert repository_path(run, "train.py").as_posix() == "train.py"
    assert repository_path(run, r"models\..\deep\net.py").as_posix() == "deep/net.py"


def test_names_no_folder_above_one_that_is_not_known() -> None:
    assert repository_path(Run(), "../../net.py").as_posix() == "net.py"


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_keeps_hostile_names_from_being_links_placeholders_or_control_characters(name: str) -> None:
    text = sarif_text(*hostile(name))
    text.encode("utf-8")
    log = json.loads(text)
    check_required(log)
    message = log["runs"][0]["results"][0]["message"]["text"]
    assert all(letter.isprintable() for letter in message)
    assert message.replace("{{", "").replace("}}", "").count("{") == 0
    assert "](" not in message.replace("\\](", "")


def test_points_at_the_script_where_no_line_is_known() -> None:
    run = replace(made_run(script="my net.py"), losses=())
    diagnosis = Diagnosis("broken", (made_finding(layers=("nowhere",)),))
    place = log_of(run, diagnosis)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "my%20net.py"
    assert place["region"] == {"startLine": 1}
