"""What dear measurements say, made by hand and put into a run; no torch."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradiometer.schema import ExampleStats, OctaveHistogram, Run, TimeFade, Turn, UnitMarks


def made_examples(count: int = 32, *, has_indices: bool = True) -> ExampleStats:
    """Examples of about the same norm; the third pulls fifty times as hard, the fifth is not finite."""
    norms: list[float | None] = [1.0 + 0.01 * place for place in range(count)]
    norms[2], norms[4] = 50.0, None
    indices = tuple(1000 + place for place in range(count)) if has_indices else None
    return ExampleStats(tuple(norms), tuple(range(count)), indices, 2 * count, 0.5, 2.0, 600.0, nonfinite_count=1)


def made_fade(layer: str = "rnn", *, halving_steps: float = 2.0, step_count: int = 40, **rest: object) -> TimeFade:
    """A gradient that halves every so many steps back."""
    gains = tuple(2.0 ** (-place / halving_steps) for place in range(step_count))
    fade = TimeFade(layer, step_count=step_count, norms=gains, gains=gains, half_life_steps=halving_steps)
    return replace(fade, **rest)  # type: ignore[arg-type]


def made_histograms(parameters: Sequence[str]) -> tuple[OctaveHistogram, ...]:
    """Gradients, weights and updates of each parameter; an eighth of the gradients is subnormal."""
    counts = (125, 250, 500, 125)
    return tuple(
        OctaveHistogram(name, quantity, exponent, counts, 0, 0, lost, 1000, 4096)
        for name in parameters
        for quantity, exponent, lost in (("weight", -6, 0), ("update", -20, 0), ("gradient", -127, 125))
    )


def measured_fully(run: Run) -> Run:
    """The same run with a turn of every dear measurement, its layers' numbers from the second snapshot on."""
    columns = {name: np.array(values) for name, values in run.layer_columns.items()}
    depth = np.linspace(0.0, 1.0, max(len(run.layers), 1))[: len(run.layers)]
    for name, values in (
        ("output_similarity", depth),
        ("output_rank", 32.0 ** (1.0 - depth)),
        ("gradient_similarity", 0.1 * depth),
        ("gradient_rank", 1.0 + 9.0 * depth),
        ("similarity_example_count", np.full(len(run.layers), 32.0)),
    ):
        columns[name][1] = values
    activations = [layer for layer in run.layers if layer.activation]
    marks = tuple(UnitMarks(layer.name, 64, 512, 2, 1, (0, 63), (5,)) for layer in activations)
    spent = {"turn_count": 2, "median_seconds": 0.004, "spent_seconds": 0.008}
    return replace(
        run,
        facts={**run.facts, "dear_costs": {name: spent for name in ("similarity", "through_time", "per_example")}},
        layer_columns=columns,
        turns={1: Turn("similarity", 0.004), 2: Turn("per_example", 0.004, (("norm", "a batch normalisation"),))},
        examples={2: made_examples(), 4: replace(made_examples(), trace=1000.0)},
        fades={8: (made_fade("body.lstm"), made_fade("body.lstm", halving_steps=9.0, state="cell"))},
        histograms={16: made_histograms([parameter.name for parameter in run.parameters])},
        unit_marks={32: marks},
    )
