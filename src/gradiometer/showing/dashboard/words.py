"""What a run's page says in words: its head, its findings, what to type next, how it was measured."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dash import html

from gradiometer.schema import Run, Trial
from gradiometer.showing.dashboard.elements import elements_of
from gradiometer.showing.dashboard.listing import shown_name, status_of
from gradiometer.showing.dashboard.shelf import Found, Seen, key_of
from gradiometer.showing.dashed_attributes import attributes
from gradiometer.showing.outcome_parts import outcome_section
from gradiometer.showing.report_parts import findings_section, measured_section
from gradiometer.showing.summary_parts import summary_block
from gradiometer.showing.wording import VERDICT_WORDS, command_of, cures_in_words, verdict_sentence, written

STATUS_WORDS = {
    "running": "It is running.",
    "silent": "It says that it is running, and has written nothing for more than an hour: it may have been killed.",
    "finished": "It is finished.",
    "failed": "Its script failed.",
    "interrupted": "It was interrupted.",
    "stopped": "It was stopped.",
}
"""Status of a run to a sentence on it."""

QUIET_SECONDS = 20.0
"""A running run that was written to less recently is said to be quiet, with the time of the last write."""

MOST_TRIALS = 200
"""Trials in a table."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something to type.

    Attributes:
        line: What to type.
        purpose: What it does.
    """

    line: str
    purpose: str


def subject_of(seen: Seen) -> str:
    """What the page is about: the script as it was called, or the file's name."""
    return command_of(seen.run) or str(seen.run.facts.get("script") or seen.path.name)


def title_of(seen: Seen) -> str:
    """The page's heading."""
    if seen.diagnosis is not None:
        return VERDICT_WORDS[seen.diagnosis.verdict][0]
    return "Can't be read" if seen.mark else "Nothing there yet"


def head_of(seen: Seen) -> list[Any]:
    """What stands at the head of the page: subject, verdict, the answers, or why there is nothing to see."""
    names = dict.fromkeys((subject_of(seen), shown_name(seen.path)))
    subject = html.P(" · ".join(names), className="subject")
    if seen.diagnosis is None:
        waiting = [] if seen.mark else [html.P(WAITING)]
        return [subject, html.H1(title_of(seen)), html.P(seen.fault, className="headline"), *waiting]
    return [
        subject,
        html.H1(title_of(seen)),
        html.P(verdict_sentence(seen.diagnosis), className="headline"),
    ]


def answers_of(seen: Seen) -> list[Any]:
    """What is wrong, why, what cures it, and what to do next, as the report has them."""
    if seen.diagnosis is None:
        return []
    return elements_of(summary_block(seen.run, seen.diagnosis, seen.path).replace('href="#code"', 'href="#outcome"'))


WAITING = "A run that has just begun appears here by itself as soon as something of it is recorded."


def status_line(seen: Seen) -> str:
    """How far the run came, in a sentence or two."""
    run = seen.run
    if seen.diagnosis is None:
        return ""
    status = status_of(run, seen.written_at)
    told = [STATUS_WORDS.get(status, f"Its status is {status}.")]
    told.append(f"{counted(run.step_count, 'step')}, {run.snapshot_count:,} full measurements shown.")
    loss = newest_loss(run)
    if loss:
        told.append(f"Newest loss: {loss}.")
    silence = time.time() - seen.written_at
    if status == "running" and silence > QUIET_SECONDS:
        told.append(f"Last written {silence:.0f} s ago.")
    return " ".join(told)


def counted(count: int, word: str) -> str:
    """A count with its word.

    Example:
        >>> counted(1, "step"), counted(1200, "step")
        ('1 step', '1,200 steps')
    """
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def newest_loss(run: Run) -> str:
    """The loss of the newest step that has one; empty without any."""
    if run.loss is None or not len(run.loss.values):
        return ""
    value = float(run.loss.values[-1])
    return "not finite" if value != value else f"{written(value)} at step {int(run.loss.steps[-1]):,}"


def findings_of(seen: Seen) -> list[Any]:
    """The findings as the report has them; nothing where there are none."""
    return elements_of(findings_section(seen.diagnosis)) if seen.diagnosis is not None else []


def measured_of(seen: Seen) -> list[Any]:
    """What happened, and how it was measured."""
    if seen.diagnosis is None:
        return []
    return elements_of(measured_section(seen.run, seen.diagnosis, seen.path if seen.path.is_file() else None))


def outcome_of(seen: Seen) -> list[Any]:
    """What the trials of a cure proved; nothing without any."""
    return elements_of(outcome_section(seen.run).replace('id="code"', ""))


def commands_of(seen: Seen) -> list[Any]:
    """What can be done with this run on a terminal."""
    if seen.diagnosis is None:
        return []
    rows = [
        part
        for command in offered(seen.run, shlex.quote(str(seen.path)))
        for part in (html.Dt(html.Code(command.line)), html.Dd(command.purpose))
    ]
    return [html.H2("On a terminal"), html.Dl(rows, className="commands")]


def offered(run: Run, file: str) -> list[Command]:
    """The commands that fit a run."""
    script = command_of(run)
    commands = [
        Command(f"gradiometer explain {file}", "what happened, in order and in plain words"),
        Command(f"gradiometer report {file}", "this as one HTML file to keep and to send"),
    ]
    if script:
        finding = "the operation in which a NaN or infinity was born: the run is made again up to it"
        commands.append(Command(f"gradiometer replay {file}", finding))
    if script and run.outcome is None:
        commands.append(Command(f"gradiometer cure {script}", "tries the cures that fit and proves which one works"))
    return commands


def trials_of(seen: Seen, found: dict[str, Found]) -> list[Any]:
    """The trials of a cure, each with the way to its own page; nothing where there are none.

    Args:
        seen: The run that was diagnosed.
        found: The run files there are.
    """
    files = {str(one.path.absolute()): key for key, one in found.items()}
    own = {key: one.path for key, one in found.items() if one.case == seen.path}
    if not own:
        return []
    told = {files[path]: trial for trial in seen.run.trials if (path := str(trial.run_file)) in files}
    rows = [trial_row(key, own[key].parent.name, told.get(key)) for key in ordered(own, told)[:MOST_TRIALS]]
    names = ("trial", "cure", "seed", "result", "final loss", "steps")
    head = html.Thead(html.Tr([html.Th(name, scope="col") for name in names]))
    table = html.Table([html.Caption("Trials", className="unseen"), head, html.Tbody(rows)])
    label = attributes("aria", label="Table of trials")
    return [
        html.H2(f"Trials ({len(own):,})"),
        html.P("Every trial is a run with a page of its own.", className="how"),
        html.Div(table, className="scroll", tabIndex=0, role="region", **label),
    ]


def ordered(own: dict[str, Any], told: dict[str, Trial]) -> list[str]:
    """Keys of the trials: the decisive sieve first, then by seed, the control before the cures."""
    ranks = {"trial": 0, "race": 1, "remeasure": 2}

    def place(key: str) -> tuple[int, int, str]:
        trial = told.get(key)
        if trial is None:
            return (-1, 0, own[key].parent.name)
        return (ranks.get(trial.sieve, 3), trial.seed, " ".join(trial.cures))

    return sorted(own, key=place)


def trial_row(key: str, name: str, trial: Trial | None) -> html.Tr:
    """One trial; of one that has not been judged yet its folder's name is all that is known."""
    if trial is None:
        return html.Tr([html.Th(html.A(name, href=f"/run/{key}"), scope="row"), *(html.Td() for _ in range(5))])
    loss = "–" if trial.final_loss is None else written(trial.final_loss)
    cells = (cures_in_words(trial.cures), str(trial.seed), trial.status, loss, f"{trial.step_count:,}")
    first = html.Th(html.A(f"{trial.sieve} {trial.seed}", href=f"/run/{key}"), scope="row")
    return html.Tr([first, *(html.Td(cell) for cell in cells)])


def beside(seen: Seen, found: dict[str, Found]) -> Sequence[Any]:
    """The way to the diagnosed run from a trial's page."""
    own = found.get(seen.key)
    if own is None or own.case is None:
        return []
    return [html.A("the run that was diagnosed, and all its trials", href=f"/run/{key_of(own.case)}")]
