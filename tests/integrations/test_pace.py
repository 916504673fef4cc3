"""gradiometer, where it tells a tracker of a growing run ..."""

import pytest

from gradiometer.integrations.pace import LEAST_NUMBERS, MOST_NUMBERS, Pace


@pytest.mark.parametrize("number_seconds", [1e-6, 1e-4, 1e-3])
def test_keeps_within_its_share_whatever_a_number_costs(number_seconds: float) -> None:
    fixed_seconds, share = 0.02, 0.0025
    pace, spent, looked, looks = Pace(share), 0.0, 0.0, 0
    for tick in range(1, 4001):
        now = 0.5 * tick
        if pace.may_look(now - looked, spent, now):
            seconds = fixed_seconds + number_seconds * min(pace.most_numbers, 3000)
            spent += seconds
            pace.book(seconds)
            looked = now
            looks += 1
            # What a number costs is a guess before the first look alone.
            assert looks == 1 or spent <= share * now
    assert looks >= 10
    assert 0.5 * share * 2000.0 <= spent <= share * 2000.0 or looks >= 80


def test_bounds_what_a_look_tells_of() -> None:
    pace = Pace(0.0025)
    for _ in range(20):
        pace.book(0.0)
    assert pace.most_numbers == MOST_NUMBERS
    for _ in range(20):
        pace.book(10.0)
    assert pace.most_numbers == LEAST_NUMBERS
