"""A process beside a training, which ends when that does: the dashboard of `run --live`, the trackers of `run --to`.

The training's process does nothing for it but to hold the other end of a pipe. Where that end closes, even by
`kill -9`, it is told to come to its end. It has a lower priority, and one thread for numbers.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping

NICENESS = 10
"""Added to the priority's number: half of the way to the lowest."""

ONE_THREAD: Mapping[str, str] = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def start_beside(module: str, word: str) -> "subprocess.Popen[str]":
    """Start a process beside this one; closing its stdin tells it to end.

    Args:
        module: What it runs, as behind `python -m`.
        word: The one word of its command line.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, word],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **ONE_THREAD},
        # Ctrl-C is the training's alone: how it ended is to be told, too.
        start_new_session=True,
    )


def stand_beside(when_alone: Callable[[], None]) -> None:
    """Be such a process: step back behind the training, and wait for its end in a thread.

    Args:
        when_alone: Called in that thread when the training's process has let go of its end of the pipe.
    """
    if hasattr(os, "nice"):
        os.nice(NICENESS)

    def wait() -> None:
        sys.stdin.read()
        when_alone()

    threading.Thread(target=wait, daemon=True).start()
