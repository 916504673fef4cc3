"""Runs trials in forks of this very process, for functions that no other process could import.

A fork has one thread, whatever the process had. So torch may use one thread in it: what OpenMP has set up in the
process would be waited for in vain. And CUDA can't be used in it once the process has.
"""

import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gradiometer.curing.trials.local import Going, TrialEnd, empty_folder, run_trials
from gradiometer.curing.trials.spec import TrialSpec
from gradiometer.curing.trials.worker import UNUSABLE, begin_process, end_process, perform


@dataclass(slots=True)
class Fork:
    """A fork of this process, tied to it by a pipe.

    Attributes:
        pid: Its number.
        lifeline: Our end of the pipe.
        code: Its exit code, None while it runs.
    """

    pid: int | None
    lifeline: int
    code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        if self.code is None and self.pid is not None:
            known, status = os.waitpid(self.pid, os.WNOHANG)
            if known:
                self.code = os.waitstatus_to_exitcode(status)
                os.close(self.lifeline)
        return self.code


def run_forked(
    specs: Sequence[TrialSpec], *, workers: int, when_done: Callable[[TrialEnd], None] | None = None
) -> list[TrialEnd]:
    """Run trials in forks; otherwise as `gradiometer.curing.trials.local.run_trials`."""
    return run_trials(specs, workers=workers, when_done=when_done, start=start_fork)


def start_fork(spec: TrialSpec, environment: Mapping[str, str]) -> Going:
    """Start a trial in an empty folder."""
    empty_folder(spec)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of other threads: see above
        pid = os.fork()
    if pid == 0:
        os.close(writing)
        perform_in_fork(spec, environment, reading)
    os.close(reading)
    return Going(spec, Fork(pid, writing))


def perform_in_fork(spec: TrialSpec, environment: Mapping[str, str], descriptor: int) -> None:
    """Run a trial and end this process; a notebook's streams, which need its threads, are left."""
    try:
        begin_process(spec, environment, lambda: os.read(descriptor, 1))
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - it goes with the process
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
        end_process(lambda: perform(replace(spec, threads=1)))
    finally:
        os._exit(UNUSABLE)
