"""What the adapters of trainers share: a session on a trainer's model, whose called parts are found as it trains.

A trainer calls its model whole, wrapped, or only parts of it: then a root is what it calls, named by its path.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType, TracebackType
from typing import Any

from torch import nn
from torch.optim import Optimizer

from gradiometer.diagnosing import diagnose
from gradiometer.errors import SettingsError
from gradiometer.launching.discovery import Discovery
from gradiometer.measuring.compiled import has_compiled_twin, is_compiled
from gradiometer.measuring.ranks import unwrapped
from gradiometer.schema import Diagnosis, Run
from gradiometer.session import Session


class TrainerWatch:
    """Watches one training of a trainer.

    Args:
        model: Everything that is trained, wrapped or not: layers are named by their paths in the user's own model.
        optimizers: All optimizers, torch's own, not a trainer's wrappers.
        file: Path of the run file; None keeps the run in memory.
        overhead: Greatest share of the training time that measuring may take.
        open_compiled: Measure the layers of compiled models too.
        dear: Dear measurements that take turns on full steps; None for all that fit.
        is_silent: Another process writes the run; this one measures its part for that one.
        trainer: Name and version of the trainer, for the run file.
        facts: Further facts for the run file.

    Raises:
        RunFileError: A file is in the way.
        SettingsError: The share is not above 0 and at most 1, or there is no such measurement.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Iterable[Optimizer],
        file: str | Path | None,
        overhead: float,
        *,
        open_compiled: bool,
        dear: Sequence[str] | None,
        is_silent: bool,
        trainer: str,
        facts: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.session = session = Session(None if is_silent else file, overhead, open_compiled=open_compiled, dear=dear)
        self.is_silent = is_silent
        if is_silent:
            session.probe.stay_silent()
        session.writer.add_facts({"script": script_name(), "trainer": trainer, **facts})
        for optimizer in optimizers:
            session.probe.watch_optimizer(optimizer)
        self._model = model
        self._owner = innermost(model)
        self._discovery = Discovery(session, owner=self._owner)

    def start(self) -> "TrainerWatch":
        """Look for what the trainer calls; the first forward begins the first step."""
        probe = self.session.probe
        if is_compiled(self._model) or has_compiled_twin(self._owner) or probe.full_step.opens_compiled:
            # Hooks that look for what is called would be compiled in.
            probe.meet_compiled()
            probe.watch_root(self._model)
            probe.attach()
            self.session.describe()
        else:
            self._discovery.start()
        return self

    def stop(self, error: BaseException | None = None) -> None:
        """Detach and close the run file; a second call does nothing.

        Args:
            error: What ended the training, None where it ended by itself.
        """
        if not self.session.is_stopped:
            self._discovery.stop()
            self.session.end(error)

    @property
    def run(self) -> Run:
        """Everything measured so far."""
        return self.session.run

    def diagnose(self) -> Diagnosis:
        """What is wrong with the run so far."""
        return diagnose(self.run)

    def __enter__(self) -> "TrainerWatch":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(error)

    def say_verdict(self) -> None:
        """Write the verdict to stderr, in one line; nothing where another process gives it."""
        if not self.is_silent:
            # A trainer's progress bar may stand on the line.
            sys.stderr.write(f"\ngradiometer: {verdict_line(self.diagnose(), self.session.writer.path)}\n")


class NewestWatch:
    """What a trainer's callback tells of the newest training that it has watched in this process."""

    _watch: TrainerWatch | None = None

    @property
    def watch(self) -> TrainerWatch:
        """The newest training's.

        Raises:
            RuntimeError: No training has begun in this process.
        """
        if self._watch is None:
            raise RuntimeError("no training has begun in this process; of one that ran in others, open the run file")
        return self._watch

    @property
    def run(self) -> Run:
        """Everything measured so far."""
        return self.watch.run

    def diagnose(self) -> Diagnosis:
        """What is wrong with the run so far."""
        return self.watch.diagnose()


def verdict_line(diagnosis: Diagnosis, file: Path | None) -> str:
    """A verdict in one line, with the first finding and the way to all of it.

    Example:
        >>> verdict_line(Diagnosis("healthy"), Path("run.db"))
        'healthy (gradiometer report run.db)'
    """
    first = next((finding.summary for finding in diagnosis.findings if finding.severity != "info"), diagnosis.reason)
    way = f" (gradiometer report {file})" if file is not None else ""
    return f"{diagnosis.verdict.replace('_', ' ')}{': ' if first else ''}{first}{way}"


def script_name() -> str:
    """The program's main file; `interactive` where it has none."""
    return str(getattr(sys.modules["__main__"], "__file__", None) or "interactive")


def missing_partner(name: str, extra: str) -> SettingsError:
    """What is raised where a partner's package is not installed."""
    return SettingsError(f"{name} is not installed: pip install 'gradiometer[{extra}]'")


def named_version(partner: ModuleType) -> str:
    """A partner with its version, for the run file."""
    return f"{partner.__name__} {getattr(partner, '__version__', '')}".rstrip()


def torch_optimizer(optimizer: Optimizer) -> Optimizer:
    """The optimizer that steps inside a trainer's wrappers, which hold what they wrap as `optimizer`."""
    inner = getattr(optimizer, "optimizer", None)
    return torch_optimizer(inner) if isinstance(inner, Optimizer) else optimizer


def innermost(model: nn.Module) -> nn.Module:
    """The user's own model inside `DistributedDataParallel` and what `torch.compile` has made."""
    inner = unwrapped(model)
    compiled = getattr(inner, "_orig_mod", None)
    return innermost(compiled) if isinstance(compiled, nn.Module) else inner
