"""What a step is where a script has several optimizers: one round of them."""

import weakref
from dataclasses import dataclass

from torch.optim import Optimizer


@dataclass(slots=True)
class Rounds:
    """Tells which optimizer's step ends a step of the run.

    The optimizer that steps first leads; the one that steps just before it does so again closes the round. So the
    forward passes between the two belong to the round in which their gradients are used, in a GAN as with one
    optimizer for each layer. A script that trains in phases leaves its leader behind: when others have stepped often
    without the round being closed, the one at hand leads.

    No optimizer is kept alive: one that the script lets go of, as it makes a new one, leads no more.
    """

    _leader: "weakref.ref[Optimizer] | None" = None
    _closer: "weakref.ref[Optimizer] | None" = None
    _previous: "weakref.ref[Optimizer] | None" = None
    _open_steps: int = 0

    @property
    def leader(self) -> Optimizer | None:
        """The optimizer that stepped first; None before any did, or where it is gone."""
        return alive(self._leader)

    def ends_with(self, optimizer: Optimizer, optimizer_count: int) -> bool:
        """Note a step of an optimizer.

        Args:
            optimizer: The one that has stepped.
            optimizer_count: Optimizers that the run has.

        Returns:
            Whether it ends a step of the run.
        """
        reference = weakref.ref(optimizer)
        previous, self._previous = alive(self._previous), reference
        if self.leader is None or alive(self._closer) is None or self._open_steps >= 4 * optimizer_count + 4:
            self._leader = self._closer = reference
        elif optimizer is self.leader and previous is not None and previous is not optimizer:
            self._closer = weakref.ref(previous)
        is_end = optimizer is alive(self._closer)
        self._open_steps = 0 if is_end else self._open_steps + 1
        return is_end


def alive(reference: "weakref.ref[Optimizer] | None") -> Optimizer | None:
    """What a reference refers to; None where there is none or it is gone."""
    return None if reference is None else reference()


def no_optimizer() -> None:
    """Stand for the one optimizer of a run that has none, or several."""
