"""A long run without end in sight: a tiny network trains for a million steps under the real probe, into a real file.

Looked at on the way, at equal distances: memory of the process, what SQLite has of it, objects of Python, open
descriptors, threads, size of the run file with its companions, size of the batches kept beside it. Every so many steps
a batch is far too large, so that the loss jumps and everything that follows an alarm is gone through, too. An unwatched
twin trains as long before it and is looked at likewise; its weights must end equal to the bit.

Memory is flat where the interval of its slope, over the second half of the run, holds no growth that would matter: the
samples are averaged in blocks, for neighbours are alike, and the slope through the blocks has a t-interval. SQLite
keeps pages of the file in memory, 2 MiB at most: the second half should begin after they are there, so a short soak
needs a small file.

    python benchmarks/soak.py [--steps 1000000] [--max-megabytes 4] [--overhead 0.1]
"""

import _sqlite3
import argparse
import ctypes
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn
from workloads import print_machine

from gradiometer.recording.keeping import Keeping, batches_folder, bounds_from
from gradiometer.recording.opening import COMPANION_SUFFIXES
from gradiometer.schema import Run
from gradiometer.session import Session, Watch

SAMPLES = 400
"""Looks at the process, spread evenly over the run."""

BLOCKS = 10
"""Averages of neighbouring samples that the slope goes through."""

ODD_INTERVAL, ODD_FACTOR = 10_000, 30.0
"""Every so many steps the batch is this many times too large: the loss jumps, and an alarm is raised."""

BATCHES, EXAMPLES, FEATURES = 64, 8, 8

KEPT = "4"
"""Batches of suspicious steps that are kept, as `gradiometer run` does."""

FLAT_BYTES = 2**20
"""Growth over a whole run that would not matter: one MiB in a million steps."""

MIB = 2**20

SQLITE = ctypes.CDLL(_sqlite3.__file__)
"""The SQLite that Python uses, wherever that is; it tells how much memory it has."""

SQLITE.sqlite3_memory_used.restype = ctypes.c_longlong


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process held at a step.

    Attributes:
        step: The step.
        held_bytes: Its memory.
        database_bytes: What SQLite has of it.
        object_count: Pieces of memory that Python's objects take.
        descriptor_count: Its open files, pipes and sockets.
        thread_count: Its threads.
        file_bytes: Size of the run file and its companions.
        kept_bytes: Size of the batches kept beside it.
    """

    step: int
    held_bytes: int
    database_bytes: int
    object_count: int
    descriptor_count: int
    thread_count: int
    file_bytes: int
    kept_bytes: int


@dataclass(frozen=True, slots=True)
class Slope:
    """How a figure moves over a run.

    Attributes:
        per_million: Change in a million steps.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    per_million: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Soak:
    """What became of a soak.

    Attributes:
        samples: What was seen on the way.
        twin_samples: What was seen of the unwatched twin.
        run: The run, read back.
        end_bytes: Size of the closed file.
        seconds: Time of the watched training, and of its unwatched twin.
        is_unchanged: The weights ended equal to the twin's, bit for bit.
        fault: What went wrong with measuring or recording; empty where nothing did.
    """

    samples: tuple[Sample, ...]
    twin_samples: tuple[Sample, ...]
    run: Run
    end_bytes: int
    seconds: tuple[float, float]
    is_unchanged: bool
    fault: str


class TinyTraining:
    """Two small layers, SGD with momentum, batches in turn; the same from every start."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(BATCHES, EXAMPLES, FEATURES, generator=generator)
        self.targets = self.inputs.sum(2, keepdim=True).tanh()
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh(), nn.Linear(16, 1))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)

    def step(self, number: int) -> None:
        """Train one step."""
        inputs, targets = self.inputs[number % BATCHES], self.targets[number % BATCHES]
        if number % ODD_INTERVAL == ODD_INTERVAL - 1:
            targets = targets * ODD_FACTOR
        self.optimizer.zero_grad()
        nn.functional.mse_loss(self.model(inputs), targets).backward()
        self.optimizer.step()

    def weights(self) -> Tensor:
        """All weights, as one tensor."""
        return torch.cat([parameter.detach().flatten() for parameter in self.model.parameters()])


def look(step: int, file: Path) -> Sample:
    """Look at this process and at its run file."""
    companions = [file, *(file.with_name(file.name + suffix) for suffix in COMPANION_SUFFIXES)]
    folder = batches_folder(file)
    kept = list(folder.iterdir()) if folder.is_dir() else []
    return Sample(
        step,
        held_bytes(),
        SQLITE.sqlite3_memory_used(),
        sys.getallocatedblocks(),
        sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threading.active_count(),
        sum(size_of(path) for path in companions),
        sum(size_of(path) for path in kept),
    )


def held_bytes() -> int:
    """Memory that this process has filled, whether it is in RAM now or was moved out of it.

    Pages of files (torch's code) are left out: the system drops and reads them as it likes.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "VmSwap:")))


def size_of(path: Path) -> int:
    """Size of a file; 0 where it is gone by now."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def train(training: TinyTraining, steps: int, file: Path) -> tuple[list[Sample], float]:
    """Train; tells what was seen on the way, of the run file too where one is written, and the time it took."""
    samples, interval = [], max(steps // SAMPLES, 1)
    started = perf_counter()
    for number in range(steps):
        training.step(number)
        if number % interval == 0:
            samples.append(look(number, file))
    return samples, perf_counter() - started


def soak(folder: Path, *, steps: int, max_bytes: int, overhead: float) -> Soak:
    """Train unwatched, then watched.

    Args:
        folder: Where the run file goes; empty.
        steps: Steps of each.
        max_bytes: Bound of the run file.
        overhead: Share of the training time that measuring may take.
    """
    twin, training, file = TinyTraining(), TinyTraining(), folder / "run.db"
    twin_samples, bare_seconds = train(twin, steps, file)
    keeping = Keeping(bounds_from(KEPT, "--keep-batches"))
    session = Session(file, overhead, max_bytes=max_bytes, keeping=keeping)
    with Watch(training.model, (training.optimizer,), session):
        samples, seconds = train(training, steps, file)
    run = session.run
    faults = [event.text for event in run.events if event.kind == "fault"]
    return Soak(
        tuple(samples),
        tuple(twin_samples),
        run,
        file.stat().st_size,
        (seconds, bare_seconds),
        torch.equal(twin.weights(), training.weights()),
        session.writer.fault or "".join(faults),
    )


def slope_of(samples: tuple[Sample, ...], name: str) -> Slope:
    """How a figure moves over the second half of a run, in a million steps, with its 95 % interval."""
    half = samples[len(samples) // 2 :]
    blocks = np.array_split(np.arange(len(half)), BLOCKS)
    steps = np.array([np.mean([half[index].step for index in block]) for block in blocks]) / 1e6
    values = np.array([np.mean([getattr(half[index], name) for index in block]) for block in blocks])
    line = stats.linregress(steps, values)
    reach = stats.t.ppf(0.975, BLOCKS - 2) * line.stderr
    return Slope(float(line.slope), float(line.slope - reach), float(line.slope + reach))


def report_memory(found: Soak) -> None:
    """Print how memory moved over the second half of a run and of its twin's, and who had it."""
    memory = slope_of(found.samples, "held_bytes")
    verdict = "flat" if memory.high <= FLAT_BYTES else "GROWS" if memory.low > 0.0 else "not decided"
    kinds = (
        ("memory", found.samples, "held_bytes", verdict),
        ("of it SQLite's", found.samples, "database_bytes", "its pages of the file"),
        ("unwatched twin", found.twin_samples, "held_bytes", "the looking itself"),
    )
    for name, samples, figure, word in kinds:
        slope = slope_of(samples, figure)
        amid, last = (getattr(sample, figure) / MIB for sample in (samples[len(samples) // 2], samples[-1]))
        print(
            f"{name}: {amid:.2f} MiB amid the run, {last:.2f} at its end; slope over the second half "
            f"{slope.per_million / MIB:+.3f} MiB per million steps [{slope.low / MIB:+.3f} to "
            f"{slope.high / MIB:+.3f}]: {word}"
        )
    objects = slope_of(found.samples, "object_count")
    print(
        f"objects of Python: {found.samples[-1].object_count:,} at the end, {objects.per_million:+,.0f} in a million "
        f"steps [{objects.low:+,.0f} to {objects.high:+,.0f}]"
    )


def report(found: Soak, max_bytes: int, overhead: float) -> None:
    """Print what a soak gave."""
    samples, (seconds, bare_seconds) = found.samples, found.seconds
    steps = found.run.step_count
    greatest = max(sample.file_bytes for sample in samples)
    print(f"weights equal to the unwatched twin's: {found.is_unchanged}; faults: {found.fault or 'none'}")
    report_memory(found)
    for name, word in (("descriptor_count", "descriptors"), ("thread_count", "threads")):
        counts = [getattr(sample, name) for sample in samples[1:]]
        print(f"{word}: {min(counts)} to {max(counts)}, {counts[-1]} at the end")
    print(
        f"file: {greatest / MIB:.2f} MiB at most with its companions, {found.end_bytes / MIB:.2f} at the end, "
        f"{max_bytes / MIB:.2f} allowed: {'kept' if greatest <= max_bytes else 'EXCEEDED'}; "
        f"kept batches {max(sample.kept_bytes for sample in samples) / 1024:.0f} KiB at most"
    )
    print(
        f"run: {steps:,} steps counted, {len(found.run.steps):,} left, {found.run.snapshot_count:,} full ones, "
        f"{len(found.run.events):,} events; measuring took {found.run.facts['overhead_measured']:.2%} of the time, "
        f"{overhead:.2%} allowed; {seconds:.0f} s watched, {bare_seconds:.0f} s bare"
    )


def main() -> None:
    """Soak as long as asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--max-megabytes", type=float, default=4.0)
    parser.add_argument("--overhead", type=float, default=0.1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_machine()
    max_bytes = int(arguments.max_megabytes * MIB)
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), steps=arguments.steps, max_bytes=max_bytes, overhead=arguments.overhead)
    report(found, max_bytes, arguments.overhead)


if __name__ == "__main__":
    main()
