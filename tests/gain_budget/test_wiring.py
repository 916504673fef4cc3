"""Who feeds whom inside a block, told from norms alone."""

import math

from gradiometer.gain_budget.wiring import TOP, Edge, Norms, find_wiring


def test_finds_a_chain_beside_a_skip():
    wiring = find_wiring([Norms(0.5, 0.3), Norms(1.0, 0.5)], 1.0, math.sqrt(1.0 + 0.09))
    assert wiring.edges == [(Edge(1),), (Edge(TOP),)]
    assert wiring.bottom == (Edge(0), Edge(TOP, is_through=False))


def test_finds_no_skip_where_layers_hand_back_all_there_is():
    wiring = find_wiring([Norms(1.0, 0.6), Norms(1.0, 0.8)], 1.0, 1.0)
    assert wiring.bottom == (Edge(0), Edge(1))


def test_finds_two_sums_one_after_another():
    # x + first(x), and to that second(...): at the first sum stand the squares of both.
    first_sum = math.sqrt(1.0 + 0.25)
    wiring = find_wiring([Norms(first_sum, 0.3), Norms(1.0, 0.5)], 1.0, math.sqrt(1.25 + 0.09))
    assert wiring.edges == [(Edge(1), Edge(TOP)), (Edge(TOP),)]
    assert wiring.bottom == (Edge(0), Edge(0, is_through=False))


def test_gives_two_terms_of_one_sum_the_same_readers():
    wiring = find_wiring([Norms(0.7, 0.2), Norms(0.7, 0.3), Norms(1.0, 0.7)], 1.0, math.hypot(0.2, 0.3))
    assert wiring.edges[0] == wiring.edges[1] == (Edge(2),)


def test_lets_a_layer_of_several_inputs_feed_those_that_nobody_else_does():
    attention = Norms(1.0, 0.1, reads_several=True)
    wiring = find_wiring([Norms(0.4, 0.2), attention], 1.0, 0.2)
    assert wiring.edges[0] == (Edge(1, gain_db=20.0 * math.log10(0.4)),)


def test_takes_a_part_of_the_output_for_what_it_is():
    wiring = find_wiring([Norms(0.4, 0.2), Norms(0.8, 0.1)], 1.0, math.hypot(0.2, 0.1))
    assert wiring.edges[0] == (Edge(TOP, gain_db=20.0 * math.log10(0.4)),)
    assert not wiring.edges[0][0].is_own_gain
