"""How costs grow: a full step's with layers and with parameters, a run file's with full steps, and where it stops.

- layers: stacks of small layers, 10 to 10 000 of them, every step measured in full; extra time of a step for each
  layer. Linear growth keeps it the same; what is spent in other steps at the default overhead does not grow at all.
- parameters: four square layers of 10^5 to 10^8 parameters together; extra time for each parameter.
- file: bytes of the run file for each full step of every workload.
- bound: a simulated run of 10^6 steps, every hundredth of them full, with turns of every dear measurement, against
  `max_bytes`.

    python benchmarks/growth.py [--only layers] [--most-layers 10000] [--most-parameters 1e8]
        [--file-steps 40] [--simulated-steps 1000000]
"""

import argparse
import math
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from time import process_time

import numpy as np
import torch
from simulated_run import KINDS, fill, full_step_bytes
from torch import nn
from workloads import STANDARD, WORKLOADS, Training, Workload, images, momentum, print_machine

from gradiometer.measuring.dear import DEAR_MEASUREMENTS
from gradiometer.schema import Run
from gradiometer.session import watch

ROUNDS = 7

WATCHED_STEPS = 24
"""Steps at the default overhead, six of them measured in full."""

MIB = 2**20

SIMULATED_LAYERS, SIMULATED_MAX_BYTES = 50, 32 * MIB

FULL_INTERVAL, EVENT_INTERVAL = 100, 1000


def stack(layers: int, width: int) -> nn.Module:
    """An MLP; ReLUs count as layers."""
    parts = [part for _ in range(layers // 2) for part in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(*parts, nn.Linear(width, 10))


def extra_seconds(make: Callable[[], nn.Module], width: int, batch: int) -> tuple[float, float]:
    """Processor seconds of a bare step, and what measuring it in full adds; medians over interleaved pairs."""
    workload = Workload("", make, lambda: images(batch, width), momentum, 1)
    bare, watched = Training(workload), Training(workload)
    watching = watch(watched.model, watched.optimizer, overhead=1.0, dear=())
    probe = watching.session.probe
    times: list[tuple[float, float]] = []
    for number in range(ROUNDS + 2):
        start = process_time()
        bare.step()
        middle = process_time()
        probe.attach()
        between = process_time()
        watched.step()
        end = process_time()
        probe.detach()
        if number >= 2:
            times.append((middle - start, end - between))
    assert not probe.guard.is_broken
    watching.stop()
    return median(one for one, _ in times), median(other - one for one, other in times)


def watch_seconds(make: Callable[[], nn.Module], width: int, batch: int) -> float:
    """Time spent in our own code in a step that is not measured in full, at the default overhead; a median."""
    training = Training(Workload("", make, lambda: images(batch, width), momentum, 1))
    watching = watch(training.model, training.optimizer)
    with watching:
        for _ in range(WATCHED_STEPS):
            training.step()
    run = watching.run
    is_between = ~np.isin(run.steps, run.snapshot_steps)
    return float(np.median(run.step_columns["measuring_seconds"][is_between]))


def growth_line(make: Callable[[], nn.Module], width: int, batch: int, count: int) -> str:
    """What a step, a full step and a watched step cost, and the full one for each of so many things."""
    bare, extra = extra_seconds(make, width, batch)
    watched = watch_seconds(make, width, batch)
    return (
        f"bare step {1e3 * bare:9.2f} ms  full step {1e3 * extra:+9.2f} ms, {1e9 * extra / count:11,.1f} ns for each, "
        f"ratio {(bare + extra) / bare:.2f}  other steps {1e6 * watched:+7.1f} us"
    )


def grow_layers(most: int) -> None:
    """Measure ever deeper stacks of small layers in full."""
    print("layers: extra time of a full step, and of any other at the default overhead")
    for count in (10**power for power in range(1, int(math.log10(most)) + 1)):
        print(f"  {count:7,} layers  {growth_line(lambda count=count: stack(count, 16), 16, 8, count)}", flush=True)


def grow_parameters(most: float) -> None:
    """Measure four ever wider layers in full."""
    print("parameters: extra time of a full step, and of any other at the default overhead")
    for power in range(5, int(math.log10(most)) + 1):
        width = round(math.sqrt(10**power / 4))
        count = 4 * width * width
        line = growth_line(lambda width=width: stack(8, width), width, 4, count)
        print(f"  {count:12,} parameters  {line}", flush=True)


def file_bytes(workload: Workload, dear: tuple[str, ...], steps: int) -> float:
    """Bytes of a run file for each full step beyond the first ones."""
    sizes = []
    for count in (steps // 4, steps):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "run.db"
            training = Training(workload)
            with watch(training.model, training.optimizer, file=file, overhead=1.0, dear=dear):
                for _ in range(count):
                    training.step()
            sizes.append(file.stat().st_size)
    return (sizes[1] - sizes[0]) / (steps - steps // 4)


def grow_file(steps: int) -> None:
    """Say by how much run files grow with each full step."""
    print("file: bytes for each full step, without dear measurements and with all of them taking turns")
    for name in STANDARD:
        workload = WORKLOADS[name]
        core, dear = (file_bytes(workload, names, steps) for names in ((), tuple(DEAR_MEASUREMENTS)))
        print(f"  {name} {workload.title:30} {core:10,.0f}  {dear:10,.0f}", flush=True)


def fill_file(steps: int) -> None:
    """Record a simulated run through the real writer and say how large its file ever was."""
    sizes = {kind: full_step_bytes(kind, SIMULATED_LAYERS) for kind in KINDS}
    print(f"bytes of a full step of {SIMULATED_LAYERS} layers, by the dear measurement that has its turn")
    print("  " + ", ".join(f"{kind or 'none'} {size:,.0f}" for kind, size in sizes.items()), flush=True)
    whole_bytes = steps / FULL_INTERVAL * mean(sizes.values())
    print(
        f"bound: {steps:,} simulated steps, every {FULL_INTERVAL}th full, an event every {EVENT_INTERVAL} steps, "
        f"max_bytes {SIMULATED_MAX_BYTES / MIB:.0f} MiB; the full steps alone would take {whole_bytes / MIB:,.0f} MiB"
    )
    with tempfile.TemporaryDirectory() as folder:
        filling = fill(
            Path(folder) / "run.db",
            steps=steps,
            full_interval=FULL_INTERVAL,
            event_interval=EVENT_INTERVAL,
            layer_count=SIMULATED_LAYERS,
            max_bytes=SIMULATED_MAX_BYTES,
        )
    run = filling.run
    turns = Counter(turn.measurement for turn in run.turns.values())
    print(
        f"  {filling.end_bytes / MIB:.1f} MiB at the end, {filling.greatest_bytes / MIB:.1f} MiB at most with its log "
        f"and index: {'kept' if filling.greatest_bytes <= SIMULATED_MAX_BYTES else 'EXCEEDED'}\n"
        f"  left are {len(run.steps):,} steps, {run.snapshot_count:,} full ones ({dict(sorted(turns.items()))}), "
        f"{len(run.events):,} events; widest gap of full steps {widest_ratio(run):.2f} times\n"
        f"  {1e6 * filling.writing_seconds / steps:.1f} us of the writing thread for each step; handing on took the "
        f"training {1e3 * filling.longest_wait_seconds:.1f} ms at most; {filling.elapsed_seconds:.0f} s in all"
    )


def widest_ratio(run: Run) -> float:
    """Greatest ratio of a full step to the one before it, of those after the first twenty."""
    steps = run.snapshot_steps[20:].astype(float)
    return float(max(steps[1:] / steps[:-1]))


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["layers", "parameters", "file", "bound"], help="one part instead of all")
    parser.add_argument("--most-layers", type=int, default=10_000)
    parser.add_argument("--most-parameters", type=float, default=1e8)
    parser.add_argument("--file-steps", type=int, default=40)
    parser.add_argument("--simulated-steps", type=int, default=1_000_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_machine()
    parts: dict[str, Callable[[], None]] = {
        "layers": lambda: grow_layers(arguments.most_layers),
        "parameters": lambda: grow_parameters(arguments.most_parameters),
        "file": lambda: grow_file(arguments.file_steps),
        "bound": lambda: fill_file(arguments.simulated_steps),
    }
    for name in [arguments.only] if arguments.only else parts:
        parts[name]()


if __name__ == "__main__":
    main()
