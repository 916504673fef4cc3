"""Tries what was not tried yet, one training after another; killed and called again it goes on."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from benchmarks.cures.records import FAILED, Case, Ended, Repaired, Treated, append_case, read_cases
from benchmarks.cures.repairing import Fix, repair
from benchmarks.cures.trainings import (
    SCRIPT,
    arguments_of,
    confirm,
    ends_of,
    fresh_readings,
    fresh_seeds,
    spec_behind,
    spec_of,
    train_once,
    untouched_readings,
)
from benchmarks.truth.families import draw_setup
from benchmarks.truth.results import Result
from gradiometer.curing.trials.faults import SERIOUS_SEVERITIES
from gradiometer.curing.trials.pairing import Reading

ANSWERS = (0, 3)
"""Exit codes of `gradiometer cure` that are an answer: proved, or not."""


def cure_on_command_line(
    script: Path, arguments: Iterable[str], folder: Path, workers: int | None
) -> tuple[dict[str, Any], float]:
    """Cure a script as a user would, everything anew.

    Args:
        script: The script.
        arguments: Its arguments.
        folder: Working directory, where the case is kept.
        workers: Processes at a time; None for the default, one per processor.

    Returns:
        The answer of `--json`, and the seconds it took to give it.

    Raises:
        RuntimeError: There is no answer; the message is what was printed instead.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--json", "--fresh", *(["--workers", str(workers)] if workers else [])]
    start = perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "gradiometer", "cure", *options, str(script), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = perf_counter() - start
    if done.returncode not in ANSWERS:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout), seconds


def treat(
    number: int, fault: str, folder: Path, workers: int | None, controls: Callable[[], Sequence[Reading]]
) -> Treated:
    """Cure one training, and try what is proved on as many fresh seeds, first those of the untouched `controls`."""
    try:
        answer, seconds = cure_on_command_line(SCRIPT, arguments_of(number, fault), folder / "cure", workers)
    except RuntimeError as error:
        return Treated(FAILED, (), (), str(error), (), 0.0, 0)
    label = "+".join(answer["cures"])
    treated = Treated(
        outcome=answer["outcome"],
        cures=tuple(answer["cures"]),
        conditions=tuple(row["condition"] for row in answer["findings"] if row["severity"] in SERIOUS_SEVERITIES),
        detail=str(answer.get("detail") or ""),
        ranking=tuple(ranking_line(row) for row in answer.get("ranking") or ()),
        seconds=seconds,
        trial_count=len(answer["trials"]),
        winner_losses=(tuple(answer["control"]), tuple(answer["treated"])),
    )
    if treated.outcome != "better":
        return treated
    finals = {row["cure"]: row["run_file"] for row in answer["trials"] if row["sieve"] == "trial"}
    spec = spec_behind(folder / "cure" / finals[label])
    beside, count = list(controls()), len(treated.winner_losses[0])
    if seeds := fresh_seeds(count)[len(beside) :]:
        arguments = arguments_of(number, fault)
        beside += untouched_readings(folder / "untouched more", arguments, processes(workers), seeds)
    comparison, ends = confirm(folder / "confirm", beside, spec, processes(workers))
    return replace(treated, confirmation=comparison.verdict, ends=ends)


def ranking_line(row: dict[str, Any]) -> str:
    """What became of one cure, in a line."""
    verdict = row.get("verdict") or ""
    return " ".join(part for part in ("+".join(row["cures"]), row["sieve"], verdict, row.get("detail") or "") if part)


def repair_by_rules(number: int, fault: str, folder: Path, workers: int | None) -> Repaired:
    """Repair one training by AUTOTRAINER's rules; a healthy twin is only looked at."""
    spent: list[float] = []

    def train(fix: Fix) -> Ended | None:
        arguments = arguments_of(number, fault, ("--monitor", *fix.options))
        ended, seconds = train_once(folder / f"rules{len(spent)}", arguments, fix.cures)
        spent.append(seconds)
        return ended

    if not fault:
        ended = train(Fix())
        symptom = "explode" if ended is None else ended.symptom
        return Repaired(symptom, sum(spent), len(spent))
    found = repair(train, draw_setup(number).optimizer, random.Random(f"repair {number}"))
    fix, ends = found.fix, ()
    if fix != Fix():
        arguments = arguments_of(number, fault, fix.options)
        spec = spec_of(folder / "any", arguments, fix.cures)
        ends = ends_of(fresh_readings(folder / "repaired", spec, processes(workers)))
    return Repaired(found.symptom, sum(spent), len(spent), found.is_solved, fix.cures, fix.options, ends)


def run_case(task: tuple[int, str], folder: Path, workers: int | None) -> Case:
    """Everything about one training: its twin and itself with fresh seeds, its cure, its repair.

    Raises:
        RuntimeError: It could not be trained as it stands.
    """
    number, fault = task
    place = (folder / "work" / f"{number:04d}_{(fault or 'twin').replace(' ', '_')}").resolve()
    shutil.rmtree(place, ignore_errors=True)
    load = os.getloadavg()[0]

    @cache
    def untouched(kind: str) -> list[Reading]:
        return untouched_readings(place / f"untouched {kind}".strip(), arguments_of(number, kind), processes(workers))

    case = Case(
        number=number,
        fault=fault,
        family=draw_setup(number).family,
        load=load,
        twins=ends_of(untouched("")) if fault else (),
        untouched=ends_of(untouched(fault)) if fault else (),
        treated=treat(number, fault, place, workers, lambda: untouched(fault)),
        repaired=repair_by_rules(number, fault, place, workers),
    )
    shutil.rmtree(place, ignore_errors=True)
    return case


def processes(workers: int | None) -> int:
    """Processes at a time, one per processor where nothing is asked for."""
    return workers or len(os.sched_getaffinity(0))


def run_all(folder: Path, results: Iterable[Result], jobs: int, workers: int | None) -> Iterator[Case]:
    """Cure what has no result yet, in the order given, and give each case once it is written down.

    Args:
        folder: Where results go.
        results: Trainings of the truth benchmark.
        jobs: Trainings that are cured at a time.
        workers: Processes of each one; None for one per processor.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = {(case.number, case.fault) for case in read_cases(folder) if case.treated.outcome != FAILED}
    tasks = [(result.number, result.fault) for result in results if (result.number, result.fault) not in done]
    with ProcessPoolExecutor(jobs, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for future in as_completed([pool.submit(run_case, task, folder, workers) for task in tasks]):
            try:
                case = future.result()
            except RuntimeError as error:
                print(f"could not be trained, and is left for the next call: {error}", flush=True)
                continue
            append_case(folder, case)
            yield case
