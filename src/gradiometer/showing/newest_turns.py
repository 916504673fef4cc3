"""What the newest turns of the dear measurements say, read out of a run for figures, terminal and JSON alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from gradiometer.noise_scale import NoiseScale, noise_scale_of
from gradiometer.schema import ExampleStats, Run, TimeFade

Measured = TypeVar("Measured")

MOST_NOISE_STEPS = 32
"""Turns that the noise scale is joined from at most: the true gradient changes as the training goes on."""

SIMILARITY_COLUMNS = ("output_similarity", "output_rank", "gradient_similarity", "gradient_rank")


@dataclass(frozen=True, slots=True)
class Outlier:
    """An example that pulls at the weights far harder than the rest.

    Attributes:
        position: Its rank in the step.
        data_index: Its index in the data set, None where the loader does not reveal it.
        norm: Norm of its gradient; None where it is not finite.
        ratio: That norm over the median of the step's; None where either is not known.
    """

    position: int
    data_index: int | None
    norm: float | None
    ratio: float | None


def newest(measured: Mapping[int, Measured]) -> tuple[int, Measured] | None:
    """Step and value of the newest turn that found anything, None where there is none.

    Example:
        >>> newest({3: ("a",), 7: ("b",), 9: ()}), newest({})
        ((7, ('b',)), None)
    """
    return max(((step, value) for step, value in measured.items() if value), key=lambda pair: pair[0], default=None)


def newest_similarity(run: Run) -> int | None:
    """Row of the newest snapshot in which similarity or rank was measured of any layer, None where there is none."""
    rows = [run.snapshots_with(name) for name in SIMILARITY_COLUMNS if name in run.layer_columns]
    return max((int(found[-1]) for found in rows if len(found)), default=None)


def late_noise_scale(run: Run) -> NoiseScale:
    """The noise scale of the training's later half, at most `MOST_NOISE_STEPS` turns of it; nan where none is left."""
    steps = sorted(run.examples)
    late = [step for step in steps if 2 * step >= steps[-1]][-MOST_NOISE_STEPS:]
    return noise_scale_of(run.examples[step] for step in late)


def median_norm(stats: ExampleStats) -> float | None:
    """Median of the finite norms, None where there is none."""
    known = [norm for norm in stats.norms if norm is not None]
    return float(np.median(known)) if known else None


def outliers_of(stats: ExampleStats) -> tuple[Outlier, ...]:
    """The outliers of one step, those that are not finite first, then the hardest."""
    middle = median_norm(stats)
    found = []
    for place in stats.outliers():
        norm = stats.norms[place]
        ratio = norm / middle if norm is not None and middle else None
        index = stats.data_indices[place] if stats.data_indices is not None else None
        found.append(Outlier(stats.positions[place], index, norm, ratio))
    return tuple(found)


def names_of_fades(fades: Sequence[TimeFade]) -> list[str]:
    """Name the way through time of each: its layer, and what tells it from the others.

    Example:
        >>> names_of_fades([TimeFade("rnn"), TimeFade("lstm"), TimeFade("lstm", 1, True, "cell")])
        ['rnn', 'lstm (inner layer 0, hidden state)', 'lstm (inner layer 1, reverse, cell state)']
    """
    deep = {fade.layer for fade in fades if fade.inner_layer > 0}
    gated = {fade.layer for fade in fades if fade.state == "cell"}
    names = []
    for fade in fades:
        parts = [f"inner layer {fade.inner_layer}"] if fade.layer in deep else []
        parts += ["reverse"] if fade.is_reverse else []
        parts += [f"{fade.state} state"] if fade.layer in gated else []
        names.append(f"{fade.layer} ({', '.join(parts)})" if parts else fade.layer)
    return names
