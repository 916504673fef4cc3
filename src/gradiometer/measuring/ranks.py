"""Which processes train one model together.

Under `torchrun` every process runs the same script. Where they share a model, by `DistributedDataParallel` or by
`fully_shard`, they are a team: each sees its own part of the batch, and maybe of the parameters.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gradiometer.measuring.ranks_shards import is_sharded, is_split_twice, ranks_of


@dataclass(frozen=True, slots=True)
class Team:
    """The processes that train one model.

    Attributes:
        rank: Rank of this process.
        ranks: Ranks of all of them, ascending; the first leads.
    """

    rank: int
    ranks: tuple[int, ...]

    @property
    def leader(self) -> int:
        """Rank of the process that decides, collects and writes."""
        return self.ranks[0]

    @property
    def is_leader(self) -> bool:
        """This process is it."""
        return self.rank == self.leader

    @property
    def others(self) -> tuple[int, ...]:
        """Ranks of those that do not lead."""
        return self.ranks[1:]


def process_count() -> int:
    """Processes that torch has connected; 1 where it has not."""
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def find_team(module: nn.Module) -> Team | None:
    """Find out who trains a model together with this process.

    Args:
        module: The model as the script calls it, a `DistributedDataParallel` included.

    Returns:
        The team; None where this process trains it alone, or in a way that is not known here (`why_alone` says so).
    """
    if process_count() == 1:
        return None
    for inner in module.modules():
        if isinstance(inner, DistributedDataParallel):
            ranks = torch.distributed.get_process_group_ranks(inner.process_group)
            return team_of(tuple(sorted(ranks)))
    if is_fully_sharded(module):
        sharded = [parameter for parameter in module.parameters() if is_sharded(parameter)]
        if sharded and not any(is_split_twice(parameter) for parameter in sharded):
            return team_of(ranks_of(sharded[0]))
    return None


def team_of(ranks: tuple[int, ...]) -> Team | None:
    """The team of these ranks, None where they are one process alone."""
    return Team(torch.distributed.get_rank(), ranks) if len(ranks) > 1 else None


def is_fully_sharded(module: nn.Module) -> bool:
    """Whether `fully_shard` was applied to a module or one inside it."""
    kind = getattr(sys.modules.get("torch.distributed.fsdp"), "FSDPModule", None)
    return kind is not None and any(isinstance(inner, kind) for inner in module.modules())


def why_alone(module: nn.Module) -> str | None:
    """What the figures of a model are not, where several processes run and no team was found; None where all is well.

    Args:
        module: The model as the script calls it.
    """
    if process_count() == 1 or find_team(module) is not None:
        return None
    if any(is_sharded(parameter) for parameter in module.parameters()):
        return "sharded in a way that is not followed: norms are those of this process's part alone"
    return f"{process_count()} processes, neither DistributedDataParallel nor fully_shard: measured in this one alone"


def unwrapped(module: nn.Module) -> nn.Module:
    """The model inside `DistributedDataParallel`, so that its layers have the names that they have without it.

    Args:
        module: The model as the script calls it; where it was compiled around the wrapper, what was compiled.

    Returns:
        The model; the module itself where it is not wrapped.
    """
    inner = getattr(module, "_orig_mod", module) if type(module).__name__ == "OptimizedModule" else module
    if not isinstance(inner, DistributedDataParallel):
        return module
    model: nn.Module = inner.module
    return model


def named(ranks: Iterable[int]) -> str:
    """Ranks in words.

    Example:
        >>> named([1]), named([1, 3])
        ('rank 1', 'ranks 1, 3')
    """
    found = sorted(ranks)
    return f"rank{'s' if len(found) > 1 else ''} {', '.join(str(rank) for rank in found)}"
