"""One chain of causes is one finding, at its root."""

from gradiometer.diagnosing import CONDITIONS
from gradiometer.diagnosing.chains import FOLLOWS_FROM, STATES_FIRST, join_chains
from gradiometer.schema import Cause, Finding


def found(condition, step=0, severity="critical") -> Finding:
    return Finding(condition, severity, ("1",), Cause("unknown", None, ""), (), (), "", step=step)


def names(findings):
    return [(finding.condition, [one.condition for one in finding.consequences]) for finding in findings]


def test_joins_the_chain_of_large_weights_at_its_root():
    chain = [found("stalled", 300), found("stuck", 8), found("vanishing", 8), found("saturated", 1), found("exploding")]
    assert names(join_chains(chain)) == [("exploding", ["saturated", "vanishing", "stuck", "stalled"])]


def test_keeps_apart_what_does_not_follow():
    assert names(join_chains([found("stalled", 0), found("vanishing", 5)])) == [("stalled", []), ("vanishing", [])]


def test_takes_for_the_root_what_set_in_first():
    assert names(join_chains([found("exploding", 2), found("thrashing", 1)])) == [("thrashing", ["exploding"])]
    assert names(join_chains([found("exploding", 1), found("thrashing", 1)])) == [("exploding", ["thrashing"])]


def test_makes_a_root_as_severe_as_what_follows_from_it():
    roots = join_chains([found("dead", 0, "warning"), found("stalled", 300, "critical")])
    assert [root.severity for root in roots] == ["critical"]


def test_lets_nothing_follow_from_a_mere_note():
    roots = join_chains([found("vanishing", 0, "info"), found("stalled", 300)])
    assert names(roots) == [("stalled", []), ("vanishing", [])]


def test_puts_a_note_under_the_root_that_it_follows_from():
    assert names(join_chains([found("vanishing", 0), found("stalled", 300, "info")])) == [("vanishing", ["stalled"])]


def test_gives_nothing_for_nothing():
    assert join_chains([]) == ()


def test_speaks_of_every_condition():
    assert set(FOLLOWS_FROM) == set(STATES_FIRST) == set(CONDITIONS)
    assert set().union(*FOLLOWS_FROM.values()) <= set(CONDITIONS)
