import io

import pytest
from rich.console import Console

from gradiometer.showing.theory_words import counted, print_expectation, verdict_of
from gradiometer.theory.expectation import Expectation, expect, plan_network


def printed(expected: Expectation) -> str:
    """What a terminal of 100 columns shows."""
    stream = io.StringIO()
    print_expectation(expected, Console(file=stream, width=100, highlight=False, markup=False))
    return stream.getvalue()


def test_puts_the_verdict_first_and_every_number_on_one_screen() -> None:
    text = printed(expect(plan_network("tanh", 1.3, 0.2236, depth=500, width=300)))
    words = ("ORDERED: gradients vanish", "halves every 89 layers", "500 layers are more", "q*", "xi_q", "chi_1")
    words += ("xi_gradient", "c*", "xi_c", "edge of chaos", "sigma_w 1.3270", "How deep", "6 xi_c", "Learning rate")
    places = [text.index(word) for word in words]
    assert places == sorted(places)
    assert len(text.splitlines()) <= 35


def test_names_the_tightest_limit() -> None:
    assert "300 layers (the width)" in verdict_of(expect(plan_network("tanh", 1.3, 0.2236, width=300)))
    assert "384 layers (6 xi_c)" in verdict_of(expect(plan_network("tanh", 1.3, 0.2236, width=3000)))
    assert "384 layers (6 xi_c); 100 layers are less" in verdict_of(
        expect(plan_network("tanh", 1.3, 0.2236, depth=100))
    )
    assert "limit" not in verdict_of(expect(plan_network("tanh", depth=100)))


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (("relu",), {}, "become alike slowly, by no fixed factor"),
        (("relu", 1.2), {}, "The signal fades with every layer"),
        (("relu", 1.6), {}, "The signal grows without end"),
        (("tanh",), {}, "The signal fades slowly"),
        (("tanh", 2.0, 0.3), {}, "end up at a correlation of 0.264"),
        (("tanh", 1.3, 0.2), {"dropout": 0.1}, "dropout leaves none"),
        (("tanh", 2.0, 0.3), {"is_recurrent": True}, "shared through time"),
        (("tanh", 2.0, 0.3), {"is_recurrent": True}, "below 1 every gradient vanishes"),
        (("tanh", 2.0, 0.3), {"depth": 100}, "None is suggested beyond six depth scales"),
        (("tanh", 1.0), {"is_orthogonal": True}, "100 layers of orthogonal weights; 100 with Gaussian"),
        (("sigmoid",), {}, "Each bias is -0.5 times the sum"),
    ],
)
def test_says_what_becomes_of_signal_and_gradient(arguments: tuple, settings: dict, words: str) -> None:
    assert words in " ".join(printed(expect(plan_network(*arguments, **settings))).replace("│", " ").split())


def test_counts_in_the_right_unit() -> None:
    assert (counted(float("nan"), "layer"), counted(3.0, "step"), counted(12.6, "layer")) == (
        "–",
        "3 steps",
        "13 layers",
    )
