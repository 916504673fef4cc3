"""What a tracker is to gradiometer: a few functions to be told rows, findings and the verdict by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from gradiometer.errors import GradiometerError, SettingsError
from gradiometer.integrations.scalars import Row
from gradiometer.schema import Diagnosis, Finding, Run

TRACKERS: tuple[str, ...] = ("tensorboard", "wandb", "mlflow", "trackio")
"""Names of the trackers, on the command line, of their files here and of their extras."""

PROJECT = "gradiometer"
"""Project or experiment of runs that gradiometer starts, where the user names none."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a tracker is told at the end.

    Attributes:
        diagnosis: What is wrong with the run.
        sentence: The verdict in words.
        page: The report as one HTML page; None where it is not wanted.
    """

    diagnosis: Diagnosis
    sentence: str
    page: str | None


@dataclass(frozen=True, slots=True)
class Tracker:
    """A place that is told of a run. Any of its functions may raise; none is called by two threads at once.

    Attributes:
        place: Where what it is told can be looked at, in words.
        send: Told rows, by step.
        tell: Told a finding when it is first made.
        conclude: Told the verdict, once.
        close: Called last: what was told is there afterwards.
        tick: Called a few times a second while a run goes on.
    """

    place: str
    send: Callable[[Sequence[Row]], None]
    tell: Callable[[Finding], None]
    conclude: Callable[[Conclusion], None]
    close: Callable[[], None]
    tick: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Partner:
    """One of `TRACKERS`, as its file describes it.

    Attributes:
        name: Its name.
        package: What it is imported by.
        open: Given a place (folder, project or experiment; None for the usual one) and the run as it is now, begins a
            run of the tracker's.
        find_active: Finds the run that the script itself has begun, on the thread that trains; None where there is
            none, also where the package was never imported.
        join: Given that, joins it: closing leaves it open. None where nothing is ever found.
    """

    name: str
    package: str
    open: Callable[[str | None, Run], Tracker]
    find_active: Callable[[], Any] = lambda: None
    join: Callable[[Any], Tracker] | None = None


def partner_named(name: str) -> Partner:
    """The partner of a name.

    Raises:
        SettingsError: There is none of that name.
    """
    if name not in TRACKERS:
        raise SettingsError(f"there is no tracker '{name}': choose {', '.join(TRACKERS)}")
    partner: Partner = import_module(f"gradiometer.integrations.{name}").PARTNER
    return partner


def require(partner: Partner) -> None:
    """Refuse a tracker that is not installed, without importing it.

    Raises:
        SettingsError: It is not; the message says how to get it.
    """
    if find_spec(partner.package) is None:
        raise SettingsError(
            f"{partner.name} needs {partner.package}, which is not installed here. "
            f"Install it: pip install 'gradiometer[{partner.name}]'"
        )


def fault_text(fault: Exception) -> str:
    """A fault in one line, at a length that people read."""
    words = " ".join(str(fault).split())[:300]
    return words.rstrip(".") if isinstance(fault, GradiometerError) else f"{type(fault).__name__}: {words}".rstrip(".")


def finding_text(finding: Finding) -> str:
    """A finding as trackers that hold text show it."""
    cures = f" What fits: {', '.join(finding.cures)}." if finding.cures else ""
    return f"{finding.summary}{cures}"


def facts_of(run: Run) -> dict[str, Any]:
    """Those of a run's facts that tell it from others, for a tracker's own list of settings."""
    kept = ("script", "seed", "device", "optimizer", "parameter_count", "torch", "commit")
    return {f"gradiometer_{name}": run.facts[name] for name in kept if run.facts.get(name) is not None}
