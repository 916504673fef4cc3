"""The watch between full steps: loss, learning rate and time of a step, at a cost of a few microseconds.

A step's row is one tuple, handed to the sink as it is; the thread that writes makes more of it. Losses on a device
are copied over many at a time, behind the training, and their rows are handed on when they have arrived.
"""

from collections import deque
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from gradiometer.measuring.copying_behind import CopyBehind
from gradiometer.measuring.losses import LossBook, LossEntries, fill
from gradiometer.measuring.sink import Latest, Sink

Row = tuple[Any, ...]
"""Fields of `StepStats` in their order, without the losses, which stand second."""

ROWS_TOGETHER = 16
"""Rows whose losses are brought over together."""

LONGEST_WAIT_SECONDS = 0.25
"""Rows wait no longer for others: about as long as the thread that writes waits for its next commit."""


class EveryStep:
    """Notes what is of interest of every step.

    Args:
        sink: Where the rows go.
        latest: Where the last loss is kept for a view of the run while it goes on.
    """

    def __init__(self, sink: Sink, latest: Latest) -> None:
        self.sink = sink
        self.latest = latest
        self.losses = LossBook()
        self._waiting: list[tuple[Row, list[tuple[str, list[float | Tensor]]]]] = []
        self._waiting_since = 0.0
        self._travelling: deque[tuple[list[tuple[Row, list[Any]]], CopyBehind]] = deque()

    def record(self, step: int, after: Row, losses: LossEntries | None = None) -> None:
        """Hand a step's row on.

        Args:
            step: The step's index.
            after: What stands behind the losses.
            losses: The losses where they are known already; else those that were noted.
        """
        if losses is None and self.losses.pending():
            self._wait((step, *after))
        else:
            self._hand_on(step, after, self.losses.close() if losses is None else losses)

    def _hand_on(self, step: int, after: Row, losses: LossEntries) -> None:
        if losses:
            self.latest.loss = losses[0][1]
        self.sink.add_step_row((step, losses, *after))

    def _wait(self, row: Row) -> None:
        """Keep a row until its losses are there; called once a watched step on devices other than the CPU."""
        now = perf_counter()
        if not self._waiting:
            self._waiting_since = now
        self._waiting.append((row, list(self.losses.seen)))
        if len(self._waiting) >= ROWS_TOGETHER or now - self._waiting_since > LONGEST_WAIT_SECONDS:
            self._send()
        while self._travelling and self._travelling[0][1].is_there:
            self._arrive()

    def _send(self) -> None:
        rows, self._waiting = self._waiting, []
        tensors = [
            value for _, entries in rows for _, values in entries for value in values if isinstance(value, Tensor)
        ]
        self._travelling.append((rows, CopyBehind(tensors)))

    def _arrive(self) -> None:
        rows, copies = self._travelling.popleft()
        numbers = iter(copies.numbers())
        for row, entries in rows:
            self._hand_on(row[0], row[1:], fill(entries, numbers))

    def flush(self) -> None:
        """Hand all rows on; waits for the device."""
        with torch.no_grad():
            if self._waiting:
                self._send()
            while self._travelling:
                self._arrive()
