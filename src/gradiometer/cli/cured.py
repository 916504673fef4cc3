"""What `run --cure` does: cures act while the script trains, and what they change is said."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gradiometer.cli.console import messages
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.launching.launch import Launch, LaunchResult, launch_script
from gradiometer.launching.limits import TrainingStopped
from gradiometer.launching.script import Target
from gradiometer.launching.torchrun import rank_in
from gradiometer.prescribing import needs_prelude
from gradiometer.settings import Ignored

if TYPE_CHECKING:
    from gradiometer.curing.trials.live_treatment import Change, LiveTreatment
    from gradiometer.session import Session

LAST_MOMENT_STEPS = 52
"""Steps after which a cure that found no moment finds none any more: the search for models is over by then."""

MOST_NAMES = 4
"""Names of new tensors that are said."""


@dataclass(slots=True)
class CuredRun:
    """The cures of a run, from the command line's word to what came of them; torch is loaded when the script does.

    Attributes:
        words: What `--cure` was given.
        target: The script.
        ignore: Findings that are not to be acted on.
        treatment: What applies them, None until torch is imported.
        error: Why they could not be read.
        file: The run file.
    """

    words: str
    target: Target
    ignore: Sequence[Ignored] = ()
    treatment: "LiveTreatment | None" = None
    error: Exception | None = None
    file: Path | None = None
    _told: set[str] = field(default_factory=set)

    def begin(self, session: "Session") -> "LiveTreatment":
        """Make the treatment for a session.

        Raises:
            TrainingStopped: The cures can't be read, or need what is not there; `finish` tells.
        """
        try:
            from gradiometer.curing.trials.live_treatment import LiveTreatment
            from gradiometer.curing.whole_run import regimen_for

            regimen = regimen_for(self.words, self.target, self.ignore)
        except Exception as error:  # whatever it is, the script is not to train without its cure
            self.error = error
            raise TrainingStopped from None
        session.writer.add_facts({"cures": [cure.label for cure in regimen.cures]})
        self.treatment = LiveTreatment(session, regimen, self.say)
        return self.treatment

    def say(self, change: "Change") -> None:
        """Say what a cure has changed, and that checkpoints change with it where they do."""
        console = messages()
        console.print(f"cured: {change.text} ({change.label})", soft_wrap=True)
        assert self.treatment is not None
        names = [name for name in self.treatment.added_names if name not in self._told]
        self._told.update(names)
        if names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            console.print(
                f"The model's checkpoints get new keys by this ({', '.join(names[:MOST_NAMES])}{more}): only a model "
                "with the change in its own code can load them.",
                soft_wrap=True,
            )

    def is_hopeless(self) -> bool:
        """Whether a cure has found no moment and none will come."""
        treatment = self.treatment
        is_late = treatment is not None and treatment.session.probe.step >= LAST_MOMENT_STEPS
        return is_late and treatment is not None and bool(treatment.unapplied())

    def end(self) -> None:
        """The script has ended: take away what accompanied it."""
        if self.treatment is not None:
            self.treatment.passage.part()

    def launch(self, launch: Launch) -> LaunchResult:
        """Run the script.

        Raises:
            Exception: As `finish`, where torch was there before the script and the cures can't be read.
            ScriptError: The script can't be started.
        """
        self.file = launch.file
        try:
            return launch_script(launch)
        except TrainingStopped:
            self.finish(has_optimizer=False)
            raise

    def finish(self, *, has_optimizer: bool) -> None:
        """Raise what kept a cure from being applied; a run file of no step is taken away.

        Raises:
            Exception: A cure refused, found no moment, failed, or could not be read.
        """
        treatment = self.treatment
        has_trained = treatment is not None and treatment.session.probe.step > 0
        missed = ""
        if treatment is not None:
            missed = treatment.what_was_missed(has_optimizer=has_optimizer) or treatment.refusal
        is_stopped = self.error is not None or missed or (treatment is not None and treatment.fault is not None)
        if is_stopped and not has_trained and self.file is not None:
            self.file.unlink(missing_ok=True)
        if self.error is not None:
            raise self.error
        if treatment is None:
            return
        if treatment.fault is not None:
            raise treatment.fault
        if missed:
            end = "" if has_trained else "; nothing was trained"
            raise CureRefusedError(f"{missed}{end}")


def cured_run(words: str | None, target: Target, ignore: Sequence[Ignored]) -> CuredRun | None:
    """The cures that a run was asked to apply, None where it was not.

    Raises:
        SettingsError: A launcher has started several processes.
    """
    if words is None:
        return None
    if rank_in(os.environ) is not None:
        raise SettingsError(
            "--cure changes a model in one process and not in several alike: paste the code that `gradiometer cure` "
            "gives into the script instead"
        )
    return CuredRun(prepared(words, target) if needs_prelude(words) else words, target, ignore)


def prepared(words: str, target: Target) -> str:
    """Have a process of its own find what the cures go by, before the script is started in this one.

    Raises:
        CureRefusedError: There is nothing to find.
    """
    # Not imported: it would load torch here, which is the script's to load.
    request = json.dumps({"words": words, "target": asdict(target)})
    command = [sys.executable, "-m", "gradiometer.curing.preparing"]
    answer = subprocess.run(command, input=request, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(answer.stdout)
    if "refusal" in told:
        raise CureRefusedError(f"{told['refusal']}; nothing was trained")
    return str(told["label"])
