"""What a root returned in a full step, while it is alive: of a loss written by hand, targets are told only with it.

Autograd saves the difference of outputs and targets, and neither of them. The output is looked at and not held, unless
the run's loss is known to need it: to hold what a script would have let go costs memory.
"""

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor

from gradiometer.measuring.calls import first_tensor

MOST_OUTPUTS = 64
"""Outputs that are remembered in a step."""


class RootOutputs:
    """The outputs of one full step's calls of roots.

    Attributes:
        is_holding: Outputs are kept alive until `drop`.
    """

    def __init__(self) -> None:
        self.is_holding = False
        self._known: list[tuple[Any, Callable[[], Tensor | None], int]] = []

    def note(self, returned: Any) -> None:
        """A root has returned; its first tensor that asks for a gradient is looked at."""
        output = first_tensor(returned)
        if output is None or output.grad_fn is None or len(self._known) >= MOST_OUTPUTS:
            return
        look = output.detach if self.is_holding else weakref.ref(output)
        self._known.append((output.grad_fn, look, output._version))

    def find(self, node: Any) -> Tensor | None:
        """The output that an autograd node has made; None where it is gone, or was written over since."""
        for known, look, version in self._known:
            if known is node:
                output = look()
                return None if output is None or output._version != version else output.detach()
        return None

    def drop(self) -> None:
        """Let go of all."""
        self._known = []
