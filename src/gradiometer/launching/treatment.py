"""The moments that a script offers to whoever changes its model and optimizer while it runs."""

from typing import Any, Protocol

from torch import nn
from torch.optim import Optimizer


class Treatment(Protocol):
    """What a cure does at the moments that a script offers it; all in place."""

    def while_constructing(self, optimizer: Optimizer, groups: list[dict[str, Any]]) -> None:
        """The optimizer is about to take these groups; modules may get new parameters, groups may take them in."""

    def when_constructed(self, optimizer: Optimizer) -> None:
        """The optimizer is complete; nothing else holds it yet."""

    def before_first_forward(
        self, root: nn.Module, name: str, optimizers: tuple[Optimizer, ...], inputs: tuple[Any, ...]
    ) -> None:
        """A root's first forward in training is about to begin, with these arguments and keywords' values."""

    def enter_forward(self, root: nn.Module, args: tuple[Any, ...]) -> None:
        """A root's forward begins."""

    def leave_forward(self, output: Any) -> None:
        """It has ended with this output, None where it failed."""

    def follows_forwards(self) -> bool:
        """Whether it has to be told of forwards once all roots are known; asked then."""
