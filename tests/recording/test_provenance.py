import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from gradiometer import __version__
from gradiometer.recording.provenance import find_commit, gather_provenance

IDENTITY = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def test_names_the_commit_of_the_scripts_folder(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    assert find_commit(tmp_path) is None
    commit = ["git", "-C", str(tmp_path), "commit", "--quiet", "--allow-empty", "--message", "first"]
    subprocess.run(commit, check=True, env={**os.environ, **IDENTITY})
    head = (tmp_path / ".git" / (tmp_path / ".git" / "HEAD").read_text().split()[1]).read_text().strip()
    assert find_commit(tmp_path) == head
    assert gather_provenance(str(tmp_path / "train.py"))["commit"] == head


def test_names_no_commit_where_there_is_none(tmp_path: Path) -> None:
    assert find_commit(tmp_path / "nothing") is None
    assert "commit" not in gather_provenance(str(tmp_path / "nothing" / "train.py"))


def test_tells_what_was_run_on_what_and_when() -> None:
    facts = gather_provenance(
        "train.py",
        ["--name", "a b"],
        versions={"torch": "2.13.0"},
        started_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    assert facts["command"] == "python train.py --name 'a b'"
    assert facts["arguments"] == ["--name", "a b"]
    assert facts["started_at"] == "2026-01-02T03:04:05.000+00:00"
    assert (facts["gradiometer"], facts["torch"]) == (__version__, "2.13.0")
    assert facts["python"] == platform.python_version()


def test_tells_of_a_run_without_a_script() -> None:
    facts = gather_provenance()
    assert not {"script", "arguments", "command", "commit"} & set(facts)
    assert datetime.fromisoformat(facts["started_at"]).tzinfo is not None
