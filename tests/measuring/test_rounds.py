"""Rounds of several optimizers."""

import torch

from gradiometer.measuring.rounds import Rounds


def ends(order: str) -> str:
    """Steps of optimizers by letter; upper case where the step ends a round."""
    optimizers = {letter: torch.optim.SGD([torch.zeros(1)], lr=0.1) for letter in set(order)}
    rounds = Rounds()
    return "".join(c.upper() if rounds.ends_with(optimizers[c], len(optimizers)) else c for c in order)


def test_one_optimizer_ends_every_step() -> None:
    assert ends("aaaa") == "AAAA"


def test_a_round_of_two_ends_with_the_second_once_it_is_known() -> None:
    assert ends("dgdgdg") == "DgdGdG"


def test_a_critic_that_steps_more_often_belongs_to_the_round() -> None:
    assert ends("dddgdddgdddg") == "DDDgdddGdddG"


def test_an_optimizer_for_each_layer_ends_with_the_last() -> None:
    assert ends("abcabcabc") == "AbcabCabC"


def test_a_phase_that_leaves_the_first_optimizer_behind_is_followed() -> None:
    assert ends("aaa" + "b" * 20).endswith("BBBB")


def test_an_optimizer_that_is_gone_leads_no_more() -> None:
    rounds = Rounds()
    weight = torch.zeros(1)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    assert rounds.ends_with(optimizer, 1)
    optimizer = torch.optim.SGD([weight], lr=0.2)
    assert rounds.ends_with(optimizer, 1)
    assert rounds.leader is optimizer
