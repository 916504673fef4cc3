"""Where the processes of a team leave figures for each other: torch's key-value store, never a collective.

A collective waits for everybody: where one process has run out of data, has failed or has ended, it hangs, and the
training with it. So nothing here is one. In a full step every process but the leader posts its figures and goes on; the
leader collects them. Its plan, which step is full next, was announced before that step's gradients were exchanged, so
that the others, who read it at the step's end, find it there. Whoever waits looks whether the other has left, and gives
up after a while; then measuring ends on all of them, each at its own next meeting, and the training goes on.

No process group is made, and torch's count of groups, by which processes name new ones alike, stays as it is.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from gradiometer.measuring.ranks import Team, named

PATIENCE_SECONDS = 20.0
"""How long a process waits for another's figures. The training makes them wait for each other in every step anyway, so
that nobody is late by much; chosen by us to be far above a slow step's skew and below what looks like a hanging run."""

LOOK_SECONDS = 0.25
"""Time between two looks whether those that are waited for have left."""

meeting_numbers = itertools.count()
"""Tells the meetings of one process apart; all processes hold them in the same order."""


class RanksPartedError(Exception):
    """A process of the team does not come to a meeting any more."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the leader announces in a step at which the team meets.

    Attributes:
        step: Step at which it meets next.
        is_full: That step is measured in full; otherwise only a further plan is made there.
        is_last: The training is to stop at the end of the step under way.
    """

    step: int
    is_full: bool
    is_last: bool = False

    def encode(self) -> str:
        """The plan as text."""
        return f"{self.step} {int(self.is_full)} {int(self.is_last)}"

    @classmethod
    def decode(cls, text: str) -> "Plan":
        """The plan that a text is.

        Example:
            >>> Plan.decode(Plan(8, is_full=True).encode())
            Plan(step=8, is_full=True, is_last=False)
        """
        step, is_full, is_last = (int(word) for word in text.split())
        return cls(step, bool(is_full), bool(is_last))


def open_store(team: Team) -> Any:
    """A room of the team's own in the store through which torch's processes found each other.

    Raises:
        RanksPartedError: There is none, as under MPI.
    """
    from torch.distributed import distributed_c10d

    try:
        store = distributed_c10d._get_default_store()
    except (RuntimeError, ValueError) as error:
        raise RanksPartedError(f"the processes have no store in common: {error}") from error
    if store is None:
        raise RanksPartedError("the processes have no store in common")
    return distributed_c10d.PrefixStore(f"gradiometer/{team.leader}/{next(meeting_numbers)}", store)


class Meeting:
    """A team's exchange of plans and figures.

    Args:
        team: The processes.
        store: A room of the team's own in a key-value store.
        patience_seconds: How long one waits for another.
    """

    def __init__(self, team: Team, store: Any, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.team = team
        self.store = store
        self.patience_seconds = patience_seconds
        self._plans: list[int] = []

    def announce(self, step: int, plan: Plan) -> None:
        """Tell the others a plan; the leader's, at the beginning of a step at which the team meets."""
        self.store.set(f"plan/{step}", plan.encode())
        self._plans.append(step)

    def read_plan(self, step: int) -> Plan:
        """The plan that was announced in a step.

        Raises:
            RanksPartedError: The leader has left, or there is no plan after a while.
        """
        key = f"plan/{step}"
        self._wait({self.team.leader: key})
        return Plan.decode(self.store.get(key).decode())

    def post(self, step: int, figures: str) -> None:
        """Leave this process's figures of a step for the leader; does not wait."""
        self.store.set(f"figures/{step}/{self.team.rank}", figures)

    def collect(self, step: int) -> dict[int, str]:
        """The other processes' figures of a step, by rank; the leader's.

        Raises:
            RanksPartedError: One has left without any, or has sent none after a while.
        """
        keys = {rank: f"figures/{step}/{rank}" for rank in self.team.others}
        self._wait(keys)
        figures = {rank: self.store.get(key).decode() for rank, key in keys.items()}
        # Whoever has posted in a step has read the plans of all steps before.
        read = [f"plan/{known}" for known in self._plans if known < step]
        self._plans = [known for known in self._plans if known >= step]
        for key in (*keys.values(), *read):
            self.store.delete_key(key)
        return figures

    def step_aside(self) -> None:
        """Tell the others that this process has no inputs left and takes no steps, until it comes back."""
        self._quietly(lambda: self.store.set(f"aside/{self.team.rank}", "ran out of inputs before the others"))

    def come_back(self, step: int, round_number: int) -> None:
        """All have run out of inputs: go on together where all have taken the same number of steps.

        Args:
            step: Steps that this process has taken.
            round_number: How often the team has come to this point.

        Raises:
            RanksPartedError: One has taken another number of steps, has left, or does not come.
        """
        team = self.team
        self.store.delete_key(f"aside/{team.rank}")
        self.store.set(f"joined/{round_number}/{team.rank}", str(step))
        awaited = team.others if team.is_leader else (team.leader,)
        keys = {rank: f"joined/{round_number}/{rank}" for rank in awaited}
        self._wait(keys)
        for rank, key in keys.items():
            steps = int(self.store.get(key).decode())
            if steps != step:
                raise RanksPartedError(f"rank {team.rank} has taken {step} steps, rank {rank} {steps}")

    def leave(self, reason: str) -> None:
        """Tell the others that this process comes no more; where they can't be reached any more, nobody is told."""
        self._quietly(lambda: self.store.set(f"left/{self.team.rank}", reason))

    def reason_of(self, rank: int) -> str | None:
        """Why a process has left or stands aside, None where it does not, or can't be asked."""
        for key in (f"left/{rank}", f"aside/{rank}"):
            if self._quietly(partial(self.store.check, [key])):
                reason = self._quietly(partial(self.store.get, key))
                return "can't be reached" if reason is None else str(reason.decode())
        return None

    def _wait(self, keys: dict[int, str]) -> None:
        """Wait until all keys are there, each to be set by its rank."""
        missing = dict(keys)
        started = looked = time.monotonic()
        pause_seconds = 0.0
        while missing:
            missing = {rank: key for rank, key in missing.items() if not self.store.check([key])}
            now = time.monotonic()
            if missing and now - looked > LOOK_SECONDS:
                looked = now
                self._look_for_leavers(missing)
            if missing and now - started > self.patience_seconds:
                raise RanksPartedError(f"{named(missing)} sent nothing for {self.patience_seconds:.0f} s")
            if missing:
                time.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 1.5 + 1e-4, 0.01)

    def _look_for_leavers(self, missing: dict[int, str]) -> None:
        for rank, key in missing.items():
            reason = self.reason_of(rank)
            # It may have set the key just before it left.
            if reason is not None and not self.store.check([key]):
                raise RanksPartedError(f"rank {rank} {reason}")

    def _quietly(self, ask: Callable[[], Any]) -> Any:
        """Ask a store that may be gone with the process that held it; None where it is."""
        try:
            return ask()
        except torch.distributed.DistError:
            return None
