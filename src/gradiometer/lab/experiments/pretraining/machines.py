"""Restricted Boltzmann machines by themselves: kinds, exact likelihoods, what their units see, what they dream up."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gradiometer.curing.learners.rbm import Rbm, RbmSettings, hidden_mean, train_rbm, visible_mean
from gradiometer.lab.bench import Bench
from gradiometer.lab.experiments.pretraining.starts import Pictures, Plan
from gradiometer.lab.networks.boltzmann_likelihood import mean_log_likelihood
from gradiometer.lab.networks.deep_belief import (
    DeepBelief,
    draw_chain,
    draw_samples,
    learn_deep_belief,
    passed_down,
    passed_up,
)
from gradiometer.schema import Picture, PictureGrid, Section, Table

RULES: dict[str, RbmSettings] = {
    "CD-1": RbmSettings(),
    "CD-10": RbmSettings(gibbs_steps=10),
    "persistent chain": RbmSettings(is_persistent=True, rate=0.2, momentum=(0.0, 0.0)),
}
"""Learning rules. With momentum weights run away from a persistent chain: on digits, 500 updates at .02 to .1 left it
between CD-1 and pixels alone. 0.2 without momentum is as far a step as 0.02 at a momentum of .9."""

COUNTED_UNITS = 10
"""Hidden units of machines whose probabilities are summed exactly."""

FILTERS, DREAMS = 30, 10
"""Filters and samples that are drawn."""


@dataclass(frozen=True, slots=True)
class Machines:
    """What machines were learned and how they do.

    Attributes:
        likelihoods: For each rule the mean logarithm of the probability of pictures learned from and of others, nats.
        alone: The same for pixels that know nothing of each other.
        first: A machine with hidden units of the usual number, for the pictures as they are.
        gaussian: A machine with Gaussian visible units, for standardised pictures.
        gaussian_error: Share of the variance of standardised test pictures that it does not give back.
        binary_error: Share of the variance of test pictures that the first one does not give back.
        belief: A deep belief net of three layers.
        dreams: Samples of the first one, and of the deep belief net [sample pixel].
    """

    likelihoods: dict[str, tuple[float, float]]
    alone: tuple[float, float]
    first: Rbm
    gaussian: Rbm
    gaussian_error: float
    binary_error: float
    belief: DeepBelief
    dreams: tuple[Tensor, Tensor]


def measure_machines(bench: Bench, pictures: Pictures, plan: Plan) -> Machines:
    """Learn machines of every kind."""
    sweeps = bench.pick(toy=2, quick=200, full=1000)
    updates, counted = bench.pick(toy=(3, 3), quick=(800, 1500), full=(3000, 6000))
    settings = RbmSettings(updates=plan.updates)
    generator = torch.Generator().manual_seed(0)
    bench.progress(0.0, "Boltzmann machines of every kind")
    likelihoods = {name: likelihoods_of(replace(rule, updates=counted), pictures) for name, rule in RULES.items()}
    alone = replace(settings, updates=updates)
    first = train_rbm(pictures.inputs, plan.width, alone, generator)
    belief = learn_deep_belief(pictures.inputs, [plan.width] * 3, settings, generator)
    gaussian_settings = replace(settings, visible="gaussian", rate=0.01, updates=updates)
    whitened, tests = standardised(pictures)
    gaussian = train_rbm(whitened, plan.width, gaussian_settings, generator)
    return Machines(
        likelihoods,
        likelihoods_of(RbmSettings(updates=0), pictures),
        first,
        gaussian,
        lost_share(gaussian, gaussian_settings, whitened, tests),
        lost_share(first, alone, pictures.inputs, pictures.test_inputs),
        belief,
        (
            draw_chain(first, alone, pictures.inputs[:DREAMS], sweeps, generator),
            draw_samples(belief, pictures.inputs[:DREAMS], sweeps, generator),
        ),
    )


def likelihoods_of(settings: RbmSettings, pictures: Pictures) -> tuple[float, float]:
    """Learn a machine that can be summed up; gives its mean log-likelihood of pictures learned from, and of others.

    A machine that is never updated has weights near 0: its pixels know next to nothing of each other.
    """
    seen, unseen = ((some > 0.5).float() for some in (pictures.inputs, pictures.test_inputs))
    machine = train_rbm(seen, COUNTED_UNITS, settings, torch.Generator().manual_seed(1))
    return mean_log_likelihood(machine, seen), mean_log_likelihood(machine, unseen)


def standardised(pictures: Pictures) -> tuple[Tensor, Tensor]:
    """Pictures and test pictures less the mean of each pixel, over the root mean square of all that is left."""
    mean = pictures.inputs.mean(0)
    scale = (pictures.inputs - mean).square().mean().sqrt()
    return (pictures.inputs - mean) / scale, (pictures.test_inputs - mean) / scale


def lost_share(machine: Rbm, settings: RbmSettings, seen: Tensor, tests: Tensor) -> float:
    """Squared error of what comes back from the hidden units' averages, as a share of the variance around the mean."""
    back = visible_mean(machine, hidden_mean(machine, tests, settings), settings)
    return float((back - tests).square().sum() / (tests - seen.mean(0)).square().sum())


def in_grid(title: str, caption: str, rows: dict[str, Tensor], side: int) -> PictureGrid:
    """Rows of pictures, each with its name below the first."""
    drawn = [
        Picture(name if rank == 0 else "", one.reshape(side, side).double().numpy())
        for name, some in rows.items()
        for rank, one in enumerate(some)
    ]
    return PictureGrid(title, caption, tuple(drawn), DREAMS)


def machines_sections(machines: Machines, pictures: Pictures) -> tuple[Section, ...]:
    """What a machine is, how it is learned, what its units see, and what it dreams up."""
    return (kinds_section(machines), sights_section(machines, pictures))


def kinds_section(machines: Machines) -> Section:
    """How well each rule learns, by exact probabilities."""
    rows = [(name, *pair) for name, pair in machines.likelihoods.items()]
    best = max(machines.likelihoods, key=lambda name: machines.likelihoods[name][1])
    return Section(
        "A machine, and how it is learned",
        (
            "A restricted Boltzmann machine has visible units (the pixels) and hidden ones, and weights only between "
            "the two kinds. It gives every joint state an energy, -a·v - b·h - h·Wv, and holds a state the more "
            "probable the lower its energy is. To make pictures probable, a weight should change by <v h> under the "
            "data less <v h> under the machine's own belief. The second is dear. Contrastive divergence takes it after "
            "k steps of a chain that starts at the data (CD-k); a persistent chain is never started again.",
            Table(
                "Mean logarithm of the probability of a picture, nats",
                f"Pictures in black and white, {COUNTED_UNITS} hidden units, so that all of their states can be summed "
                "and the number is exact. Pixels alone: each drawn by itself, as often white as it is in the data. "
                f"Most probable are the test pictures here to the machine learned by {best}.",
                ("learned by", "pictures learned from", "test pictures"),
                (("pixels alone", *machines.alone), *rows),
            ),
            "Pixels that are not in black and white want visible units with a mean and a spread: Gaussian ones, whose "
            "energy is ½|v - a|² - b·h - h·Wv, after each pixel's mean is taken off. They are learned at a tenth of "
            "the rate, for nothing bounds them. Given the hidden units' averages, the Gaussian machine fails to give "
            f"back {machines.gaussian_error:.1%} of the test pictures' variance, the binary one of as many hidden "
            f"units {machines.binary_error:.1%}. Neither was asked to give pictures back, only to find them probable.",
        ),
    )


def sights_section(machines: Machines, pictures: Pictures) -> Section:
    """Filters, reconstructions and samples as pictures."""
    side, rows = pictures.side, up_and_down(machines, pictures.test_inputs[:DREAMS])
    dreams = dict(zip(("one machine", "three machines"), machines.dreams, strict=True))
    return Section(
        "What its units see, and what it dreams up",
        (
            "Each hidden unit looks for something: its weights, laid out as a picture, show what. Bright spots want "
            "ink, dark ones want none. Nobody told the machine of strokes, it was shown pictures without labels. A "
            "deep belief net is a stack: what hidden units do is the data of the next machine.",
            in_grid(
                "Filters of the binary machine",
                "Weights of the hidden units with the largest weights.",
                {"": strongest(machines.first)},
                side,
            ),
            in_grid(
                "Filters of the Gaussian machine",
                "Likewise, for pictures less their mean.",
                {"": strongest(machines.gaussian)},
                side,
            ),
            in_grid(
                "Up and down again",
                "Test pictures, and what comes back from the hidden units of one machine, and from the third layer of "
                "a deep belief net: what is lost on the way was not thought worth keeping.",
                rows,
                side,
            ),
            in_grid(
                "Dreams",
                "Samples: chains that began at pictures and went on by themselves for many steps, in the machine and "
                "in the top machine of the deep belief net. Nothing of a single picture is left in them but what the "
                "machine holds probable.",
                dreams,
                side,
            ),
        ),
    )


def up_and_down(machines: Machines, shown: Tensor) -> dict[str, Tensor]:
    """Pictures, and what comes back from one machine's hidden units and from the topmost of three."""
    settings = RbmSettings()
    return {
        "as it is": shown,
        "one machine": visible_mean(machines.first, hidden_mean(machines.first, shown, settings), settings),
        "three machines": passed_down(machines.belief, passed_up(machines.belief, shown)),
    }


def strongest(machine: Rbm) -> Tensor:
    """Weights of the hidden units with the largest ones [unit pixel]."""
    order = machine.weight.square().sum(1).argsort(descending=True)
    return machine.weight[order[:FILTERS]]
