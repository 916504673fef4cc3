"""What a step is where a script has several optimizers: one round of them."""

from dataclasses import dataclass

from torch.optim import Optimizer


@dataclass(slots=True)
class Rounds:
    """Tells which optimizer's step ends a step of the run.

    The optimizer that steps first leads; the one that steps just before it does so again closes the round. So the
    forward passes between the two belong to the round in which their gradients are used, in a GAN as with one
    optimizer for each layer. A script that trains in phases leaves its leader behind: when others have stepped often
    without the round being closed, the one at hand leads.

    Attributes:
        leader: The optimizer that stepped first.
        closer: The one whose step ends a round.
    """

    leader: Optimizer | None = None
    closer: Optimizer | None = None
    _previous: Optimizer | None = None
    _open_steps: int = 0

    def ends_with(self, optimizer: Optimizer, optimizer_count: int) -> bool:
        """Note a step of an optimizer.

        Args:
            optimizer: The one that has stepped.
            optimizer_count: Optimizers that the run has.

        Returns:
            Whether it ends a step of the run.
        """
        previous, self._previous = self._previous, optimizer
        if self.leader is None or self._open_steps >= 4 * optimizer_count + 4:
            self.leader = self.closer = optimizer
        elif optimizer is self.leader and previous is not None and previous is not optimizer:
            self.closer = previous
        is_end = optimizer is self.closer
        self._open_steps = 0 if is_end else self._open_steps + 1
        return is_end
