"""Runs trials on a Ray cluster, each a Ray task; what comes home is what a trial of this machine leaves.

Ray gives a trial its processors and accelerators, runs it again where its machine is lost, and is told to stop where
the user does. On its machine a trial is a process of its own, as here (`gradiometer.curing.trials.local`).
"""

import logging
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradiometer.curing.trials.local import Ends, TrialEnd, empty_folder, with_known, write_end
from gradiometer.curing.trials.parcel import Parcel, archive_of, packed, perform_parcel, unpacked
from gradiometer.curing.trials.spec import LOG_FILE, TrialSpec
from gradiometer.curing.trials.worker import UNUSABLE
from gradiometer.errors import SettingsError

MOST_RETRIES = 3
"""How often a trial is run again whose machine was lost."""

POLL_SECONDS = 0.5
"""How long Ray is waited for at a time; Ctrl-C is heard in between."""

GRACE_SECONDS = 5.0
"""Time that cancelled trials get to clear up before their processes are killed."""


@dataclass(slots=True)
class RayEngine:
    """Runs trials on the cluster that is connected; `connected` makes one.

    Attributes:
        ray: The library.
        gpus_per_trial: Accelerators that each trial is given; a fraction is a share of one.
        slots: Trials that the cluster can run at a time, with one processor each.
    """

    ray: Any
    gpus_per_trial: float
    slots: int
    _archives: dict[tuple[str, str | None], Any] = field(default_factory=dict)

    def __call__(
        self, specs: Sequence[TrialSpec], *, workers: int, when_done: Callable[[TrialEnd], None] | None = None
    ) -> list[TrialEnd]:
        """Run trials, some at a time; those that have a result already are not run again.

        Raises:
            KeyboardInterrupt: Ctrl-C; the cluster is told to stop all of them.
            SettingsError: Ray could not run them; the message says why.
        """
        return with_known(specs, when_done, lambda waiting: self._carried_out(waiting, workers))

    def _carried_out(self, specs: Sequence[TrialSpec], workers: int) -> Ends:
        """Run trials and yield each as it comes home; none goes on however this is left."""
        waiting = list(reversed(specs))
        going: dict[Any, Parcel] = {}
        try:
            while waiting or going:
                while waiting and len(going) < max(workers, 1):
                    parcel = packed(waiting.pop())
                    going[self._sent(parcel)] = parcel
                done, _ = self.ray.wait(list(going), num_returns=1, timeout=POLL_SECONDS)
                for reference in done:
                    yield self._come_home(reference, going.pop(reference))
        finally:
            self._cancel(list(going))

    def _sent(self, parcel: Parcel) -> Any:
        spec = parcel.spec
        key = (spec.working_directory, spec.script)
        if key not in self._archives:
            self._archives[key] = self.ray.put(archive_of(spec))
        task = self.ray.remote(perform_parcel).options(
            num_cpus=spec.threads, num_gpus=self.gpus_per_trial, max_retries=MOST_RETRIES, name=spec.sieve
        )
        return task.remote(parcel, self._archives[key])

    def _come_home(self, reference: Any, parcel: Parcel) -> TrialEnd:
        exceptions = self.ray.exceptions
        empty_folder(parcel.spec)
        try:
            home = self.ray.get(reference)
        except exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            raise SettingsError(f"a machine of the cluster could not run a trial: {cause}") from None
        except exceptions.RayError as error:
            return lost(parcel.spec, error)
        end = unpacked(parcel, home)
        write_end(end)
        return end

    def _cancel(self, references: list[Any]) -> None:
        """Have trials end and clear up, and kill those that do not."""
        for is_forced in (False, True):
            for reference in references:
                self.ray.cancel(reference, force=is_forced)
            if references:
                _, references = self.ray.wait(references, num_returns=len(references), timeout=GRACE_SECONDS)


def lost(spec: TrialSpec, error: Exception) -> TrialEnd:
    """A trial whose machine was lost again and again; it is not remembered, so it will be tried another time."""
    reason = str(error).strip().splitlines() or [type(error).__name__]
    text = f"its machine was lost {MOST_RETRIES + 1} times: {reason[0]}\n"
    (Path(spec.folder) / LOG_FILE).write_text(text, encoding="utf-8")
    return TrialEnd(spec, UNUSABLE, 0.0)


@contextmanager
def connected(address: str | None, gpus_per_trial: float = 0.0) -> Iterator[RayEngine]:
    """Connect to a cluster, or start one on this machine, for as long as the block lasts.

    Args:
        address: `HOST:PORT` of a cluster that this machine belongs to, `ray://HOST:PORT` of any other; None starts one
            on this machine.
        gpus_per_trial: Accelerators that each trial is given.

    Raises:
        SettingsError: Ray is not installed, no cluster answers, or none of its machines can hold a trial.
    """
    try:
        import ray
    except ImportError:
        raise SettingsError("--engine ray needs Ray: pip install 'gradiometer[ray]'") from None
    library: Any = ray
    try:
        library.init(
            address=address or "local", log_to_driver=False, logging_level=logging.ERROR, include_dashboard=None
        )
    except Exception as error:  # Ray raises errors of many kinds here
        raise SettingsError(
            f"no Ray cluster answers at {address or 'this machine'} ({error}): is it running?"
        ) from error
    try:
        # Ray prints what befalls a machine to stdout, which belongs to results.
        with redirect_stdout(sys.stderr):
            yield RayEngine(library, gpus_per_trial, slots_of(library.nodes(), gpus_per_trial))
    finally:
        library.shutdown()


def slots_of(nodes: Sequence[dict[str, Any]], gpus_per_trial: float) -> int:
    """How many trials with one processor each some machines can run at a time.

    Raises:
        SettingsError: None of them can run one.

    Example:
        >>> slots_of([{"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}}], 0.5)
        2
    """
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    slots = sum(slots_on(held, gpus_per_trial) for held in resources)
    if slots < 1:
        wanted = f"1 processor and {gpus_per_trial:g} GPU(s)" if gpus_per_trial else "1 processor"
        raise SettingsError(f"none of the cluster's {len(resources)} machine(s) has {wanted} for a trial")
    return slots


def slots_on(held: dict[str, float], gpus_per_trial: float) -> int:
    """The same on one machine."""
    processors = math.floor(held.get("CPU", 0.0))
    if not gpus_per_trial:
        return processors
    accelerators = held.get("GPU", 0.0)
    shares = accelerators / gpus_per_trial if gpus_per_trial <= 1 else accelerators // gpus_per_trial
    return min(processors, math.floor(shares))
