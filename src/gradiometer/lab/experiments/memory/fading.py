"""How far back a gradient reaches before any training: measured through time, bounded, and kept by gates."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.activations import ACTIVATIONS, Activation
from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.adding import draw_adding
from gradiometer.lab.networks.recurrent import CELLS, Cell, SequenceNetwork, draw_sequence_network
from gradiometer.measuring.recurrent_arguments import RecurrentUse
from gradiometer.measuring.through_time import Fade, TimePath, read_replay, replay_recurrent
from gradiometer.schema import FloatArray
from gradiometer.theory.recurrence import greatest_gain, safe_singular_value

SCALES = (0.8, 1.0, 1.5, 3.0)
"""Largest singular values of recurrent weights, as multiples of the one below which every gradient vanishes."""

BOUNDED = ("tanh", "sigmoid")
"""Activations whose bound is tried."""


@dataclass(frozen=True, slots=True)
class Jacobians:
    """Norms of products of a recurrent network's Jacobians.

    Attributes:
        norms: For each activation and multiple the spectral norm of dh_T/dh_(T-k), by seed and k from 1 [seed k].
        bounds: Likewise the bound (gamma s)^k [k].
    """

    norms: dict[tuple[str, float], FloatArray]
    bounds: dict[tuple[str, float], FloatArray]

    @property
    def greatest_share(self) -> float:
        """The greatest norm as a share of its bound, over all of them."""
        return max(float((norms / self.bounds[key]).max()) for key, norms in self.norms.items())


@dataclass(frozen=True, slots=True)
class Fading:
    """What is known before training.

    Attributes:
        lag: Time steps.
        fades: For each cell and seed the way of the loss gradient back from the last time step; an LSTM's is that at
            its cell state.
        gate_gains: For each forget bias the share of the gradient at the cell that one step back keeps, where the
            gate stands at its bias.
        jacobians: Products of Jacobians and their bounds.
    """

    lag: int
    fades: dict[str, list[Fade]]
    gate_gains: dict[float, float]
    jacobians: Jacobians


def measure_fading(bench: Bench) -> Fading:
    """Measure every cell as it is drawn."""
    lag, hidden = bench.pick(toy=(8, 6), quick=(50, 32), full=(100, 64))
    seeds = bench.seeds(toy=2, quick=2, full=5)
    fades = {name: [drawn_fade(cell, lag, hidden, seed) for seed in seeds] for name, cell in CELLS.items()}
    gains = {bias: gate_gain(bias, lag) for bias in (0.0, 1.0, 3.0)}
    return Fading(lag, fades, gains, measure_jacobians(hidden, lag, seeds))


def drawn_fade(cell: Cell, lag: int, hidden: int, seed: int) -> Fade:
    """The gradient's way back through a drawn network that is shown the adding problem."""
    network = draw_sequence_network(cell, (2, hidden, 1), seed)
    inputs, targets = draw_adding(32, lag, np.random.default_rng(seed))
    path = gradient_path(network, torch.from_numpy(inputs), torch.from_numpy(targets))
    return path.hidden if path.cell is None else path.cell


def gradient_path(network: SequenceNetwork, inputs: Tensor, targets: Tensor) -> TimePath:
    """How the gradient of the squared error at the last time step goes back through time."""
    output = network.recurrent(inputs)[0]
    loss = (network.readout(output[:, -1]) - targets).square().mean()
    (gradient,) = torch.autograd.grad(loss, output)
    use = RecurrentUse(network.recurrent, inputs, output.detach(), gradient)
    return read_replay(replay_recurrent(use)).paths[0]


def gate_gain(bias: float, lag: int) -> float:
    """Share of the cell's gradient that one step keeps, in an LSTM whose weights are all 0: its gate's own bias."""
    network = draw_sequence_network(Cell("lstm", forget_bias=bias), (2, 4, 1), seed=0)
    with torch.no_grad():
        for name, parameter in network.recurrent.named_parameters():
            if name.startswith("weight"):
                nn.init.zeros_(parameter)
    inputs, targets = draw_adding(8, lag, np.random.default_rng(0))
    path = gradient_path(network, torch.from_numpy(inputs), torch.from_numpy(targets))
    return math.nan if path.cell is None else float(path.cell.gains[1])


def measure_jacobians(units: int, steps: int, seeds: range) -> Jacobians:
    """Multiply the Jacobians of drawn networks of every scale."""
    norms, bounds = {}, {}
    for name in BOUNDED:
        activation = ACTIVATIONS[name]
        for scale in SCALES:
            singular_value = scale * safe_singular_value(activation)
            drawn = [jacobian_norms(activation, singular_value, units, steps, seed) for seed in seeds]
            norms[name, scale] = np.stack(drawn)
            reached = [greatest_gain(activation, singular_value, back + 1) for back in range(steps)]
            bounds[name, scale] = np.array(reached)
    return Jacobians(norms, bounds)


def jacobian_norms(activation: Activation, singular_value: float, units: int, steps: int, seed: int) -> FloatArray:
    """Spectral norms of dh_T/dh_(T-k) for k from 1 to `steps`, in float64.

    Args:
        activation: The units' activation, in h' = phi(W h + x).
        singular_value: The largest singular value that W is scaled to.
        units: Units.
        steps: Time steps; as many come before them, so that the state has settled.
        seed: Seed of weights and inputs.
    """
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal((units, units))
    weight *= singular_value / np.linalg.norm(weight, 2)
    state, slopes = np.zeros(units), []
    for _ in range(2 * steps):
        drive = weight @ state + 0.1 * generator.standard_normal(units)
        state = activation.function(drive)
        slopes.append(activation.slope(drive))
    product, norms = np.eye(units), []
    for slope in slopes[: -steps - 1 : -1]:
        product = product @ (slope[:, None] * weight)
        norms.append(float(np.linalg.norm(product, 2)))
    return np.array(norms)
