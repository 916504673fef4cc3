"""Keeps the loss that a script would have had where a cure has exchanged it: what that cure is judged by."""

from torch import Tensor


class OriginalLosses:
    """The original losses of a trial, by step; they stay on their device until the end.

    Args:
        is_kept: Keep them; a whole training, which nobody compares, lets them go.

    Attributes:
        fresh: Where the cure puts them; emptied into the steps whenever a forward begins.
    """

    def __init__(self, *, is_kept: bool = True) -> None:
        self.is_kept = is_kept
        self.fresh: list[Tensor] = []
        self._kept: list[tuple[int, Tensor]] = []
        self._step = 0

    def collect(self, step: int) -> None:
        """Put what came since the last call down to the step that had begun then."""
        if self.fresh:
            self._kept += [(self._step, loss) for loss in self.fresh if self.is_kept]
            self.fresh.clear()
        self._step = step

    def rows(self) -> list[list[float]]:
        """Step and loss of each, in order."""
        self.collect(self._step)
        return [[float(step), float(loss)] for step, loss in self._kept]
