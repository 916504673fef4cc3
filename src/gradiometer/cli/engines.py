"""What runs the trials of `cure`, from the command line's options."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gradiometer.curing.trials.local import run_trials
from gradiometer.curing.trials.plan import Wishes
from gradiometer.curing.trials.runner import Engine
from gradiometer.errors import SettingsError

ENGINES = ("local", "ray")
"""Every engine, by the name that it is asked for with."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The command line's options that choose what runs the trials.

    Attributes:
        name: One of `ENGINES`.
        address: Address of a Ray cluster; None starts one on this machine.
        gpus_per_trial: Accelerators that Ray gives to each trial.
    """

    name: str = "local"
    address: str | None = None
    gpus_per_trial: float = 0.0

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            SettingsError: There is no such engine, or an option belongs to another one.
        """
        if self.name not in ENGINES:
            raise SettingsError(f"there is no engine {self.name!r}: choose {' or '.join(ENGINES)}")
        if self.name == "local" and (self.address is not None or self.gpus_per_trial):
            raise SettingsError("--address and --gpus-per-trial belong to --engine ray: trials here share the GPU")


@contextmanager
def chosen_engine(options: EngineOptions, wishes: Wishes) -> Iterator[tuple[Engine, Wishes]]:
    """Make an engine ready for as long as the block lasts.

    Args:
        options: Which.
        wishes: What the user asked for.

    Yields:
        The engine, and the wishes with as many workers as a cluster has room for, unless told otherwise.

    Raises:
        SettingsError: It can't be had.
    """
    options.check()
    if options.name == "local":
        yield run_trials, wishes
        return
    from gradiometer.curing.trials.ray_engine import connected

    with connected(options.address, options.gpus_per_trial) as engine:
        yield engine, wishes if wishes.workers else replace(wishes, workers=engine.slots)
