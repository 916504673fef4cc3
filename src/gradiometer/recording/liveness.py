"""Whether a run may still be going on, as far as its file tells: a killed one says for ever that it is running."""

import time
from pathlib import Path

from gradiometer.schema import Run

ALIVE_SECONDS = 3600.0
"""A run that says it is running and was written to this recently is taken to be alive; chosen by us: the writer
commits four times a second, and an hour leaves room for a long evaluation between two steps."""


def is_alive(run: Run, written_at: float) -> bool:
    """Whether a run may still be going on.

    Args:
        run: The run, as it was read last.
        written_at: When its file was written to last, seconds since 1970.

    Example:
        >>> running, finished = Run(facts={"status": "running"}), Run(facts={"status": "finished"})
        >>> is_alive(running, time.time()), is_alive(running, time.time() - 7200.0), is_alive(finished, time.time())
        (True, False, False)
    """
    return run.facts.get("status", "running") == "running" and is_recent(written_at)


def is_recent(moment: float) -> bool:
    """Whether a moment, seconds since 1970, is so short a while ago that what was written then may be written on."""
    return time.time() - moment < ALIVE_SECONDS


def last_write(path: Path) -> float:
    """When a run file or its log was written to last, seconds since 1970; 0 where neither is there."""
    moments = []
    for file in (path, path.with_name(path.name + "-wal")):
        try:
            moments.append(file.stat().st_mtime)
        except OSError:
            continue
    return max(moments, default=0.0)
