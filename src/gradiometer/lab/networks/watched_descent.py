"""The shortest honest training of a hand-written network's twin in torch, watched, with what gradiometer says of it."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from gradiometer.lab.bench import Bench
from gradiometer.lab.networks.as_module import as_module
from gradiometer.lab.networks.feed_forward import Array, FeedForward
from gradiometer.schema import Verdict


@dataclass(frozen=True, slots=True)
class WatchedDescent:
    """What came of a watched training.

    Attributes:
        name: Name of its run file.
        verdict: What the diagnosis says of the run.
        findings: The conditions that it names, most severe first.
        first_cost: Cost of the first step's batch.
        last_cost: Mean cost of the batches of the last tenth of the steps; nan where it has overflowed.
    """

    name: str
    verdict: Verdict
    findings: tuple[str, ...]
    first_cost: float
    last_cost: float

    def sentence(self) -> str:
        """The outcome in words."""
        named = f" ({', '.join(self.findings)})" if self.findings else ""
        end = f"{self.last_cost:.3g}" if math.isfinite(self.last_cost) else "not a number"
        return f"{self.name}: {self.verdict}{named}; its cost goes from {self.first_cost:.3g} to {end}."


def descend_watched(
    bench: Bench,
    name: str,
    network: FeedForward,
    inputs: Array,
    targets: Array,
    *,
    rate: float,
    steps: int,
    batch_size: int = 10,
) -> WatchedDescent:
    """Train the twin of a network's first seed by plain descent on the cross-entropy, and write its run file.

    Args:
        bench: Where the run file goes.
        name: Its name.
        network: The networks; left as they are.
        inputs: Examples [example inputs].
        targets: Their targets [example outputs].
        rate: Learning rate.
        steps: Steps to take.
        batch_size: Examples of a step, drawn anew for each without repetition, the same in every call.
    """
    model = as_module(network)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    criterion, generator = nn.BCEWithLogitsLoss(reduction="sum"), np.random.default_rng(0)
    examples, wanted = torch.from_numpy(np.asarray(inputs)), torch.from_numpy(np.asarray(targets))
    costs = []
    with bench.watched(name, model, optimizer) as watching:
        for _ in range(steps):
            chosen = torch.from_numpy(generator.choice(len(inputs), size=batch_size, replace=False))
            optimizer.zero_grad()
            cost = criterion(model(examples[chosen]), wanted[chosen]) / batch_size
            cost.backward()
            optimizer.step()
            costs.append(cost.detach().item())
    diagnosis, tenth = watching.diagnose(), max(1, steps // 10)
    found = tuple(finding.condition for finding in diagnosis.findings if finding.severity != "info")
    return WatchedDescent(name, diagnosis.verdict, found, costs[0], float(np.mean(costs[-tenth:])))
