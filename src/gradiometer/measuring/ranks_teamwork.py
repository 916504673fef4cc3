"""What a probe asks where several processes train: which of its steps are full, and what they found together.

The team meets at planned steps only; in all others nothing is sent and nothing is waited for.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gradiometer.measuring.budget import Budget
from gradiometer.measuring.losses import LossEntries
from gradiometer.measuring.ranks import Team, find_team, why_alone
from gradiometer.measuring.ranks_combining import combine, disagreement, figures_of, unshared_layers
from gradiometer.measuring.ranks_figures import RankFigures
from gradiometer.measuring.ranks_joining import JoinWatch
from gradiometer.measuring.ranks_meeting import PATIENCE_SECONDS, Meeting, Plan, RanksPartedError, open_store
from gradiometer.measuring.ranks_planning import plan_after
from gradiometer.measuring.ranks_shards import is_sharded
from gradiometer.measuring.ranks_sink import TeamSink
from gradiometer.measuring.sink import Sink
from gradiometer.measuring.snapshot import StepMaterial
from gradiometer.schema import Event, Snapshot


class Teamwork:
    """This process's part in the measuring of a training of several.

    Args:
        sink: Where measurements go; of a team only the leader's are kept.
        budget: When to measure; only the leader's counts.
        notes: What limits the measurements, for the coverage; added to here.
        current_step: Gives the step under way.
        patience_seconds: How long one process waits for another.

    Attributes:
        team: The processes that train the model, None where this one does alone.
        is_silent: Another process writes for this one.
        is_sharded: Each process holds a part of the parameters.
        is_parted: The team has fallen apart; full steps have ended.
        is_stop_asked: Asked at every meeting of the leader; True stops the training on all processes.
        is_stopping: The training is to stop now, on all processes.
    """

    def __init__(
        self,
        sink: Sink,
        budget: Budget,
        notes: list[str],
        current_step: Callable[[], int],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.sink = sink
        self._team_sink = TeamSink(sink, self.note_losses, is_silent=False)
        self.budget = budget
        self.notes = notes
        self.current_step = current_step
        self.patience_seconds = patience_seconds
        self.team: Team | None = None
        self.is_silent = False
        self.is_sharded = False
        self.is_parted = False
        self.is_stop_asked: Callable[[], bool] | None = None
        self.is_stopping = False
        self._meeting: Meeting | None = None
        self._joining = JoinWatch(self._step_aside, self._come_back)
        self._join_count = 0
        self._plan = Plan(0, is_full=True)
        self._announced: Plan | None = None
        self._losses = RankFigures()
        self._told: set[str] = set()

    def look_at(self, module: nn.Module | None) -> bool:
        """A model is about to be measured: find out who trains it.

        Args:
            module: The model as the script calls it; None where none is known yet, but that another process writes.

        Returns:
            Whether what was known has changed: `sink`, `share` and `takes_turns` are to be used from now on.
        """
        if self.team is not None or self.is_parted:
            return False
        was_planned = self.is_planned
        if module is None:
            self.is_silent = True
        else:
            self._find_team(module)
        if not self.is_planned or (was_planned and self.team is None):
            return False
        self._team_sink.is_silent = self.is_silent
        self.sink = self._team_sink
        return True

    @property
    def takes_turns(self) -> bool:
        """Dear measurements are taken: of the leader's part of the batch, and of whole parameters alone."""
        return not self.is_silent and not self.is_sharded

    def _find_team(self, module: nn.Module) -> None:
        if (note := why_alone(module)) is not None and note not in self.notes:
            self.notes.append(note)
        team = find_team(module)
        if team is None or (self.is_silent and team.is_leader):
            return
        self.team, self.is_silent = team, not team.is_leader
        self.is_sharded = any(is_sharded(parameter) for parameter in module.parameters())
        try:
            self._meeting = Meeting(team, open_store(team), self.patience_seconds)
            self._joining.start()
        except RanksPartedError as error:
            self._part(0, str(error))
        if team.is_leader:
            self.sink.add_facts({"process_count": len(team.ranks)})
            if self.is_sharded:
                self.notes.append("sharded: no similarity, examples, gradients through time, histograms or unit lists")

    @property
    def is_planned(self) -> bool:
        """Full steps are planned by the team, or by nobody; the budget of this process does not decide."""
        return self.team is not None or self.is_silent or self.is_parted

    @property
    def meeting_step(self) -> int | None:
        """The step at which the team meets next, or meets now; None where it does not."""
        return self._plan.step if self._meeting is not None and not self.is_parted else None

    def is_full(self, step: int) -> bool:
        """Whether to measure a step that is about to begin; the leader makes its plan."""
        if not self.is_planned:
            return self.budget.is_full(step)
        if step != self.meeting_step or self._meeting is None or self.team is None:
            return False
        if self.team.is_leader:
            is_last = self.is_stop_asked is not None and self.is_stop_asked()
            self._announced = plan_after(step, self.budget, is_full=self._plan.is_full, is_last=is_last)
            self._attempt(step, lambda meeting: meeting.announce(step, self._announced or self._plan))
        return self._plan.is_full and not self.is_parted

    def note_losses(self, step: int, losses: LossEntries) -> None:
        """Keep in mind whether a step's losses were finite: that tells on which process they were not first."""
        if not losses:
            return
        if not any(nonfinite_count for *_, nonfinite_count in losses):
            self._losses = replace(self._losses, last_good_loss=step)
        elif self._losses.first_bad_loss is None:
            self._losses = replace(self._losses, first_bad_loss=step)

    def share(self, snapshot: Snapshot, material: StepMaterial, *, has_loss: bool) -> Snapshot | None:
        """Put this process's snapshot together with the others'.

        Args:
            snapshot: Its own.
            material: What it was made from.
            has_loss: It ran a backward pass from a loss.

        Returns:
            The team's snapshot for the process that writes; None for the others, and where the team has fallen apart.
        """
        if self.team is None:
            return None if self.is_silent else snapshot
        own = replace(
            figures_of(snapshot, material, has_loss=has_loss),
            first_bad_loss=self._losses.first_bad_loss,
            last_good_loss=self._losses.last_good_loss,
        )
        step, team = snapshot.step, self.team
        if not team.is_leader:
            self._attempt(step, lambda meeting: meeting.post(step, own.encode()))
            return None
        texts = self._attempt(step, lambda meeting: meeting.collect(step))
        if texts is None:
            return None
        figures = {team.rank: own, **{rank: RankFigures.decode(text) for rank, text in texts.items()}}
        self._tell(step, figures, team)
        return combine(snapshot, figures, len(team.ranks))

    def next_event(self, step: int) -> int:
        """A step has ended: take up the next plan where there was a meeting, and tell the next step of interest."""
        event = self.budget.next_event(step)
        if not self.is_planned:
            return event
        if step == self.meeting_step:
            self._take_up_plan(step)
        meeting_step = self.meeting_step
        return event if meeting_step is None or meeting_step <= step else min(event, meeting_step)

    def _take_up_plan(self, step: int) -> None:
        if self.team is None:
            return
        is_leader = self.team.is_leader
        plan = self._announced if is_leader else self._attempt(step, lambda meeting: meeting.read_plan(step))
        if plan is not None:
            self._plan, self.is_stopping = plan, plan.is_last

    def leave(self, reason: str) -> None:
        """Tell the others that this process measures no more, and why; a second call does nothing."""
        self._joining.stop()
        meeting, self._meeting = self._meeting, None
        if meeting is not None:
            meeting.leave(reason)

    def _step_aside(self) -> None:
        if self._meeting is not None:
            self._meeting.step_aside()

    def _come_back(self) -> None:
        step = self.current_step()
        self._join_count += 1
        self._attempt(step, lambda meeting: meeting.come_back(step, self._join_count))

    def _attempt(self, step: int, action: Callable[[Meeting], Any]) -> Any:
        """Do something with the others; where they are gone, measuring in full ends."""
        if self._meeting is None:
            return None
        try:
            return action(self._meeting)
        except (RanksPartedError, torch.distributed.DistError) as error:
            self._part(step, str(error))
            return None

    def _part(self, step: int, why: str) -> None:
        self.is_parted = True
        self.leave(f"has stopped measuring: {why}")
        text = f"measured together up to step {step}: {why}"
        self.notes.append(text)
        self.sink.add_event(Event(step, "note", text))

    def _tell(self, step: int, figures: dict[int, RankFigures], team: Team) -> None:
        """Write down what processes disagree on; each thing once."""
        text = disagreement(figures)
        if text is not None and text not in self._told:
            self._told.add(text)
            self.sink.add_event(Event(step, "ranks", text))
        batch_sizes = [part.inputs.batch_size for part in figures.values() if part.inputs is not None]
        if batch_sizes:
            self.sink.add_facts({"batch_size": sum(batch_sizes)})
        missing = sorted(unshared_layers(figures, team.leader))
        note = f"run by other ranks only, not measured: {', '.join(missing[:3])}" if missing else None
        if note is not None and note not in self.notes:
            self.notes.append(note)
