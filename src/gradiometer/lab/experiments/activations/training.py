"""Chapter of `activations`: saturated and dead units and the mean of the outputs, while a network of each trains."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gradiometer.activations import ACTIVATIONS
from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.plain import draw_layers, standardised, torch_start
from gradiometer.lab.networks.shapes import SHAPES, TITLES, pieces_of
from gradiometer.lab.networks.stacked import Stack, stack_of, train_stack
from gradiometer.schema import Chart, FloatArray, Line, Section, Table

HIDDEN = (64, 64, 64)
RATE = 0.5
FLAT_SHARE, MOST_EXAMPLES = 0.05, 0.95
"""A unit is saturated where its slope is below the first share of the greatest on the second share of the examples."""


@dataclass(frozen=True, slots=True)
class UnitShares:
    """Units of the hidden layers over all training examples, means over the layers.

    Attributes:
        dead: Share of units with zero output and zero slope on every example [network].
        saturated: Share of saturated units [network].
        centring: Mean over the units of |mean output| / rms output: 0 is centred, 1 is constant [network].
    """

    dead: FloatArray
    saturated: FloatArray
    centring: FloatArray


def unit_shares(stack: Stack, inputs: Tensor, greatest: Sequence[float]) -> UnitShares:
    """Count dead and saturated units; all figures of a network with NaN are NaN.

    Args:
        stack: The networks.
        inputs: All training examples [example input].
        greatest: Greatest slope of each network's activation.
    """
    scale = torch.tensor(list(greatest))[:, None, None]
    signal = inputs.expand(stack.count, -1, -1)
    found = []
    counts = [count for _, count in stack.shapes]
    for weight, bias, slope in zip(stack.weights[:-1], stack.biases[:-1], stack.slopes, strict=True):
        before = torch.baddbmm(bias, signal, weight).detach().requires_grad_()
        parts = zip(stack.shapes, torch.split(before, counts), torch.split(slope, counts), strict=True)
        signal = torch.cat([shape(part, own) for (shape, _), part, own in parts])
        (slopes,) = torch.autograd.grad(signal.sum(), before)
        signal = signal.detach()
        # A maxout unit's slope is that of its greater piece.
        slopes = slopes.reshape(*slopes.shape[:2], -1, signal.shape[2]).sum(2)
        is_dead = ((signal == 0.0) & (slopes == 0.0)).all(1)
        is_flat = (slopes.abs() < FLAT_SHARE * scale).float().mean(1) >= MOST_EXAMPLES
        size = signal.square().mean(1).sqrt().clamp_min(1e-30)
        centring = torch.where(is_dead, torch.nan, signal.mean(1).abs() / size).nanmean(1)
        is_sound = torch.where(signal.isfinite().all(2).all(1), 1.0, torch.nan)
        shares = torch.stack([is_dead.float().mean(1), is_flat.float().mean(1), centring])
        found.append(shares * is_sound)
    dead, saturated, centring = torch.stack(found).mean(0).double().numpy()
    return UnitShares(dead, saturated, centring)


def examine_training(bench: Bench) -> Chapter:
    """Train one network of each activation, and look at its units on the way."""
    steps = bench.pick(toy=4, quick=300, full=1000)
    looks = sorted({0, *np.unique(np.geomspace(1, steps, 14).astype(int)).tolist()})
    inputs, labels = standardised(load_digits())
    measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in SHAPES}
    accuracies: dict[str, float] = {}
    for pieces in (1, 2):
        names = [name for name in SHAPES if pieces_of(name) == pieces]
        bench.progress(0.65, "units through training")
        sizes = [inputs.shape[1], *HIDDEN, 10]
        networks = [draw_layers(sizes, torch_start, 0, pieces=pieces) for _ in names]
        stack = stack_of(networks, [SHAPES[name] for name in names])
        greatest = [ACTIVATIONS[name].greatest_slope if name in ACTIVATIONS else 1.0 for name in names]

        def look(step: int, stack: Stack = stack, names: list[str] = names, greatest: list[float] = greatest) -> None:
            if step in looks:
                shares = unit_shares(stack, inputs, greatest)
                for index, name in enumerate(names):
                    measured[name].append((shares.dead[index], shares.saturated[index], shares.centring[index]))

        look(0)
        history = train_stack(stack, inputs, labels, [RATE] * len(names), steps=steps, batch_size=64, after_step=look)
        accuracies |= dict(zip(names, history.last_accuracies().tolist(), strict=True))
    ends = {name: measured[name][-1] for name in SHAPES}
    most = max(ends, key=lambda name: np.nan_to_num(ends[name][1]))
    sentence = (
        f"After {steps} steps at rate {RATE:g} {100 * ends['relu'][0]:.0f} % of the ReLU units are dead, "
        f"{100 * ends['leaky_relu'][0]:.0f} % of the leaky ones; most units are saturated with {TITLES[most]}, "
        f"{100 * ends[most][1]:.0f} %."
    )
    return Chapter((_section(looks, measured, accuracies, steps),), (), sentence)


PARTS = (
    ("Dead units", "share of units", "No output and no gradient on any training example. A gap is a NaN."),
    ("Saturated units", "share of units", "Slope below 5 % of the greatest on 95 % of the examples."),
    ("How far outputs are from centred", "|mean| / size", "0: the unit's mean output is 0; 1: it is constant."),
)
"""Title, y axis and caption of the chart of each figure that is measured on the way."""


def _section(
    looks: list[int], measured: dict[str, list[tuple[float, float, float]]], accuracies: dict[str, float], steps: int
) -> Section:
    x = tuple(float(step) for step in looks)
    charts = [
        Chart(
            title,
            caption,
            "steps",
            y_title,
            tuple(
                Line(TITLES[name], x, tuple(float(look[part]) for look in looked)) for name, looked in measured.items()
            ),
        )
        for part, (title, y_title, caption) in enumerate(PARTS)
    ]
    table = Table(
        "At the end",
        f"After {steps} steps.",
        ("activation", "dead, %", "saturated, %", "|mean| / size", "training accuracy"),
        tuple(
            (TITLES[name], 100.0 * looked[-1][0], 100.0 * looked[-1][1], looked[-1][2], accuracies[name])
            for name, looked in measured.items()
        ),
    )
    text = (
        f"One network of each activation, {len(HIDDEN)} hidden layers of {HIDDEN[0]} units with torch's own weights, "
        f"trains on digits by plain descent at rate {RATE:g}. On the way we send all training pictures through it and "
        "look at each unit: is it dead, is it saturated, and is its output centred? A saturated unit may come back, "
        "since a small slope is a slope; a dead ReLU unit gets no gradient from any example and stays."
    )
    return Section("Units through training", (text, *charts, table))
