"""What `run --to` and `export --to` share: trackers named on the command line are told of a run."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gradiometer.cli.console import messages
from gradiometer.errors import GradiometerError, SettingsError
from gradiometer.integrations.tracker import TRACKERS, Partner, fault_text, partner_named, require
from gradiometer.recording.liveness import is_alive, last_write
from gradiometer.settings import load_settings

if TYPE_CHECKING:
    from gradiometer.integrations.sinking import Sink
    from gradiometer.schema import Run
    from gradiometer.session import Session


@dataclass(frozen=True, slots=True)
class Destination:
    """A tracker, and where its run goes.

    Attributes:
        partner: The tracker.
        place: Folder, project or experiment; None for the usual one.
    """

    partner: Partner
    place: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """What a tracker was told of a recorded run.

    Attributes:
        tracker: Its name.
        place: Where that can be looked at.
        number_count: How many numbers.
    """

    tracker: str
    place: str
    number_count: int


@dataclass(slots=True)
class Tracking:
    """The trackers of a script that is run watched.

    Attributes:
        destinations: Where to tell of the run.
        sinks: The sinks, once the run has begun.
    """

    destinations: tuple[Destination, ...]
    sinks: tuple["Sink", ...] = field(default=())

    def start(self, session: "Session") -> None:
        """Tell of a session from its first step on."""
        from gradiometer.integrations.sinking import Sink

        self.sinks = tuple(Sink(one.partner, session, one.place).start() for one in self.destinations)

    def stop(self) -> None:
        """Tell the verdict, and where it can be looked at."""
        for sink in self.sinks:
            sink.stop()
            if sink.place is not None:
                messages().print(f"Told {sink.partner.name}:  {sink.place}", style="dim", soft_wrap=True)


def is_tracker(words: str) -> bool:
    """Whether `--to` names trackers, and no format of tables.

    Example:
        >>> is_tracker("wandb:mine,mlflow"), is_tracker("csv")
        (True, False)
    """
    return words.partition(",")[0].partition(":")[0] in TRACKERS


def destinations_in(words: str | None) -> tuple[Destination, ...]:
    """Read `NAME[:PLACE][,...]`.

    Raises:
        SettingsError: A tracker is not known, named twice, or not installed.

    Example:
        >>> [(one.partner.name, one.place) for one in destinations_in("tensorboard:runs/a")]
        [('tensorboard', 'runs/a')]
    """
    found = []
    for word in words.split(",") if words is not None else ():
        name, _, place = word.strip().partition(":")
        partner = partner_named(name)
        require(partner)
        found.append(Destination(partner, place or None))
    names = [one.partner.name for one in found]
    if len(set(names)) < len(names):
        raise SettingsError(f"--to {words} names a tracker twice: each is told of a run once")
    return tuple(found)


def tell_recorded(file: Path, words: str, *, follows: bool) -> tuple[Told, ...]:
    """Tell trackers of a recorded run.

    Args:
        file: The run file.
        words: The trackers, as after `--to`.
        follows: Go on until the run is over, or was killed; of several trackers each would wait for the one before.

    Raises:
        RunFileError: The file can't be read.
        SettingsError: A tracker is not known, not installed, or could not be told; the message says why.
    """
    from gradiometer.recording.reader import read_run

    destinations = destinations_in(words)
    if follows and len(destinations) > 1:
        raise SettingsError("--follow tells one tracker: start another for each")
    run = read_run(file)
    return tuple(tell_one(one, file, run, follows=follows) for one in destinations)


def tell_one(destination: Destination, file: Path, run: "Run", *, follows: bool) -> Told:
    """Tell one tracker of a recorded run; what it prints goes to stderr."""
    from gradiometer.integrations.telling import Telling, tell_all, tell_growing

    name = destination.partner.name
    try:
        with redirect_stdout(sys.stderr):
            tracker = destination.partner.open(destination.place, run)
            telling = Telling(tracker, load_settings().ignore)
            if follows:
                tell_growing(telling, file, is_over=lambda run: not is_alive(run, last_write(file)), wait=waited())
            else:
                tell_all(telling, run)
    except GradiometerError:
        raise
    except Exception as fault:
        raise SettingsError(f"{name} could not be told: {fault_text(fault)}") from fault
    return Told(name, tracker.place, telling.number_count)


def waited() -> Callable[[float], bool]:
    """A wait that nothing cuts short."""

    def wait(seconds: float) -> bool:
        time.sleep(seconds)
        return False

    return wait


def told_lines(told: Sequence[Told]) -> list[str]:
    """What is printed of it, one line for each tracker."""
    return [f"{one.tracker}: {one.number_count} numbers, {one.place}" for one in told]
