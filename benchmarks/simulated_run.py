"""A long run without its training: made-up steps, full measurements with turns of every kind, and events are recorded.

They go through the real writer into a real file, whose size is watched on the way. Numbers are random, for SQLite and
JSON write round ones shorter than measured ones.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from gradiometer.recording.writer import RunWriter
from gradiometer.schema import (
    Event,
    ExampleStats,
    Layer,
    LayerStats,
    OctaveHistogram,
    Parameter,
    ParameterStats,
    Run,
    Snapshot,
    StepStats,
    TimeFade,
    Turn,
    UnitMarks,
)

SITE = "train.py:31"

PAUSE_SECONDS = 0.0005
"""Time between two full steps, in which the thread that writes catches up, as it does while a network trains."""

STEPS_BETWEEN_FLUSHES = 20_000

WATCH_SECONDS = 0.001
"""Time between two looks at the size of the file."""

EXAMPLES, TIME_STEPS, OCTAVES, DEAD_UNITS = 256, 200, 24, 64
"""How much a turn says: the most examples that are measured, long sequences, a usual histogram, a layer half dead."""


def with_similarity(snapshot: Snapshot, random: Random) -> Snapshot:
    """A snapshot with similarity and rank of every layer."""
    layers = tuple(
        replace(
            layer,
            output_similarity=random.random(),
            output_rank=64 * random.random(),
            gradient_similarity=random.random(),
            gradient_rank=64 * random.random(),
            similarity_example_count=64,
        )
        for layer in snapshot.layers
    )
    return replace(snapshot, layers=layers)


def with_fades(snapshot: Snapshot, random: Random) -> Snapshot:
    """A snapshot with the gradient through time of two recurrent layers."""
    fades = tuple(
        TimeFade(
            layer.layer,
            step_count=TIME_STEPS,
            norms=tuple(random.random() for _ in range(TIME_STEPS)),
            gains=tuple(random.random() for _ in range(TIME_STEPS)),
            half_life_steps=10 * random.random(),
            example_count=32,
        )
        for layer in snapshot.layers[:2]
    )
    return replace(snapshot, fades=fades)


def with_examples(snapshot: Snapshot, random: Random) -> Snapshot:
    """A snapshot with the gradient norm of every example."""
    norms = tuple(random.random() for _ in range(EXAMPLES))
    indices = tuple(random.randrange(1_000_000) for _ in range(EXAMPLES))
    return replace(snapshot, examples=ExampleStats(norms, tuple(range(EXAMPLES)), indices, EXAMPLES, 1.0, 0.5, 0.5))


def with_histograms(snapshot: Snapshot, random: Random) -> Snapshot:
    """A snapshot with three histograms of every parameter."""
    histograms = tuple(
        OctaveHistogram(
            stats.parameter,
            quantity,
            -OCTAVES,
            tuple(random.randrange(5000) for _ in range(OCTAVES)),
            sample_size=16_384,
            element_count=65_536,
        )
        for stats in snapshot.parameters
        for quantity in ("gradient", "weight", "update")
    )
    return replace(snapshot, histograms=histograms)


def with_units(snapshot: Snapshot, random: Random) -> Snapshot:
    """A snapshot that lists dead units of every second layer."""
    marks = tuple(
        UnitMarks(layer.layer, 512, 8192, None, DEAD_UNITS, (), tuple(sorted(random.sample(range(512), DEAD_UNITS))))
        for layer in snapshot.layers[::2]
    )
    return replace(snapshot, unit_marks=marks)


TURNS: Mapping[str, Callable[[Snapshot, Random], Snapshot]] = {
    "similarity": with_similarity,
    "through_time": with_fades,
    "per_example": with_examples,
    "histograms": with_histograms,
    "units": with_units,
}
"""What each dear measurement adds to a snapshot."""

KINDS: tuple[str | None, ...] = (None, *TURNS)
"""Full steps of a run take these in turn; None is one without a dear measurement."""


def make_snapshot(step: int, layer_count: int, kind: str | None, random: Random) -> Snapshot:
    """A full measurement of so many layers with two parameters each.

    Args:
        step: Its step.
        layer_count: How many layers.
        kind: The dear measurement whose turn it is, None for nobody's.
        random: Gives the numbers.
    """
    draw = random.random
    layers = tuple(
        LayerStats(
            f"body.{number}",
            trunk_position=layer_count - number,
            output_rms=draw(),
            output_gradient_norm=draw(),
            input_gradient_norm=draw(),
            level_db=-draw(),
            gain_db=-draw(),
            saturated_share=draw(),
            dead_share=draw(),
            window_examples=8192,
        )
        for number in range(layer_count)
    )
    parameters = tuple(
        ParameterStats(
            f"body.{number}.{name}", draw(), draw(), draw(), draw(), draw(), 1e-3, draw(), 0, 0, draw(), draw()
        )
        for number in range(layer_count)
        for name in ("weight", "bias")
    )
    snapshot = Snapshot(step, layers, parameters, draw(), draw(), draw(), draw(), draw(), draw())
    return snapshot if kind is None else TURNS[kind](replace(snapshot, turn=Turn(kind, draw())), random)


def add_network(writer: RunWriter, layer_count: int) -> None:
    """Describe the network that snapshots are of."""
    names = [f"body.{number}" for number in range(layer_count)]
    writer.add_layers([Layer(name, "Linear", "leaf", rank) for rank, name in enumerate(names)])
    writer.add_parameters(
        [Parameter(f"{name}.{kind}", name, (16, 16), "float32") for name in names for kind in ("weight", "bias")]
    )


def full_step_bytes(kind: str | None, layer_count: int, *, count: int = 200) -> float:
    """Bytes that the run file grows by for each full step of a kind, nothing being thinned.

    Args:
        kind: As in `make_snapshot`.
        layer_count: Layers of the network.
        count: Full steps from the first look at the size to the second.
    """
    random, sizes = Random(0), []
    with tempfile.TemporaryDirectory() as folder:
        for total in (count, 2 * count):
            file = Path(folder) / f"{total}.db"
            with RunWriter(file) as writer:
                add_network(writer, layer_count)
                for step in range(total):
                    writer.add_snapshot(make_snapshot(step, layer_count, kind, random))
            sizes.append(file.stat().st_size)
    return (sizes[1] - sizes[0]) / count


@dataclass
class SizeWatch:
    """Looks at the size of a folder again and again, from a thread of its own.

    Attributes:
        folder: What is looked at.
        greatest_bytes: Greatest sum of the sizes of its files so far.
    """

    folder: Path
    greatest_bytes: int = 0
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "SizeWatch":
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(WATCH_SECONDS):
            size = 0
            for path in self.folder.iterdir():
                # The log is deleted at the end, between two looks.
                size += path.stat().st_size if path.exists() else 0
            self.greatest_bytes = max(self.greatest_bytes, size)


@dataclass(frozen=True)
class Filling:
    """What became of a simulated run.

    Attributes:
        run: The run, read back.
        end_bytes: Size of the file at the end.
        greatest_bytes: Greatest size on the way, its write-ahead log and index included.
        longest_wait_seconds: The longest time that handing on a step or a snapshot took the thread that trains.
        writing_seconds: Processor time of the thread that writes, thinning included.
        elapsed_seconds: Time of the whole.
    """

    run: Run
    end_bytes: int
    greatest_bytes: int
    longest_wait_seconds: float
    writing_seconds: float
    elapsed_seconds: float


def fill(
    file: Path, *, steps: int, full_interval: int, event_interval: int, layer_count: int, max_bytes: int
) -> Filling:
    """Record a run of many steps.

    Args:
        file: Where; its folder must be empty.
        steps: How many steps; the loss of every one is recorded.
        full_interval: Every so many of them is measured in full, with turns of each kind one after the other.
        event_interval: After every so many there is an event.
        layer_count: Layers of the network.
        max_bytes: Bound of the file.

    Raises:
        RuntimeError: Recording stopped on the way.
    """
    random, longest, start = Random(0), 0.0, time.perf_counter()
    writer = RunWriter(file, max_bytes)
    add_network(writer, layer_count)
    with SizeWatch(file.parent) as watch:
        for step in range(steps):
            stats = StepStats(step, ((SITE, random.random(), 1, 0),), 1e-3, None, None, random.random(), 1e-5)
            number = step // full_interval
            is_full = step % full_interval == 0
            snapshot = make_snapshot(step, layer_count, KINDS[number % len(KINDS)], random) if is_full else None
            before = time.perf_counter()
            writer.add_step(stats)
            if snapshot is not None:
                writer.add_snapshot(snapshot)
            if step % event_interval == 0:
                writer.add_event(Event(step, "jump", f"The loss of step {step} jumped to {random.random()}."))
            longest = max(longest, time.perf_counter() - before)
            if is_full:
                time.sleep(PAUSE_SECONDS)
            if step % STEPS_BETWEEN_FLUSHES == 0:
                writer.flush()
        writer.close()
    if writer.fault is not None:
        raise RuntimeError(writer.fault)
    elapsed_seconds = time.perf_counter() - start
    return Filling(
        writer.read(), file.stat().st_size, watch.greatest_bytes, longest, writer.writing_seconds, elapsed_seconds
    )
