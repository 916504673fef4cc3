"""What each trainer's adapter costs at the default overhead, against the same training without it.

Trainings of one workload alternate, without and with the adapter (A B A B ...). Of each training the lower decile of
the steps' processor times counts, behind its first quarter: most steps have no measurement, what the adapter adds to
these no budget takes back, and the lower decile is what other programs on the machine disturb least. What measuring
took of the whole run, and from which step on that is no more than was allowed, is read from the run.

    python -m benchmarks.trainers [--pairs 3] [--steps 1000] [lightning transformers accelerate]
"""

import argparse
import contextlib
import gc
import logging
import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from time import process_time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from gradiometer.schema import Run

WARMING_STEPS = 20
"""Steps of the first training of each kind, which pays for imports and caches and is not timed."""

FEATURES, WIDTH, DEPTH, CLASSES, BATCH = 256, 512, 6, 10, 32


class Classifier(nn.Module):
    """A plain network whose step takes several milliseconds on one core; also knows its loss, as Transformers asks."""

    def __init__(self) -> None:
        super().__init__()
        widths = [FEATURES, *[WIDTH] * DEPTH]
        layers = [layer for pair in zip(widths, widths[1:], strict=False) for layer in (nn.Linear(*pair), nn.ReLU())]
        self.net = nn.Sequential(*layers, nn.Linear(WIDTH, CLASSES))

    def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Loss and outputs."""
        outputs = self.net(inputs)
        return {"loss": F.cross_entropy(outputs, labels), "logits": outputs}


@dataclass(slots=True)
class Timing:
    """When each step of a training ended."""

    moments: list[float]

    def usual_seconds(self) -> float:
        """Lower decile of the processor seconds that a step took in the last three quarters."""
        later = self.moments[len(self.moments) // 4 :]
        return statistics.quantiles((after - before for before, after in pairwise(later)), n=10)[0]


def timed(optimizer: torch.optim.Optimizer, timing: Timing) -> torch.optim.Optimizer:
    """Note when each of an optimizer's steps ends, alike with and without an adapter."""
    optimizer.register_step_post_hook(lambda *_: timing.moments.append(process_time()))
    return optimizer


def data(steps: int) -> TensorDataset:
    """Rows for so many steps, the same each time."""
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(16 * BATCH, FEATURES, generator=generator).repeat(-(-steps // 16), 1)[: steps * BATCH]
    return TensorDataset(inputs, torch.randint(0, CLASSES, (len(inputs),), generator=generator))


def train_lightning(steps: int, timing: Timing, *, is_watched: bool) -> Run | None:
    """Lightning's `Trainer.fit`."""
    import lightning.pytorch as pl

    from gradiometer.integrations.lightning import GradiometerCallback

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = Classifier()

        def training_step(self, batch: Any, index: int) -> Tensor:
            loss: Tensor = self.model(*batch)["loss"]
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return timed(torch.optim.SGD(self.parameters(), lr=0.01), timing)

    callback = GradiometerCallback(is_quiet=True) if is_watched else None
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        max_steps=steps, accelerator="cpu", enable_progress_bar=False, callbacks=[callback] if callback else [], **quiet
    )
    trainer.fit(Module(), DataLoader(data(steps), batch_size=BATCH))
    return callback.run if callback else None


def train_transformers(steps: int, timing: Timing, *, is_watched: bool) -> Run | None:
    """Hugging Face's `Trainer.train`."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    from gradiometer.integrations.transformers import GradiometerCallback

    model, callback = Classifier(), GradiometerCallback(is_quiet=True) if is_watched else None
    arguments = TrainingArguments(
        output_dir="unused", max_steps=steps, per_device_train_batch_size=BATCH, report_to="none", use_cpu=True,
        save_strategy="no", logging_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    optimizer = timed(torch.optim.SGD(model.parameters(), lr=0.01), timing)
    rows = [{"inputs": one, "labels": label} for one, label in zip(*data(16).tensors, strict=True)]
    trainer = Trainer(
        model, arguments, train_dataset=rows, callbacks=[callback] if callback else [],
        optimizers=(optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer)),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return callback.run if callback else None


def train_accelerate(steps: int, timing: Timing, *, is_watched: bool) -> Run | None:
    """A loop around what Accelerate has prepared."""
    from accelerate import Accelerator

    from gradiometer.integrations.accelerate import watch

    accelerator, plain = Accelerator(cpu=True), Classifier()
    loader = DataLoader(data(steps), batch_size=BATCH)
    optimizer = timed(torch.optim.SGD(plain.parameters(), lr=0.01), timing)
    model, prepared, loader = accelerator.prepare(plain, optimizer, loader)
    watching = watch(accelerator, model, prepared) if is_watched else None
    with watching or contextlib.nullcontext():
        for inputs, labels in loader:
            prepared.zero_grad()
            accelerator.backward(model(inputs, labels)["loss"])
            prepared.step()
    return watching.run if watching else None


TRAINERS: dict[str, Callable[..., Run | None]] = {
    "lightning": train_lightning,
    "transformers": train_transformers,
    "accelerate": train_accelerate,
}


def measure(train: Callable[..., Run | None], pairs: int, steps: int) -> str:
    """One row of the table: time of a step without and with, the difference, and what the runs say of themselves."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    shares, repaid = [], []
    for number in range(-1, pairs):
        count = steps if number >= 0 else WARMING_STEPS
        for is_watched in (False, True):
            torch.manual_seed(0)
            timing = Timing([])
            run = train(count, timing, is_watched=is_watched)
            gc.collect()
            if number < 0:  # the first of each pays for imports and warm caches
                continue
            seconds[is_watched].append(timing.usual_seconds())
            if run is not None:
                shares.append(100.0 * run.facts["overhead_measured"])
                repaid.append(repaid_step(run))
    alone, watched = (1000.0 * statistics.median(seconds[kind]) for kind in (False, True))
    differences = [100.0 * (b / a - 1.0) for a, b in zip(seconds[False], seconds[True], strict=True)]
    spread = f"{min(differences):+.1f} to {max(differences):+.1f}"
    return (
        f"{alone:8.2f} ms {watched:8.2f} ms {statistics.median(differences):+6.2f} % ({spread})"
        f"   {statistics.median(shares):.2f} % by step {steps}, repaid at {statistics.median(repaid):.0f}"
    )


def repaid_step(run: Run) -> float:
    """Step from which on a run has cost no more than was allowed; after a short run, where that will be at its pace."""
    facts = run.facts
    if facts["repaid_step"] is not None:
        return float(facts["repaid_step"])
    return float(facts["step_count"] * facts["overhead_measured"] / facts["overhead_allowed"])


def main() -> None:
    """Print a row for each trainer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trainers", nargs="*", default=list(TRAINERS), help="those to measure; all if not given")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of trainings of each")
    parser.add_argument("--steps", type=int, default=1000, help="steps of each training")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, {options.pairs} pairs of {options.steps} steps")
    print(f"{'':14}{'without':>11} {'with':>11}   median difference, least to greatest of the pairs")
    for name in options.trainers:
        print(f"{name:14}{measure(TRAINERS[name], options.pairs, options.steps)}", flush=True)


if __name__ == "__main__":
    main()
