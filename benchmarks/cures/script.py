"""A training of the truth benchmark as a script of its own, as a user would hand it to `gradiometer cure`.

    python benchmarks/cures/script.py NUMBER [FAULT] [options]

It trains as `benchmarks.truth.training.train` does, to the bit, and prints one line of JSON at its end: where it ended.
In a trial weights and the order of the examples go by the trial's seed, as with most scripts that people write.
The options are AUTOTRAINER's: its monitor, and those of its fixes that change the script rather than the network.
"""

import argparse
import json
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import sklearn.datasets  # noqa: F401 - seen here, the server of trials has it loaded, as for a script that uses it itself
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.cures.symptoms import is_checked, symptom_of
from benchmarks.truth.collecting import Collector
from benchmarks.truth.results import LAST_EVALUATIONS
from benchmarks.truth.running import make_faulty
from benchmarks.truth.training import EVALUATED, EVALUATIONS, Training, take_step

PLATEAU_EPOCHS, PLATEAU_FACTOR, PLATEAU_FLOOR = 5, 0.2, 1e-3
"""Keras' ReduceLROnPlateau as AUTOTRAINER sets it."""


class Bystander:
    """Stands where the truth benchmark's loop has its collector; tells the losses to whoever wants them."""

    def __init__(self, *listeners: "Plateau") -> None:
        """Take those who want the loss of every step."""
        self.listeners = listeners

    def seeing(self, step: int) -> AbstractContextManager[None]:
        """Nothing is kept of a forward."""
        return nullcontext()

    def before_step(self, step: int) -> None:
        """Nothing is kept of the weights."""

    def after_step(self, step: int, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Tell the loss."""
        for listener in self.listeners:
            listener.note(loss.item())

    def symptom(self, step: int, steps: int) -> str:
        """None is looked for."""
        return ""


class Monitor(Collector):
    """AUTOTRAINER's: it collects, and looks for a symptom at the end of some epochs."""

    def __init__(self, model: nn.Module, *listeners: "Plateau") -> None:
        """Take the model that it collects from, and those who want the loss of every step."""
        super().__init__(model)
        self.listeners = listeners

    def after_step(self, step: int, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Collect, and tell the loss."""
        super().after_step(step, loss, outputs, targets)
        for listener in self.listeners:
            listener.note(loss.item())

    def symptom(self, step: int, steps: int) -> str:
        """The symptom that it sees after a step, if any."""
        return symptom_of(self.finish(), steps) if is_checked(step, steps) else ""


class Plateau:
    """Lowers the rate where the loss has not fallen for some epochs."""

    def __init__(self, optimizer: Optimizer, steps: int) -> None:
        """Take the optimizer whose rate it lowers, and the steps of the training, of which a twentieth is an epoch."""
        self.optimizer, self.epoch = optimizer, max(1, steps // 20)
        self.losses: list[float] = []
        self.best, self.waited = float("inf"), 0

    def note(self, loss: float) -> None:
        """Note the loss of a step; at the end of an epoch see whether the rate is to fall."""
        self.losses.append(loss)
        if len(self.losses) % self.epoch:
            return
        mean = fmean(self.losses[-self.epoch :])
        self.waited = 0 if mean < self.best else self.waited + 1
        self.best = min(self.best, mean)
        if self.waited >= PLATEAU_EPOCHS:
            self.waited = 0
            for group in self.optimizer.param_groups:
                group["lr"] = max(group["lr"] * PLATEAU_FACTOR, min(PLATEAU_FLOOR, group["lr"]))


def accuracy_of(training: Training) -> float | None:
    """Share of training examples whose class is told right; None where numbers are predicted."""
    if not training.has_classes:
        return None
    training.model.eval()
    with torch.no_grad():
        outputs = training.model(training.inputs[:EVALUATED])
    training.model.train()
    # The greatest output is the class whatever unit stands before the loss; of a single one its reading tells.
    told = (outputs if outputs.shape[1] > 1 else training.read(outputs)).argmax(dim=1)
    return float((told == training.setup.material.targets[:EVALUATED]).float().mean())


def make_training(options: argparse.Namespace) -> Training:
    """The training that was asked for, its settings changed as the options say."""
    training, _ = make_faulty(options.number, options.fault)
    if options.momentum is not None:
        training.setup = replace(training.setup, optimizer="sgd")
        training.settings |= {"lr": 0.01, "momentum": options.momentum}
    if options.batch is not None:
        training.setup = replace(training.setup, batch=options.batch)
    if options.noise:

        def add_noise(model: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (given[0] + options.noise * torch.randn_like(given[0]), *given[1:]) if model.training else given

        training.model.register_forward_pre_hook(add_noise)
    return training


def train(training: Training, options: argparse.Namespace) -> dict[str, object]:
    """Train to the end, or to the first symptom where the monitor looks on; say where it ended."""
    setup = training.setup
    optimizer = training.make_optimizer()
    schedule = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / (setup.warmup + 1)))
    batches = torch.Generator().manual_seed(torch.initial_seed())
    plateaus = [Plateau(optimizer, setup.steps)] if options.plateau else []
    watching = Monitor(training.model, *plateaus) if options.monitor else Bystander(*plateaus)
    ends = {max(1, round(share * setup.steps)) for share in EVALUATIONS[-LAST_EVALUATIONS:]}
    evaluations: list[float] = []
    for step in range(setup.steps):
        batch = torch.randint(0, len(training.inputs), (setup.batch,), generator=batches)
        take_step(training, optimizer, watching, step, batch)
        schedule.step()
        symptom = watching.symptom(step, setup.steps)
        if symptom:
            return {"loss": training.evaluate(), "accuracy": accuracy_of(training), "symptom": symptom}
        if step + 1 in ends:
            evaluations.append(training.evaluate())
    return {"loss": fmean(evaluations), "accuracy": accuracy_of(training), "symptom": ""}


def main() -> None:
    """Make the training that the command line names, and train it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("number", type=int)
    parser.add_argument("fault", nargs="?", default="")
    parser.add_argument("--monitor", action="store_true", help="stop at AUTOTRAINER's first symptom")
    parser.add_argument("--batch", type=int, help="another size of the batch")
    parser.add_argument("--noise", type=float, default=0.0, help="Gaussian noise added to the inputs")
    parser.add_argument("--momentum", type=float, help="plain descent at 0.01 with this momentum")
    parser.add_argument("--plateau", action="store_true", help="lower the rate where the loss stays")
    options = parser.parse_args()
    # Two faults are what torch warns of: shapes that broadcast, and a softmax without a dimension.
    warnings.simplefilter("ignore", UserWarning)
    print(json.dumps(train(make_training(options), options)))


if __name__ == "__main__":
    main()
