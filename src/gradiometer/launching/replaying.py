"""Runs a recorded script again up to the step where NaN or infinity began, and measures that step's every operation.

The script starts as it did, with the recorded arguments and seed, and nothing is measured on the way; every batch and
every loss that was recorded is compared, and where weights were kept these too. What the script writes goes to a
folder that is thrown away, and what it prints to stderr.

A kept state of weights is not used to skip the way to it: what the script itself draws and decides on that way is
not in any tensor, so the result would not surely be the recorded run.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gradiometer.errors import NoTrainingError
from gradiometer.launching.guard import FileGuard, quiet_environment
from gradiometer.launching.launch import Launch, launch_script
from gradiometer.launching.replay_plan import ReplayPlan
from gradiometer.recording.keeping import Keeping
from gradiometer.schema import Replay

if TYPE_CHECKING:
    from gradiometer.launching.replay_control import ReplayControl
    from gradiometer.session import Session


@dataclass(slots=True)
class Progress:
    """A replay under way.

    Attributes:
        plan: What is to be done.
        say: Told what happens on the way, a sentence at a time.
        control: What watches the steps, None until the script imports torch.
    """

    plan: ReplayPlan
    say: Callable[[str], None]
    control: "ReplayControl | None" = None

    def begin(self, session: "Session") -> None:
        """Take control of a session when torch is there."""
        from gradiometer.launching.replay_control import ReplayControl

        self.control = ReplayControl(self.plan, session, self.say)

    def is_stop_asked(self) -> bool:
        """Look at the step that has just ended; whether all is known."""
        return self.control is not None and self.control.look()


def replay(plan: ReplayPlan, say: Callable[[str], None]) -> Replay:
    """Run a script again as planned.

    Args:
        plan: The plan.
        say: Told what happens on the way.

    Returns:
        What was found.

    Raises:
        NoTrainingError: The script took no step.
        ScriptError: It can't be started.
    """
    progress = Progress(plan, say)
    launch = Launch(
        plan.target,
        None,
        seed=plan.seed,
        watches_every_step=True,
        when_watching=progress.begin,
        is_stop_asked=progress.is_stop_asked,
        keeping=Keeping(),
    )
    if plan.working_directory is not None and Path(plan.working_directory).is_dir():
        os.chdir(plan.working_directory)
    with tempfile.TemporaryDirectory(prefix="gradiometer-replay-") as folder, _quiet(Path(folder)):
        try:
            result = launch_script(launch)
        finally:
            if progress.control is not None:
                progress.control.close()
    if result.fault is not None:
        raise result.fault
    if progress.control is None or result.step_count == 0:
        raise NoTrainingError("the script took no step of training this time: is it the one that was recorded?")
    return progress.control.result()


@contextlib.contextmanager
def _quiet(folder: Path) -> Iterator[None]:
    """Keep the script's files and its output away from the user's."""
    kept = {name: os.environ.get(name) for name in quiet_environment(folder)}
    os.environ.update(quiet_environment(folder))
    try:
        with contextlib.redirect_stdout(sys.stderr), FileGuard(folder):
            yield
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
