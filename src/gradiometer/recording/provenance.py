"""Where a run comes from: versions, platform, command, commit; told once per run."""

import os
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradiometer import __version__

GIT_SECONDS = 2.0
"""How long git may take; on a stalled network folder a run starts without its commit."""


def gather_provenance(
    script: str | None = None,
    arguments: Sequence[str] = (),
    *,
    versions: Mapping[str, str] | None = None,
    command: str | None = None,
    started_at: datetime | None = None,
) -> dict[str, Any]:
    """Gather the facts that say what was run, on what, and when.

    Args:
        script: Path of the script as it was given; None for a run inside a notebook or a program.
        arguments: Its arguments.
        versions: Versions that only the training side knows (`{"torch": "2.13.0"}`).
        command: The command line; None makes it from script and arguments.
        started_at: Start of the run; None is now.

    Returns:
        Facts for the run file: gradiometer, python, platform, started_at (ISO, with its offset from UTC), what
        `versions` holds, and where there is a script: script, arguments, command, commit (only within a repository).
    """
    moment = started_at if started_at is not None else datetime.now(UTC).astimezone()
    facts: dict[str, Any] = {
        "gradiometer": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "started_at": moment.isoformat(timespec="milliseconds"),
        **(versions or {}),
    }
    if command is not None:
        facts["command"] = command
    if script is not None:
        facts["script"] = script
        facts["arguments"] = list(arguments)
        facts.setdefault("command", shlex.join(["python", script, *arguments]))
    commit = None if script is None else find_commit(Path(script).absolute().parent)
    return facts if commit is None else {**facts, "commit": commit}


def find_commit(folder: Path) -> str | None:
    """Commit that is checked out in a folder.

    Args:
        folder: Any folder.

    Returns:
        Its full name; None outside of a repository, before the first commit, without git, or where git takes too long.
    """
    # A hook or a rebase sets GIT_DIR and the like, which would name another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--verify", "HEAD"],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
