"""How fast is backpropagation written out: beside a loop over single examples, and beside torch's autograd?

Three ways to go through the same examples are timed in turn, again and again, by the processor time of this process
with one thread each; a way's figure is the median, and a comparison the median of the rounds' own ratios, so that what
else the machine does hits all three alike. Examples have MNIST's shape and are drawn by chance, for time does not
depend on what they show.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.images import one_hot
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.as_module import as_module
from gradiometer.lab.networks.feed_forward import Array, draw_network, train_epoch
from gradiometer.lab.networks.single_examples import as_single, train_epoch_singly
from gradiometer.lab.one_thread import one_thread
from gradiometer.schema import Chart, Line, Row, Section, Table

SIZES = (784, 30, 10)
RATE = 0.5
WHOLE = 50_000
"""Examples of the epoch that times are given for."""

WAYS = ("written out", "single examples", "autograd")
"""Backpropagation over whole batches in numpy; the loop; `nn.Sequential`, autograd and `optim.SGD`."""

SOURCE = "own target: what vectorising has to be worth"

ROWS: dict[str, Row] = {
    "batch, loop": Row(
        "batches of 10: how many times faster than a loop over single examples in numpy",
        "at least 8", 8.0, float("inf"), SOURCE, "own", "times",
    ),
    "batch, autograd": Row(
        "batches of 10: how many times faster than nn.Sequential, autograd and optim.SGD",
        "more than 1", 1.0, float("inf"), SOURCE, "own", "times",
    ),
    "online, loop": Row(
        "one example at a time: how many times faster than the loop", "at least 1", 1.0, float("inf"), SOURCE, "own",
        "times",
    ),
    "online, autograd": Row(
        "one example at a time: how many times faster than autograd", "more than 1", 1.0, float("inf"), SOURCE, "own",
        "times",
    ),
}  # fmt: skip
"""What speed is held to."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of processor time for an epoch of 50,000 examples.

    Attributes:
        batch_size: Examples of a step.
        seconds: Way to its time in each round.
    """

    batch_size: int
    seconds: dict[str, tuple[float, ...]]

    def ratios(self, way: str) -> list[float]:
        """How many times faster it is written out than in another way, round by round."""
        pairs = zip(self.seconds[way], self.seconds["written out"], strict=True)
        return [other / own for other, own in pairs]


def time_ways(batch_size: int, *, examples: int, rounds: int) -> Timing:
    """Time the three ways in turn.

    Args:
        batch_size: Examples of a step.
        examples: How many examples a round goes through in each way; times are extrapolated to 50,000.
        rounds: How often each way is timed; one round before is for warming up.
    """
    ways = _ways(batch_size, examples)
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    with one_thread():
        for turn in range(rounds + 1):
            for name in WAYS:
                started = time.process_time()
                ways[name]()
                if turn:
                    seconds[name].append((time.process_time() - started) * WHOLE / examples)
    return Timing(batch_size, {name: tuple(each) for name, each in seconds.items()})


def _ways(batch_size: int, examples: int) -> dict[str, Callable[[], object]]:
    """The three ways through an epoch, from the same first weights."""
    generator = np.random.default_rng(0)
    inputs = generator.random((examples, SIZES[0]), dtype=np.float32)
    targets = one_hot(generator.integers(0, SIZES[-1], examples), SIZES[-1])
    network = draw_network(SIZES, [0])
    weights, biases = as_single(network)
    columns, wanted = [row[:, None] for row in inputs], [row[:, None] for row in targets]
    return {
        "written out": lambda: train_epoch(
            network, inputs, targets, [np.random.default_rng(1)], rate=RATE, batch_size=batch_size
        ),
        "single examples": lambda: train_epoch_singly(
            weights, biases, columns, wanted, np.random.default_rng(1), rate=RATE, batch_size=batch_size
        ),
        "autograd": _autograd_way(as_module(network), inputs, targets, batch_size),
    }


def _autograd_way(model: nn.Module, inputs: Array, targets: Array, batch_size: int) -> Callable[[], None]:
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    criterion = nn.BCEWithLogitsLoss(reduction="sum")
    examples, wanted = torch.from_numpy(inputs), torch.from_numpy(targets)

    def train() -> None:
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(1))
        for chosen in torch.split(order, batch_size):
            optimizer.zero_grad()
            cost = criterion(model(examples[chosen]), wanted[chosen]) / len(chosen)
            cost.backward()
            optimizer.step()

    return train


def measure_speed(bench: Bench) -> dict[str, Timing]:
    """Time batches of ten and single examples."""
    examples, rounds = bench.pick(toy=(40, 1), quick=(600, 7), full=(5000, 9))
    return {
        "batch": time_ways(10, examples=examples, rounds=rounds),
        "online": time_ways(1, examples=max(examples // 2, 1), rounds=rounds),
    }


def speed_rows(timings: dict[str, Timing]) -> list[Row]:
    """The targets beside the medians of the rounds' ratios."""
    rows = []
    for kind, timing in timings.items():
        for short, way in (("loop", "single examples"), ("autograd", "autograd")):
            ratios = timing.ratios(way)
            spread = (min(ratios), max(ratios))
            rows.append(ROWS[f"{kind}, {short}"].filled(float(np.median(ratios)), spread=spread))
    return rows


def speed_chapter(bench: Bench) -> Chapter:
    """What the three ways cost, as a chapter."""
    timings = measure_speed(bench)
    batch, online = timings["batch"], timings["online"]
    sentence = (
        f"Written out over batches of ten it is {np.median(batch.ratios('single examples')):.1f} times as fast as a "
        f"loop over single examples and {np.median(batch.ratios('autograd')):.1f} times as fast as autograd; with one "
        f"example a step {np.median(online.ratios('single examples')):.1f} and "
        f"{np.median(online.ratios('autograd')):.1f} times."
    )
    return Chapter((_section(timings),), tuple(speed_rows(timings)), sentence)


def _section(timings: dict[str, Timing]) -> Section:
    medians = {kind: {way: float(np.median(timing.seconds[way])) for way in WAYS} for kind, timing in timings.items()}
    names = {"batch": "batches of 10", "online": "one example"}
    lines = tuple(
        Line(way, tuple(names[kind] for kind in medians), tuple(each[way] for each in medians.values()), "bars")
        for way in WAYS
    )
    cells: tuple[tuple[str | float, ...], ...] = tuple(
        (names[kind], *medians[kind].values(), *(float(np.median(timing.ratios(way))) for way in WAYS[1:]))
        for kind, timing in timings.items()
    )
    return Section(
        "What it costs",
        (
            "Written out over whole batches, an epoch is a few products of matrices for each step: the input of a "
            "layer times its weights on the way forward, its error times the same weights on the way back, and the "
            "input times the error for the gradient. The loop does the same sums example by example, and spends most "
            "of its time in starting operations on small arrays; autograd adds to every operation a note of how to "
            "go back. With one example a step there is nothing to put together, and what is left is how few "
            "operations a step needs.",
            Chart(
                f"An epoch of {WHOLE:,} examples, network {list(SIZES)}",
                "Processor time of one thread, median over the rounds; lower is better.",
                "examples of a step",
                "time, s",
                lines,
            ),
            Table(
                "The three ways in numbers",
                "Median times, and medians of the rounds' ratios.",
                ("step", *(f"{way}, s" for way in WAYS), "loop / written out", "autograd / written out"),
                cells,
            ),
        ),
    )
