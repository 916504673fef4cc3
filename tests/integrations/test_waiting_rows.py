"""Rows that wait for the script's own rows: at most one is laid into each, and none that the script logs itself."""

from gradiometer.integrations.scalars import Row
from gradiometer.integrations.waiting import MOST_WAITING, Waiting
from gradiometer.schema import OctaveHistogram


class Script:
    """A script's row that others are laid into."""

    def __init__(self) -> None:
        self.step = 0
        self.laid: list[tuple[int, Row]] = []

    def waiting(self) -> Waiting:
        return Waiting(lambda: self.step, lambda row: self.laid.append((self.step, row)))


def full(step: int) -> Row:
    return Row(step, {"gradiometer/loss": 1.0, "gradiometer/level_at_input_db": -float(step)})


def test_lays_one_row_into_each_row_of_the_script() -> None:
    script = Script()
    waiting = script.waiting()
    waiting.add([full(0), full(1), full(2)])
    waiting.tick()
    assert [(at, row.step) for at, row in script.laid] == [(0, 0)]
    script.step = 7
    waiting.tick()
    waiting.tick()
    assert [(at, row.step) for at, row in script.laid] == [(0, 0), (7, 1)]


def test_lays_no_row_of_a_step_that_only_the_script_s_own_numbers_are_known_of() -> None:
    script = Script()
    waiting = script.waiting()
    waiting.add([Row(1, {"gradiometer/loss": 1.0, "gradiometer/learning_rate": 0.1}), full(2)])
    assert [row.step for _, row in script.laid] == [2]


def test_lays_what_still_waits_as_one_row_in_which_the_newest_numbers_count() -> None:
    script = Script()
    waiting = script.waiting()
    older, newer = (OctaveHistogram("0.weight", "gradient", -3, (count,), sample_size=count) for count in (5, 9))
    waiting.add([full(0), Row(1, {"gradiometer/dead_share": 0.5, "gradiometer/level_at_input_db": -1.0}, (older,))])
    waiting.add([Row(2, {"gradiometer/level_at_input_db": -2.0}, (newer,))])
    waiting.finish()
    waiting.finish()
    (_, first), (_, last) = script.laid
    assert first.step == 0
    assert last == Row(2, {"gradiometer/dead_share": 0.5, "gradiometer/level_at_input_db": -2.0}, (newer,))


def test_leaves_out_the_oldest_where_a_script_logs_too_rarely() -> None:
    script = Script()
    waiting = script.waiting()
    waiting.add([full(step) for step in range(MOST_WAITING + 10)])
    script.step = 1
    waiting.tick()
    assert [row.step for _, row in script.laid] == [10, 11]
