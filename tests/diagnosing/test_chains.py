"""One chain of causes is one finding, at its root."""

from gradiometer.diagnosing import CONDITIONS
from gradiometer.diagnosing.chains import FOLLOWS_FROM, LOSSES, PROGRAM_FAULTS, STATES_FIRST, join_chains
from gradiometer.schema import Cause, Finding


def found(condition, step=0, severity="critical", layers=("1",), share_db=None) -> Finding:
    return Finding(condition, severity, layers, Cause("unknown", share_db, ""), (), (), "", step=step)


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


def test_joins_a_large_input_and_all_that_it_brings_about_in_one_finding():
    chain = [
        found("stalled", 300),
        found("stuck", 8),
        found("vanishing", 4),
        found("saturated"),
        found("unscaled_input", 16, "warning"),
    ]
    roots = join_chains(chain)
    assert names(roots) == [("unscaled_input", ["saturated", "vanishing", "stuck", "stalled"])]
    assert roots[0].severity == "critical"


def test_takes_what_the_program_does_wrong_for_the_root_however_late_it_can_be_told():
    assert names(join_chains([found("thrashing", 1), found("accumulating", 30)])) == [("accumulating", ["thrashing"])]


def test_keeps_two_faults_of_the_program_apart():
    roots = join_chains([found("unscaled_input"), found("mismatched_loss"), found("stalled", 300)])
    assert names(roots) == [("mismatched_loss", ["stalled"]), ("unscaled_input", [])]


def test_does_not_blame_a_dead_layer_for_a_gradient_that_is_lost_before_it_arrives_there():
    positions = {"early": 2, "late": 9}
    behind = [found("dead", layers=("late",)), found("vanishing", layers=("early",))]
    before = [found("dead", layers=("early",)), found("vanishing", layers=("late",))]
    assert names(join_chains(behind, positions)) == [("dead", ["vanishing"])]
    assert names(join_chains(before, positions)) == [("dead", []), ("vanishing", [])]
    assert names(join_chains(before)) == [("dead", ["vanishing"])]


def test_counts_the_damage_once_at_the_root():
    root = join_chains([found("exploding", share_db=60.0), found("thrashing", 1, share_db=40.0)])[0]
    assert root.cause.share_db == 60.0
    assert root.consequences[0].cause.share_db is None


def test_speaks_of_every_condition():
    assert set(FOLLOWS_FROM) == set(STATES_FIRST) >= set(CONDITIONS)
    assert len(STATES_FIRST) == len(set(STATES_FIRST))
    assert set().union(*FOLLOWS_FROM.values()) <= set(STATES_FIRST)


def test_lets_nothing_bring_about_what_the_program_does_wrong_and_a_loss_no_state_in_the_same_step():
    assert not set().union(*FOLLOWS_FROM.values()) & set(PROGRAM_FAULTS)
    assert all(STATES_FIRST.index(loss) > STATES_FIRST.index("stuck") for loss in LOSSES)
    assert FOLLOWS_FROM["stalled"] == frozenset()
