"""How costs grow: a full step's with layers and with parameters, a run file's with full steps, and where it stops.

- layers: stacks of small layers, 10 to 10 000 of them, every step measured in full; extra time of a step for each
  layer. Linear growth keeps it the same.
- parameters: four square layers of 10^5 to 10^8 parameters together; extra time for each parameter.
- file: bytes of the run file for each full step of every workload.
- bound: a simulated run of 10^6 steps, every hundredth of them full, against `max_bytes`.

    python benchmarks/growth.py [--only layers] [--most-layers 10000] [--most-parameters 1e8]
        [--file-steps 40] [--simulated-steps 1000000]
"""

import argparse
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import torch
from torch import nn
from workloads import WORKLOADS, Training, Workload, images, momentum, print_machine

from gradiometer.measuring.dear import DEAR_MEASUREMENTS
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import Layer, LayerStats, Parameter, ParameterStats, Snapshot, StepStats
from gradiometer.session import watch

ROUNDS = 7

SIMULATED_LAYERS = 24

SIMULATED_MAX_BYTES = 16 * 2**20


def stack(layers: int, width: int) -> nn.Module:
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


def grow_layers(most: int) -> None:
    print("layers: extra time of a full step")
    for count in (10**power for power in range(1, int(math.log10(most)) + 1)):
        bare, extra = extra_seconds(lambda count=count: stack(count, 16), 16, 8)
        print(
            f"  {count:7,} layers  bare step {1e3 * bare:9.2f} ms  full step {1e3 * extra:+9.2f} ms  "
            f"{1e6 * extra / count:7.1f} us for each layer  ratio {(bare + extra) / bare:.2f}",
            flush=True,
        )


def grow_parameters(most: float) -> None:
    print("parameters: extra time of a full step")
    for power in range(5, int(math.log10(most)) + 1):
        width = round(math.sqrt(10**power / 4))
        bare, extra = extra_seconds(lambda width=width: stack(8, width), width, 4)
        print(
            f"  {4 * width * width:12,} parameters  bare step {1e3 * bare:9.2f} ms  full step {1e3 * extra:+9.2f} ms  "
            f"{1e9 * extra / (4 * width * width):7.3f} ns for each  ratio {(bare + extra) / bare:.2f}",
            flush=True,
        )


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
    print("file: bytes for each full step, without dear measurements and with all of them taking turns")
    for name, workload in WORKLOADS.items():
        core, dear = (file_bytes(workload, names, steps) for names in ((), tuple(DEAR_MEASUREMENTS)))
        print(f"  {name} {workload.title:30} {core:10,.0f}  {dear:10,.0f}", flush=True)


def simulated_snapshot(step: int) -> Snapshot:
    value = 1.0 / (1.0 + step)
    layers = tuple(
        LayerStats(f"layer{number}", number, value, value, value, -1.0, -1.0) for number in range(SIMULATED_LAYERS)
    )
    parameters = tuple(
        ParameterStats(f"layer{number}.{kind}", value, value, value, value, value, 1e-3)
        for number in range(SIMULATED_LAYERS)
        for kind in ("weight", "bias")
    )
    return Snapshot(step, layers, parameters, value, value)


def fill_file(steps: int) -> None:
    print(f"bound: {steps:,} simulated steps, every 100th full, max_bytes {SIMULATED_MAX_BYTES / 2**20:.0f} MiB")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.db"
        writer = RunWriter(file, max_bytes=SIMULATED_MAX_BYTES)
        names = [f"layer{number}" for number in range(SIMULATED_LAYERS)]
        writer.add_layers([Layer(name, "Linear", "leaf", rank) for rank, name in enumerate(names)])
        writer.add_parameters(
            [Parameter(f"{name}.{kind}", name, (16, 16), "float32") for name in names for kind in ("weight", "bias")]
        )
        start, greatest = perf_counter(), 0
        for step in range(steps):
            writer.add_step(StepStats(step, (("train.py:1", 1.0 / (1 + step), 1, 0),), 1e-3, None, None, 0.01, 1e-5))
            if step % 100 == 0:
                writer.add_snapshot(simulated_snapshot(step))
                greatest = max(greatest, sum(path.stat().st_size for path in Path(folder).iterdir()))
        writer.close()
        size = file.stat().st_size
        assert writer.fault is None, writer.fault
        run = writer.read()
        print(
            f"  {size / 2**20:.1f} MiB at the end, {greatest / 2**20:.1f} MiB at most with its log and index, "
            f"{len(run.steps):,} steps and {len(run.snapshot_steps):,} full ones left, first {run.steps[0]}, "
            f"last {run.steps[-1]}, {perf_counter() - start:.0f} s: "
            f"{'kept' if max(size, greatest) <= SIMULATED_MAX_BYTES else 'EXCEEDED'}"
        )


def main() -> None:
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
