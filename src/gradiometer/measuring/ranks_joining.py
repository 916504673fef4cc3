"""Uneven inputs: a process that has run out of data while others train on, under torch's `Join`.

Such a process stays in `Join.__exit__` and takes part in the others' collectives, but takes no steps of its own. Torch
has no hook for that, so the method is wrapped while a team measures.
"""

import functools
from collections.abc import Callable
from typing import Any

from torch.distributed.algorithms.join import Join


class JoinWatch:
    """Tells when this process has run out of inputs, and when all have.

    Args:
        when_out: Called when this process has none left.
        when_all_out: Called when nobody has.
    """

    def __init__(self, when_out: Callable[[], None], when_all_out: Callable[[], None]) -> None:
        self.when_out = when_out
        self.when_all_out = when_all_out
        self._original: Any = None

    def start(self) -> None:
        """Wrap the method; a watch that is started stays so."""
        if self._original is not None:
            return
        original = self._original = Join.__exit__

        @functools.wraps(original)
        def leave_together(join: Join, kind: Any, error: Any, trace: Any) -> Any:
            self.when_out()
            try:
                return original(join, kind, error, trace)
            finally:
                self.when_all_out()

        type.__setattr__(Join, "__exit__", leave_together)

    def stop(self) -> None:
        """Put the method back."""
        if self._original is not None:
            type.__setattr__(Join, "__exit__", self._original)
            self._original = None
