"""`python -m benchmarks.cures run` cures, `judge` counts, `examples` takes the time of the example scripts."""

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import benchmarks.cures
from benchmarks.cures.curable import CURABILITY
from benchmarks.cures.drawing import curable_of, draw, read_counted
from benchmarks.cures.examples import time_examples
from benchmarks.cures.judging import is_faulty, rows_of, score
from benchmarks.cures.records import read_cases
from benchmarks.cures.running import run_all
from benchmarks.cures.tables import as_object, print_open_cases, print_outcomes, print_rows, print_scores
from benchmarks.truth.faults import FAULTS
from benchmarks.truth.results import Result


def drawn(arguments: argparse.Namespace) -> tuple[Result, ...]:
    """The sample: faulty trainings, then healthy ones, each part even over what it is drawn over."""
    counted = read_counted(arguments.truth, arguments.part)
    faulty = draw(curable_of(counted), lambda result: result.fault, arguments.seed, arguments.sample)
    healthy = draw(counted.healthy, lambda result: result.family, arguments.seed, arguments.healthy)
    return (*faulty, *healthy)


def run(arguments: argparse.Namespace) -> None:
    """Cure what is left to cure."""
    results = drawn(arguments)
    start = perf_counter()
    cases = run_all(arguments.folder, results, arguments.jobs, arguments.workers)
    for rank, case in enumerate(cases, start=1):
        treated, repaired = case.treated, case.repaired
        print(
            f"{rank} of at most {len(results)}, {perf_counter() - start:.0f} s: {case.number} {case.fault or 'twin'}: "
            f"{treated.outcome} {'+'.join(treated.cures)} {treated.seconds:.0f} s, confirmed: "
            f"{treated.confirmation or '-'}; rules: {repaired.symptom or '-'} {repaired.seconds:.0f} s",
            flush=True,
        )


def judge(arguments: argparse.Namespace) -> None:
    """Count, and print the tables."""
    cases = read_cases(arguments.folder)
    if not cases:
        sys.exit(f"{arguments.folder} holds no results: python -m benchmarks.cures run")
    scores = score(cases)
    rows = {
        "groups": rows_of(cases, lambda case: FAULTS[case.fault].group),
        "faults": rows_of(cases, lambda case: case.fault),
        "families": rows_of(cases, lambda case: case.family),
    }
    if arguments.json:
        json.dump(as_object(scores, rows, cases), sys.stdout, indent=2, allow_nan=False)
        return
    faulty, healthy = sum(map(is_faulty, cases)), sum(not case.fault for case in cases)
    harmless = len(cases) - faulty - healthy
    print(f"{faulty} faulty, {healthy} healthy, {harmless} whose fault does no harm on fresh seeds")
    loads = [case.load for case in cases]
    print(f"load of the machine when they began: {median(loads):.1f} at the median, {max(loads):.1f} at most")
    print_scores(scores)
    for name, found in rows.items():
        print(name)
        print_rows(found)
    print("outcomes")
    print_outcomes(cases)
    print_open_cases(cases)


def curable(arguments: argparse.Namespace) -> None:
    """Print which faults count, and how many trainings there are of each."""
    counted = read_counted(arguments.truth, arguments.part)
    for name, told in CURABILITY.items():
        count = sum(result.fault == name for result in counted.faulty)
        print(f"  {name:42} {count:4}  {'curable' if told.is_curable else 'not curable'}: {told.reason}")
    print(f"  curable in all: {len(curable_of(counted))} of {len(counted.faulty)}")


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cures", description=(benchmarks.cures.__doc__ or "").splitlines()[0]
    )
    verbs = parser.add_subparsers(required=True)
    running = verbs.add_parser("run", help="cure a sample, and keep the results")
    running.add_argument("--sample", type=int, help="faulty trainings; all if not given")
    running.add_argument("--healthy", type=int, default=0, help="healthy twins")
    running.add_argument("--seed", type=int, default=0, help="of the drawing")
    running.add_argument("--jobs", type=int, default=1, help="trainings that are cured at a time")
    running.set_defaults(work=run)
    judging = verbs.add_parser("judge", help="count what was cured")
    judging.add_argument("--json", action="store_true")
    judging.set_defaults(work=judge)
    listing = verbs.add_parser("curable", help="list which faults count")
    listing.set_defaults(work=curable)
    timing = verbs.add_parser("examples", help="take the time of the example scripts")
    timing.add_argument("names", nargs="*", help="scripts without ending; all if not given")
    timing.add_argument("--json", action="store_true")
    timing.set_defaults(work=lambda given: time_examples(given.names, given.workers, is_json=given.json))
    for verb in (running, judging):
        verb.add_argument("--folder", type=Path, default=Path(".gradiometer/cures_benchmark"))
    for verb in (running, timing):
        verb.add_argument("--workers", type=int, help="processes of each; one per processor if not given")
    for verb in (running, listing):
        verb.add_argument("--truth", type=Path, default=Path(".gradiometer/truth"), help="results of benchmarks.truth")
        verb.add_argument("--part", choices=["choosing", "reporting", "both"], default="reporting")
    arguments = parser.parse_args()
    arguments.work(arguments)


if __name__ == "__main__":
    main()
