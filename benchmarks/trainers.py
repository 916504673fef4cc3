"""What each trainer's adapter costs at the default overhead, once its advance is repaid.

Blocks of steps with the adapter and without it take turns inside one training of each trainer, each round in an order
that is drawn. Without means that the trainer does not have the adapter: its callback is taken out, its hooks are taken
off. In the control (A/A) neither block has one. What counts is the processor time of the whole process, the trainer's
own work and the threads that record included, from one batch's fetching to another's.

    python benchmarks/trainers.py [--rounds 40] [lightning transformers accelerate]
"""

import argparse
import contextlib
import itertools
import logging
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from overhead import INTERVALS_OF_BLOCK, MOST_REPAYING_SECONDS, Rounds, read_clocks
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from workloads import print_machine

from gradiometer.integrations.trainer_watch import TrainerWatch

FEATURES, WIDTH, DEPTH, CLASSES, BATCH = 256, 512, 6, 10, 32

WARMING_STEPS = 64
"""Steps before the advance begins to be watched for, or of a control before its first block."""

LEAST_BLOCK_SECONDS = 0.5
"""A block is at least so long: it holds whole full steps, and the ends of epochs do not count for much."""


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


class MeasuredError(Exception):
    """Ends a training from within, when all its blocks are timed."""


@dataclass
class Adapter:
    """How a trainer has the adapter, and has it no more.

    Attributes:
        watching: Tells the training's watch, once it has begun; None in the control.
        put_in: Gives the trainer the adapter back.
        take_out: Takes it away.
    """

    watching: Callable[[], TrainerWatch] | None = None
    put_in: Callable[[], object] = lambda: None
    take_out: Callable[[], object] = lambda: None

    def resume(self) -> None:
        """Have the adapter in the next steps."""
        if self.watching is not None:
            self.put_in()
            self.watching().session.probe.attach()

    def pause(self) -> None:
        """Have none in the next steps."""
        if self.watching is not None:
            self.watching().session.probe.detach()
            self.take_out()


@dataclass(eq=False)
class Blocks(IterableDataset[dict[str, Tensor]]):
    """Rows without end, which take the time between batches and change what the trainer has.

    Attributes:
        rounds: Pairs of blocks to time.
        adapter: Set before the training begins.
        times: Those of all pairs.
        steps: Of a block, once it is known.
    """

    rounds: int
    adapter: Adapter = field(default_factory=Adapter)
    times: Rounds = field(default_factory=Rounds)
    steps: int = 0

    def __post_init__(self) -> None:
        self._plan = self._planned()

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Rows of one batch after the other, the same few batches again and again."""
        generator = torch.Generator().manual_seed(5)
        inputs = torch.randn(16 * BATCH, FEATURES, generator=generator)
        labels = torch.randint(0, CLASSES, (len(inputs),), generator=generator)
        for row in itertools.cycle(range(len(inputs))):
            if row % BATCH == 0:
                next(self._plan)
            yield {"inputs": inputs[row], "labels": labels[row]}

    def _planned(self) -> Iterator[None]:
        """All steps, one for each batch that is fetched; ends with the exception that ends the training."""
        yield from itertools.repeat(None, WARMING_STEPS)
        began = read_clocks()
        yield from itertools.repeat(None, WARMING_STEPS)
        self.steps = max(WARMING_STEPS, round(LEAST_BLOCK_SECONDS * WARMING_STEPS / (read_clocks() - began)[0]))
        if self.adapter.watching is not None:
            yield from self._repaying(self.adapter.watching())
            self.adapter.pause()
        order = random.Random(0)
        for _ in range(self.rounds):
            seconds: dict[bool, np.ndarray] = {}
            for has_adapter in order.sample((False, True), 2):
                yield from self._block(seconds, has_adapter=has_adapter)
            self.times.add("adapter", seconds[True], seconds[False])
        raise MeasuredError

    def _repaying(self, watching: TrainerWatch) -> Iterator[None]:
        """Steps until measuring has cost no more than was allowed, or patience ends; then blocks are long enough."""
        budget, probe, began = watching.session.budget, watching.session.probe, read_clocks()
        while budget.repaid_step is None and (read_clocks() - began)[0] < MOST_REPAYING_SECONDS:
            yield
        self.steps = max(self.steps, INTERVALS_OF_BLOCK * (budget.next_event(probe.step) - probe.step))

    def _block(self, seconds: dict[bool, np.ndarray], *, has_adapter: bool) -> Iterator[None]:
        """Time one block; a change takes hold with the batch that is fetched next."""
        if has_adapter:
            self.adapter.resume()
        began = read_clocks()
        yield from itertools.repeat(None, self.steps)
        seconds[has_adapter] = read_clocks() - began
        watching = self.adapter.watching
        if watching is not None and watching().session.probe.is_attached != has_adapter:
            raise RuntimeError("the adapter was there in a block without it, or was not in one with it")
        if has_adapter:
            self.adapter.pause()


def train_lightning(blocks: Blocks, *, is_watched: bool) -> None:
    """Lightning's `Trainer.fit`."""
    import lightning.pytorch as pl

    from gradiometer.integrations.lightning import GradiometerCallback

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = Classifier()

        def training_step(self, batch: Any, index: int) -> Tensor:
            loss: Tensor = self.model(**batch)["loss"]
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    callback = GradiometerCallback(is_quiet=True) if is_watched else None
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        max_steps=-1, accelerator="cpu", enable_progress_bar=False, callbacks=[callback] if callback else [], **quiet
    )
    if callback is not None:
        blocks.adapter = listed(trainer.callbacks, callback)
    trainer.fit(Module(), DataLoader(blocks, batch_size=BATCH))


def train_transformers(blocks: Blocks, *, is_watched: bool) -> None:
    """Hugging Face's `Trainer.train`."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    from gradiometer.integrations.transformers import GradiometerCallback

    model, callback = Classifier(), GradiometerCallback(is_quiet=True) if is_watched else None
    arguments = TrainingArguments(
        output_dir="unused", max_steps=10**9, per_device_train_batch_size=BATCH, report_to="none", use_cpu=True,
        save_strategy="no", logging_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    trainer = Trainer(
        model, arguments, train_dataset=blocks, callbacks=[callback] if callback else [],
        optimizers=(optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer)),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    if callback is not None:
        blocks.adapter = listed(trainer.callback_handler.callbacks, callback)
    trainer.train()


def train_accelerate(blocks: Blocks, *, is_watched: bool) -> None:
    """A loop around what Accelerate has prepared."""
    from accelerate import Accelerator

    from gradiometer.integrations.accelerate import watch

    accelerator, plain = Accelerator(cpu=True), Classifier()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.01)
    model, prepared, loader = accelerator.prepare(plain, optimizer, DataLoader(blocks, batch_size=BATCH))
    watching = watch(accelerator, model, prepared) if is_watched else None
    if watching is not None:
        blocks.adapter = Adapter(lambda: watching)
    with watching or contextlib.nullcontext():
        for batch in loader:
            prepared.zero_grad()
            accelerator.backward(model(**batch)["loss"])
            prepared.step()


def listed(callbacks: list[Any], callback: Any) -> Adapter:
    """The adapter that is one of a trainer's callbacks."""
    return Adapter(lambda: callback.watch, lambda: callbacks.append(callback), lambda: callbacks.remove(callback))


TRAINERS: dict[str, Callable[..., None]] = {
    "lightning": train_lightning,
    "transformers": train_transformers,
    "accelerate": train_accelerate,
}


def measure(train: Callable[..., None], rounds: int, *, is_watched: bool) -> Blocks:
    """Time one trainer's training, with the adapter in every second block or without any."""
    torch.manual_seed(0)
    blocks = Blocks(rounds)
    with contextlib.suppress(MeasuredError):
        train(blocks, is_watched=is_watched)
    return blocks


def line_of(name: str, blocks: Blocks, control: Blocks) -> str:
    """One line of the table: a bare step, both ratios with their intervals, and what the watch says of itself."""
    bare = np.array(blocks.times.bare["adapter"])[:, 0].mean() / blocks.steps
    watching = blocks.adapter.watching
    if watching is None:
        raise RuntimeError(f"{name} was not watched")
    budget = watching().session.budget
    return (
        f"{name:14}{1e3 * bare:7.2f} ms   {ratio_text(blocks.times)}   {ratio_text(control.times)}   "
        f"{budget.share:.2%} of {budget.allowed_share:.0%}, repaid at step {budget.repaid_step}"
    )


def ratio_text(times: Rounds) -> str:
    """By how much processor time differs, with its 95 % interval."""
    low, high = times.interval("adapter", 0)
    return f"{times.ratio('adapter', 0) - 1:+7.2%} [{low - 1:+.2%}, {high - 1:+.2%}]"


def main() -> None:
    """Print a row for each trainer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("trainers", nargs="*", default=list(TRAINERS), help="those to measure; all if not given")
    parser.add_argument("--rounds", type=int, default=40, help="pairs of blocks of each training")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print_machine()
    print(f"{'':14}{'bare step':>10}   with the adapter          neither with it (A/A)     its own account")
    for name in options.trainers:
        control = measure(TRAINERS[name], options.rounds, is_watched=False)
        print(line_of(name, measure(TRAINERS[name], options.rounds, is_watched=True), control), flush=True)


if __name__ == "__main__":
    main()
