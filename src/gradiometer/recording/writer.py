"""Writes a run file off the training thread: what is added is queued, and a thread commits it.

Nothing here raises into a training, and nothing but `flush`, `close` and `read` waits for the disk: a full disk or a
read-only folder costs the recording, and `fault` says so in a sentence.
"""

import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from gradiometer.recording.recorder import PATIENCE_SECONDS, Recorder
from gradiometer.recording.rows import Renaming, encode_fact, row_count_of
from gradiometer.schema import Coverage, Event, Layer, Outcome, Parameter, Run, Snapshot, StepStats, Trial


class RunWriter:
    """Records one run, into a file or in memory.

    Any thread may call any method. After a fork the child's copy does nothing: the parent goes on recording.

    Args:
        path: The run file; its folder is created. None keeps all in memory, in the same tables.
        max_bytes: Bound of the file; older steps are thinned to stay below it.
        is_resumed: Add to the run file that is there, rather than create one.
        busy_seconds: How long to wait for another program that holds the file before recording stops.

    Raises:
        RunFileError: Something is at the path already: not a run file, or a run file while `is_resumed` is false.

    Example:
        >>> with RunWriter(None) as writer:
        ...     writer.add_step(StepStats(step=0, total_norm=2.0))
        >>> writer.read().step_columns["total_norm"]
        array([2.])
    """

    def __init__(
        self,
        path: Path | None,
        max_bytes: int = 256 * 2**20,
        *,
        is_resumed: bool = False,
        busy_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        # A script may change its working directory amid training.
        absolute = None if path is None else Path(path).absolute()
        self._recorder = Recorder(absolute, max_bytes, is_resumed=is_resumed, busy_seconds=busy_seconds)
        weakref.finalize(self, self._recorder.release)

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path | None:
        """The run file, absolute; None in memory."""
        return self._recorder.path

    @property
    def fault(self) -> str | None:
        """Why recording stopped, in a sentence; None while nothing is wrong."""
        return self._recorder.fault

    @property
    def writing_seconds(self) -> float:
        """Processor time that writing has taken so far, on the thread that writes."""
        return self._recorder.writing_seconds

    @property
    def seconds_per_row(self) -> float:
        """Processor time that writing one row took on average so far; 0 before the first."""
        return self._recorder.writing_seconds / max(self._recorder.taken_rows, 1)

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        """Add what is known of the run as a whole; a fact of the same name is replaced."""
        encoded = {str(name): encode_fact(value) for name, value in facts.items()}
        if self._recorder.is_recording and facts:
            self._recorder.add(encoded)
        elif self._recorder.fault is not None:
            self._recorder.add_late(encoded)

    def add_layers(self, layers: Sequence[Layer]) -> None:
        """Add layers; one of the same name is replaced."""
        self._add_all(layers)

    def add_parameters(self, parameters: Sequence[Parameter]) -> None:
        """Add parameters; one of the same name is replaced."""
        self._add_all(parameters)

    def rename_parameters(self, names: Sequence[tuple[str, str]]) -> None:
        """Give parameters other names, with all that was recorded of them.

        Args:
            names: Of each the old name and the new; a name that nothing is recorded under is passed over.
        """
        self._add_all([Renaming(old, new) for old, new in names])

    def add_step(self, step: StepStats) -> None:
        """Add what the every-step watch saw; a step of the same index is replaced."""
        recorder = self._recorder
        if recorder.is_recording:
            recorder.add(step, 1 + len(step.losses))

    def add_step_row(self, row: tuple[Any, ...]) -> None:
        """Add what the every-step watch saw, as a tuple of the fields of a `StepStats` in their order."""
        recorder = self._recorder
        if recorder.is_recording:
            recorder.add(row, 1 + len(row[1]))

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Add a full measurement."""
        if self._recorder.is_recording:
            self._recorder.add(snapshot, row_count_of(snapshot))

    def add_event(self, event: Event) -> None:
        """Add something that happened once."""
        self._add_all((event,))

    def set_coverage(self, coverage: Coverage) -> None:
        """Say what is seen and what not; replaces what was said before."""
        self._add_all((coverage,))

    def add_trials(self, trials: Sequence[Trial]) -> None:
        """Add trials; one with the same cures, seed, sieve and run file is replaced."""
        self._add_all(trials)

    def set_outcome(self, outcome: Outcome) -> None:
        """Say what the trials proved; replaces what was said before."""
        self._add_all((outcome,))

    def flush(self) -> None:
        """Wait until all that was added is committed."""
        self._recorder.flush()

    def close(self) -> None:
        """Commit all and make one file of it; what is added later is ignored. Twice does no harm."""
        self._recorder.close()

    def read(self) -> Run:
        """Read all that was added so far, also while open, after closing, and in memory.

        Returns:
            The run; where recording stopped, what was committed before; in a forked child an empty one.
        """
        self._recorder.flush()
        return self._recorder.read()

    def _add_all(self, items: Sequence[Any]) -> None:
        if self._recorder.is_recording:
            for item in items:
                self._recorder.add(item)
