"""Extra peak memory of a watched training: at most 2 % or 16 MiB, whichever is more, is wanted.

Every measurement is a process of its own, bare and watched in turn. A process imports gradiometer in both cases and
trains some steps; its peak is the greatest resident memory that the system saw, the flight recorder's small ring of
observations included. What gradiometer adds before the first step (the run file) is told apart. The second figure
counts torch's own allocations alone and does not depend on the machine's load: the greatest sum of bytes that were
allocated and not yet freed in one full step.

    python benchmarks/memory.py [--only W1] [--pairs 5] [--steps 12] [--overhead 1.0] [--dear none]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import torch
from workloads import WORKLOADS, Training, add_only, print_machine

from gradiometer.measuring.dear import DEAR_MEASUREMENTS
from gradiometer.session import Watch, watch

MIB = 2**20

WANTED_SHARE, WANTED_BYTES = 0.02, 16 * MIB


def peak_bytes() -> int:
    """Greatest resident memory of this process so far; Linux counts it in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def open_watch(training: Training, overhead: float, dear: str, folder: str) -> Watch:
    """Watch a training with none, all or one of the dear measurements."""
    names = {"none": (), "all": tuple(DEAR_MEASUREMENTS)}.get(dear, (dear,))
    return watch(training.model, training.optimizer, file=Path(folder) / "run.db", overhead=overhead, dear=names)


def allocated_peak(training: Training) -> int:
    """Greatest sum of torch's live allocations made in one step."""
    with torch.profiler.profile(profile_memory=True) as profiler:
        training.step()
    live = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            peak = max(peak, live)
    return peak


def run_one(name: str, *, is_watched: bool, steps: int, overhead: float, dear: str) -> dict[str, int]:
    """Train in this process and say what it took."""
    torch.set_num_threads(1)
    training = Training(WORKLOADS[name])
    with tempfile.TemporaryDirectory() as folder:
        watching = open_watch(training, overhead, dear, folder) if is_watched else None
        before = peak_bytes()
        if watching is not None:
            watching.start()
        for _ in range(steps):
            training.step()
        peak = peak_bytes()
        allocated = allocated_peak(training)
        if watching is not None:
            watching.stop()
            assert not watching.session.probe.guard.is_broken
    return {"before": before, "peak": peak, "allocated": allocated}


def measure(name: str, arguments: argparse.Namespace) -> None:
    """Run pairs of processes on one workload and print a line."""
    found: dict[bool, list[dict[str, int]]] = {False: [], True: []}
    for _ in range(arguments.pairs):
        for is_watched in (False, True):
            command = [sys.executable, __file__, "--child", name, "--steps", str(arguments.steps)]
            command += ["--overhead", str(arguments.overhead), "--dear", arguments.dear]
            command += ["--watched"] if is_watched else []
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found[is_watched].append(json.loads(output))

    def extra(key: str) -> float:
        pairs = zip(found[False], found[True], strict=True)
        return median(watched[key] - bare[key] for bare, watched in pairs)

    bare_peak = median(one["peak"] for one in found[False])
    allowed = max(WANTED_SHARE * bare_peak, WANTED_BYTES)
    spread = [round((watched["peak"] - bare["peak"]) / MIB, 1) for bare, watched in zip(*found.values(), strict=True)]
    print(
        f"{name}: peak {bare_peak / MIB:7.1f} MiB bare, {extra('peak') / MIB:+6.1f} MiB watched "
        f"(of which {extra('before') / MIB:+.1f} before the first step; pairs {spread}), "
        f"{allowed / MIB:.1f} MiB wanted: {'kept' if extra('peak') <= allowed else 'EXCEEDED'}; "
        f"torch's allocations in a full step {extra('allocated') / MIB:+.2f} MiB",
        flush=True,
    )


def main() -> None:
    """Measure what is asked for; as a child process, train once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_only(parser)
    parser.add_argument("--pairs", type=int, default=5, help="pairs of processes")
    parser.add_argument("--steps", type=int, default=12, help="steps of each")
    parser.add_argument("--overhead", type=float, default=1.0, help="share that measuring may take; 1: every step")
    parser.add_argument("--dear", default="none", help="none, all, or one dear measurement")
    parser.add_argument("--child", choices=list(WORKLOADS), help=argparse.SUPPRESS)
    parser.add_argument("--watched", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        sizes = run_one(
            arguments.child,
            is_watched=arguments.watched,
            steps=arguments.steps,
            overhead=arguments.overhead,
            dear=arguments.dear,
        )
        print(json.dumps(sizes))
        return
    print_machine()
    print(f"{arguments.pairs} pairs, {arguments.steps} steps, overhead {arguments.overhead}, dear: {arguments.dear}")
    for name in arguments.only:
        measure(name, arguments)


if __name__ == "__main__":
    main()
