"""What `lab` does on the command line: progress to stderr, what was found to stdout, pages, one exit code."""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from gradiometer.cli.console import messages, results, write_json
from gradiometer.cli.exit_codes import COULD_NOT, FINDINGS, INTERRUPTED, OK
from gradiometer.errors import GradiometerError, SettingsError
from gradiometer.lab import EXPERIMENTS, load_experiment
from gradiometer.schema import ExperimentReport
from gradiometer.showing.lab_object import report_object, reports_object
from gradiometer.showing.lab_page import write_lab_index, write_lab_page
from gradiometer.showing.lab_text import print_report, print_reports

if TYPE_CHECKING:
    from rich.console import Console

    from gradiometer.lab.bench import Bench

Conduct = Callable[[str, "Bench"], ExperimentReport]
"""From an experiment's name and its bench to what it found."""

LINE_SECONDS = 5.0
LONGEST_LINE_SECONDS = 60.0
"""Where stderr is no terminal a line of progress comes at once, then after 5 s, then at intervals that double up to a
minute, so that a log stays short."""


@dataclass(frozen=True, slots=True)
class LabOptions:
    """The command line's options of `lab`.

    Attributes:
        folder: Where pages and run files go.
        is_quick: Only bundled data.
        data: File or folder with MNIST.
        seed_count: Seeds of each measurement.
        output: Where the page of one experiment goes.
        is_json: What was found goes to stdout as one JSON object.
    """

    folder: Path
    is_quick: bool = False
    data: Path | None = None
    seed_count: int | None = None
    output: Path | None = None
    is_json: bool = False


def conduct_one(name: str, options: LabOptions, conduct: Conduct | None = None) -> int:
    """Conduct one experiment, write its page and show what it found.

    Args:
        name: The experiment.
        options: The command line's options.
        conduct: What conducts it; the lab where None.

    Returns:
        3 where something that was measured lies outside of what is accepted, else 0.

    Raises:
        GradiometerError: It could not be conducted, or its page not be written.
    """
    report = conducted(name, options, conduct)
    page = write_lab_page(report, options.output or page_of(name, options), question=EXPERIMENTS.get(name, ""))
    if options.is_json:
        write_json({**report_object(report), "page": page})
    else:
        print_report(report, results(), page=str(page))
    return FINDINGS if report.missed else OK


def conduct_all(options: LabOptions, conduct: Conduct | None = None, names: Sequence[str] = tuple(EXPERIMENTS)) -> int:
    """Conduct one experiment after another; one that fails is named at the end, and the others go on.

    Args:
        options: The command line's options.
        conduct: What conducts an experiment; the lab where None.
        names: The experiments.

    Returns:
        130 after Ctrl-C, 2 where one could not be conducted, else 3 where something that was measured is outside,
        else 0.

    Raises:
        SettingsError: A page was named, and there are several; or one can't be written.
    """
    if options.output is not None:
        raise SettingsError("--output names one page, and `all` writes one for each experiment: use --folder DIR.")
    reports: dict[str, ExperimentReport] = {}
    failed: dict[str, str] = {}
    is_interrupted = False
    for name in names:
        try:
            outcome = attempt(name, options, conduct)
        except KeyboardInterrupt:
            messages().print("\nInterrupted.")
            is_interrupted = True
            break
        if isinstance(outcome, str):
            failed[name] = outcome
        else:
            page = write_lab_page(outcome, page_of(name, options), question=EXPERIMENTS.get(name, ""))
            reports[page.name] = outcome
    index = write_lab_index(reports, failed, EXPERIMENTS, options.folder / "index.html")
    show_all(list(reports.values()), failed, index, options)
    if is_interrupted:
        return INTERRUPTED
    missed = any(report.missed for report in reports.values())
    return COULD_NOT if failed else FINDINGS if missed else OK


def attempt(name: str, options: LabOptions, conduct: Conduct | None) -> ExperimentReport | str:
    """Conduct an experiment; what went wrong in words where it could not be conducted, said at once, too."""
    try:
        return conducted(name, options, conduct)
    except GradiometerError as fault:
        reason = str(fault)
    except Exception as fault:
        # A defect of one experiment must not cost the others; its traceback is shown where it happened.
        traceback.print_exc()
        reason = f"{type(fault).__name__}: {fault}"
    messages().print(f"{name} could not be run: {reason}", soft_wrap=True)
    return reason


def show_all(reports: Sequence[ExperimentReport], failed: Mapping[str, str], index: Path, options: LabOptions) -> None:
    """Show what several experiments came to."""
    if options.is_json:
        write_json({**reports_object(reports, failed), "page": index})
    else:
        print_reports(reports, failed, results(), index=str(index))


def page_of(name: str, options: LabOptions) -> Path:
    """Where an experiment's page goes."""
    return options.folder / f"{name}.html"


def conducted(name: str, options: LabOptions, conduct: Conduct | None) -> ExperimentReport:
    """Conduct an experiment under a bar of progress."""
    if conduct is None:
        # Before torch is loaded, so that a name that is misspelt is told at once.
        load_experiment(name)
        from gradiometer.lab.conducting import conduct_experiment

        conduct = conduct_experiment
    from gradiometer.lab.bench import Bench

    with progress_on(messages(), name) as progress:
        bench = Bench(
            options.folder / name,
            size="quick" if options.is_quick else "full",
            data=options.data,
            seed_count=options.seed_count,
            progress=progress,
        )
        return conduct(name, bench)


@contextmanager
def progress_on(console: "Console", name: str) -> Iterator[Callable[[float, str], None]]:
    """A bar on a terminal, elsewhere a line now and then.

    Args:
        console: Where to show it.
        name: What is being done.

    Yields:
        What is told the share that is done, from 0 to 1, and what is being done now.
    """
    if not console.is_terminal:
        yield LinesOfProgress(console, name)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=4.0, transient=True) as bar:
        task = bar.add_task(name, total=1.0)
        yield lambda share, doing: bar.update(task, completed=share, description=f"{name}: {doing}")


class LinesOfProgress:
    """Progress as plain lines.

    Args:
        console: Where to write them.
        name: What is being done.
        interval_seconds: Least time between the first two lines.
    """

    def __init__(self, console: "Console", name: str, *, interval_seconds: float = LINE_SECONDS) -> None:
        self.console = console
        self.name = name
        self.interval_seconds = interval_seconds
        self.next_at = float("-inf")

    def __call__(self, share: float, doing: str) -> None:
        """Write a line where the last one is long enough ago."""
        now = time.monotonic()
        if now < self.next_at:
            return
        self.console.print(f"{self.name}: {100.0 * share:.0f} %  {doing}", soft_wrap=True)
        self.next_at = now + self.interval_seconds
        self.interval_seconds = min(2.0 * self.interval_seconds, LONGEST_LINE_SECONDS)
