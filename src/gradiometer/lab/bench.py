"""The bench: what an experiment is conducted on, the same for all of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from torch import nn
from torch.optim import Optimizer

from gradiometer.recording.writer import RunWriter
from gradiometer.session import Watch, watch

Size = Literal["toy", "quick", "full"]
Choice = TypeVar("Choice")

NEEDS_MNIST = "needs MNIST: run without --quick"
"""Why a row was not run, where only the bundled digits were there."""


def say_nothing(share: float, doing: str) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True, slots=True)
class Bench:
    """How an experiment is conducted.

    Attributes:
        folder: Where its run files go; made when the first is written.
        size: `full` has MNIST and all seeds, `quick` keeps to bundled data and ends within half a minute, `toy` goes
            through every part in a few seconds and measures nothing worth telling.
        data: A file or folder with MNIST; None for the places that `datasets.mnist` looks in.
        seed_count: How many seeds were asked for; None leaves it to the experiment.
        progress: Told the share that is done, from 0 to 1, and what is being done.
        run_files: The run files written so far.
    """

    folder: Path
    size: Size = "full"
    data: Path | None = None
    seed_count: int | None = None
    progress: Callable[[float, str], None] = say_nothing
    run_files: list[Path] = field(default_factory=list)

    @property
    def is_quick(self) -> bool:
        """Whether it keeps to bundled data."""
        return self.size != "full"

    def pick(self, *, toy: Choice, quick: Choice, full: Choice) -> Choice:
        """What fits the size."""
        return {"toy": toy, "quick": quick, "full": full}[self.size]

    def seeds(self, *, toy: int, quick: int, full: int) -> range:
        """The seeds to take: as many as the user said, else as fit the size."""
        return range(self.seed_count or self.pick(toy=toy, quick=quick, full=full))

    @contextmanager
    def watched(self, name: str, model: nn.Module, optimizer: Optimizer | None = None) -> Iterator[Watch]:
        """Watch a training, and write its run file.

        Args:
            name: The file's name without its ending; an older file of that name is replaced.
            model: The network.
            optimizer: What trains it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.db"
        for old in self.folder.glob(f"{name}.db*"):
            old.unlink()
        with watch(model, optimizer, path) as watching:
            yield watching
        with RunWriter(path, is_resumed=True) as writer:
            writer.add_facts({"script": f"lab {name}"})
        self.run_files.append(path)
