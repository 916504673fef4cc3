import threading
import time

import pytest
import torch

from gradiometer.measuring.ranks import Team
from gradiometer.measuring.ranks_meeting import Meeting, Plan, RanksPartedError

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")


@pytest.fixture
def meetings():
    """A leader's and another process's end of one meeting."""
    store = torch.distributed.HashStore()
    return tuple(Meeting(Team(rank, (0, 1)), store, patience_seconds=0.6) for rank in (0, 1))


def test_brings_plans_to_the_others_and_figures_to_the_leader(meetings):
    leader, other = meetings
    leader.announce(3, Plan(8, is_full=True, is_last=True))
    other.post(3, "figures of one")
    assert other.read_plan(3) == Plan(8, is_full=True, is_last=True)
    assert leader.collect(3) == {1: "figures of one"}


def test_leaves_nothing_behind_in_the_store(meetings):
    leader, other = meetings
    for step in range(6):
        leader.announce(step, Plan(step + 1, is_full=True))
        other.post(step, "figures")
        other.read_plan(step)
        leader.collect(step)
    assert leader.store.num_keys() == 1  # the plan of the last step


def test_waits_for_figures_that_come_a_little_later(meetings):
    leader, other = meetings
    timer = threading.Timer(0.3, lambda: other.post(2, "late"))
    timer.start()
    assert leader.collect(2) == {1: "late"}
    timer.join()


def test_gives_up_on_a_process_that_sends_nothing(meetings):
    leader, _ = meetings
    started = time.monotonic()
    with pytest.raises(RanksPartedError, match=r"rank 1 sent nothing for"):
        leader.collect(2)
    assert time.monotonic() - started < 5.0


def test_does_not_wait_for_a_process_that_has_left(meetings):
    leader, other = meetings
    leader.patience_seconds = 60.0
    other.leave("has ended")
    with pytest.raises(RanksPartedError, match="rank 1 has ended"):
        leader.collect(2)


def test_takes_the_figures_of_a_process_that_left_after_it_had_sent_them(meetings):
    leader, other = meetings
    other.post(2, "the last")
    other.leave("has ended")
    assert leader.collect(2) == {1: "the last"}


def test_goes_on_after_inputs_that_ran_out_at_the_same_step(meetings):
    leader, other = meetings
    other.step_aside()
    leader.step_aside()
    thread = threading.Thread(target=other.come_back, args=(10, 1))
    thread.start()
    leader.come_back(10, 1)
    thread.join()
    other.post(11, "again")
    assert leader.collect(11) == {1: "again"}


def test_parts_where_inputs_ran_out_at_different_steps(meetings):
    leader, other = meetings
    other.step_aside()
    with pytest.raises(RanksPartedError, match="rank 1 ran out of inputs before the others"):
        leader.collect(12)
    thread = threading.Thread(target=lambda: pytest.raises(RanksPartedError, other.come_back, 10, 1))
    thread.start()
    with pytest.raises(RanksPartedError, match="rank 0 has taken 13 steps, rank 1 10"):
        leader.come_back(13, 1)
    thread.join()
