"""`python -m benchmarks.truth run` trains, `python -m benchmarks.truth judge` diagnoses what was trained."""

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter

import torch

import benchmarks.truth
from benchmarks.truth.faults import FAULTS
from benchmarks.truth.judging import Answer, everything, is_detected, judge_all, score
from benchmarks.truth.results import count, read_results
from benchmarks.truth.running import COUNT, run_all, tasks_of
from benchmarks.truth.tables import (
    as_object,
    cases_of,
    family_alarms,
    group_rows,
    print_cases,
    print_groups,
    print_left_out,
    print_rules,
    print_scores,
)


def answer_of(name: str) -> Answer:
    """What was to be found of a fault."""
    fault = FAULTS[name]
    return Answer(fault.conditions, fault.causes, fault.group)


def run(arguments: argparse.Namespace) -> None:
    """Train what is left to train."""
    torch.set_num_threads(1)
    tasks = tasks_of(arguments.count)[arguments.start :: arguments.every]
    start, seconds = perf_counter(), 0.0
    for rank, result in enumerate(run_all(arguments.folder, tasks, arguments.jobs), start=1):
        seconds += result.seconds
        end = f"ended at {result.end:.3f}" if result.evaluations else result.error.strip().splitlines()[-1]
        print(
            f"{rank} of at most {len(tasks)}, {perf_counter() - start:.0f} s, {seconds / rank:.2f} s each: "
            f"{result.number} {result.family} {result.fault or 'twin'} {end}",
            flush=True,
        )


def judge(arguments: argparse.Namespace) -> None:
    """Diagnose run files and print the tables."""
    not_curable = [name for name, fault in FAULTS.items() if not fault.is_curable]
    controls = [name for name, fault in FAULTS.items() if fault.is_control]
    counted = count(read_results(arguments.folder), arguments.part, not_curable, controls)
    all_judged = judge_all(everything(counted), arguments.folder, arguments.jobs, arguments.seen)
    faulty = [judged for judged in all_judged if judged.result in counted.faulty]
    healthy = [judged for judged in all_judged if not judged.result.fault]
    apart = [judged for judged in all_judged if judged.result.fault and judged not in faulty]
    scores = score(faulty, healthy, answer_of)
    faults = group_rows(faulty, answer_of, lambda judged: judged.result.fault)
    families = group_rows(faulty, answer_of, lambda judged: judged.result.family)
    missed = [judged for judged in faulty if not is_detected(judged, answer_of(judged.result.fault))]
    false_alarms = [judged for judged in healthy if judged.verdict != "healthy"]
    if arguments.json:
        cases = {"missed": cases_of(missed), "false_alarms_among": cases_of(false_alarms)}
        json.dump(as_object(scores, faults, families) | cases, sys.stdout, indent=2, allow_nan=False)
        return
    print(f"part {arguments.part}: {len(faulty)} faulty, {len(healthy)} healthy")
    print_scores(scores)
    print("published rules")
    print_rules(scores)
    print("faults")
    print_groups(faults)
    print("families")
    print_groups(families)
    print("false alarms by family")
    family_alarms(healthy)
    print_left_out(counted, apart)
    print_cases("missed", missed, arguments.folder)
    print_cases("false alarms", false_alarms, arguments.folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.truth", description=(benchmarks.truth.__doc__ or "").splitlines()[0]
    )
    verbs = parser.add_subparsers(required=True)
    training = verbs.add_parser("run", help="train, and keep run files and results")
    training.add_argument("--count", type=int, default=COUNT, help="numbers to draw")
    training.add_argument("--start", type=int, default=0, help="first training of those to run")
    training.add_argument("--every", type=int, default=1, help="run one of so many")
    training.set_defaults(work=run)
    judging = verbs.add_parser("judge", help="diagnose the run files of a folder")
    judging.add_argument("--part", choices=["choosing", "reporting", "both"], default="choosing")
    judging.add_argument("--seen", type=float, default=1.0, help="share of each training's steps to go by")
    judging.add_argument("--json", action="store_true")
    judging.set_defaults(work=judge)
    for verb in (training, judging):
        verb.add_argument("--folder", type=Path, default=Path(".gradiometer/truth"))
        verb.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    arguments.work(arguments)


if __name__ == "__main__":
    main()
