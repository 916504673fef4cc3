"""The workflow that is there to be copied: it is what its page shows, and its step does what it says."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "examples" / "github_actions" / "gradiometer.yml"


def workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


def check_in(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run the step's lines in the shell that GitHub runs them in, in a checkout with one script."""
    (folder / ".git").mkdir()
    shutil.copy(ROOT / "examples" / script, folder / "train.py")
    steps = workflow()["jobs"]["check"]["steps"]
    (lines,) = [step["run"] for step in steps if step.get("name") == "Check the training"]
    (folder / "step.sh").write_text(lines)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **workflow()["env"], "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "PATH": path}
    environment["OMP_NUM_THREADS"] = "1"
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "step.sh"]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_is_a_workflow_that_runs_on_changes_and_may_upload_findings() -> None:
    flow = workflow()
    assert set(flow[True]) == {"pull_request", "push"}  # YAML 1.1 takes the word "on" for a flag
    assert flow["permissions"] == {"contents": "read", "security-events": "write"}
    steps = flow["jobs"]["check"]["steps"]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    behind = steps[[step.get("name") for step in steps].index("Check the training") + 1 :]
    assert all("!cancelled()" in step["if"] for step in behind)
    assert behind[0]["with"]["sarif_file"] == "gradiometer.sarif"


def test_is_shown_on_its_page_as_it_is() -> None:
    page = (ROOT / "docs" / "integrations" / "github_actions.md").read_text(encoding="utf-8")
    assert f"```yaml\n{WORKFLOW.read_text()}```\n" in page


@pytest.mark.slow  # by default tests/ports/test_elsewhere.py shows that check writes what is asked for
def test_fails_on_a_network_that_can_not_train_and_writes_every_file(tmp_path: Path) -> None:
    answer = check_in(tmp_path, "ten_sigmoids.py")
    assert answer.returncode == 3, answer.stderr
    suite = ElementTree.parse(tmp_path / "gradiometer.xml").getroot()
    assert [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None] == ["vanishing"]
    (result,) = json.loads((tmp_path / "gradiometer.sarif").read_text())["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "train.py"
    line = (tmp_path / "train.py").read_text().splitlines()[place["region"]["startLine"] - 1]
    assert "model(" in line
    assert (tmp_path / "summary.md").read_text().startswith("## gradiometer: broken")


@pytest.mark.slow
def test_passes_on_a_network_that_trains(tmp_path: Path) -> None:
    answer = check_in(tmp_path, "healthy_residual_cnn.py")
    assert answer.returncode == 0, answer.stderr
    assert ElementTree.parse(tmp_path / "gradiometer.xml").getroot().get("failures") == "0"
    assert json.loads((tmp_path / "gradiometer.sarif").read_text())["runs"][0]["results"] == []
    assert (tmp_path / "summary.md").read_text().startswith("## gradiometer: healthy")
