from itertools import combinations

import numpy as np
import pytest

from gradiometer.showing.palette import (
    CAUSE_COLOURS,
    CAUSE_WORDS,
    CONTROL_COLOUR,
    DARK_GROUND,
    DEPTH_SCALE,
    FRONTIER_COLOUR,
    LIGHT_GROUND,
    LINE_COLOURS,
    MARK_COLOUR,
    TEXT_COLOUR,
    TREATED_COLOUR,
    channels,
)

DRAWN_COLOURS = {
    *LINE_COLOURS,
    *CAUSE_COLOURS.values(),
    *(colour for _, colour in DEPTH_SCALE),
    CONTROL_COLOUR,
    FRONTIER_COLOUR,
    MARK_COLOUR,
    TEXT_COLOUR,
    TREATED_COLOUR,
}

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009,
# severity 1.0, on linear light.
SEEN_BY = {
    "full colour": np.eye(3),
    "red-blind": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "green-blind": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def linear_light(colour: str) -> np.ndarray:
    value = np.array(channels(colour)) / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((float(linear_light(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def lab(light: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = to_xyz @ np.clip(light, 0.0, 1.0) / np.array([0.9505, 1.0, 1.089])
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("ground", [LIGHT_GROUND, DARK_GROUND])
@pytest.mark.parametrize("colour", sorted(DRAWN_COLOURS))
def test_draws_in_colours_that_stand_out_from_light_and_dark_pages(colour: str, ground: str) -> None:
    assert contrast(colour, ground) >= 3.0


@pytest.mark.parametrize("reader", sorted(SEEN_BY))
def test_keeps_causes_apart_for_every_reader(reader: str) -> None:
    seen = {cause: lab(SEEN_BY[reader] @ linear_light(colour)) for cause, colour in CAUSE_COLOURS.items()}
    for one, other in combinations(seen, 2):
        # 20 is about eight times the least difference that can be seen side by side (2.3, Mahy et al. 1994).
        assert np.linalg.norm(seen[one] - seen[other]) > 20.0, (one, other)


@pytest.mark.parametrize("reader", sorted(SEEN_BY))
def test_keeps_lines_apart_for_every_reader(reader: str) -> None:
    seen = [lab(SEEN_BY[reader] @ linear_light(colour)) for colour in LINE_COLOURS]
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 20.0


def test_has_a_word_for_every_coloured_cause() -> None:
    assert CAUSE_WORDS.keys() == CAUSE_COLOURS.keys()
