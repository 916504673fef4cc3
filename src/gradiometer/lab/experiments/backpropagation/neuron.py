"""One neuron that starts out badly wrong: why the quadratic cost learns slowly, and the cross-entropy does not.

A sigmoid neuron with one input, which is 1, is to answer 0. Started at weight and bias 2 it answers 0.98: there the
sigmoid is flat, and the quadratic cost's gradient (a - y) f'(z) has that flatness as a factor. The cross-entropy's
gradient is a - y alone.

Source:
    M. Nielsen, "Neural Networks and Deep Learning", 2015, chapter 3, "The cross-entropy cost function": rate 0.15, 300
    steps.
"""

import numpy as np

from gradiometer.lab.experiments.chapter import Chapter
from gradiometer.lab.networks.feed_forward import Cost, FeedForward, backward, descend, forward
from gradiometer.schema import Chart, Line, Row, Section

RATE = 0.15
STEPS = 300
GOOD_START, BAD_START = (0.6, 0.9), (2.0, 2.0)
"""Weight and bias that the book starts at."""

BOOK = "Nielsen 2015, chapter 3"

ROWS: dict[str, Row] = {
    "good": Row(
        "one neuron, quadratic cost, start (0.6, 0.9): answer after 300 steps", "0.09", 0.085, 0.095, BOOK, "remembered"
    ),
    "bad": Row(
        "one neuron, quadratic cost, start (2, 2): answer after 300 steps", "0.20", 0.195, 0.205, BOOK, "remembered"
    ),
}  # fmt: skip
"""What the book prints, to the rounding of its last digit."""


def train_neuron(start: tuple[float, float], cost: Cost) -> tuple[float, ...]:
    """What the neuron answers before every step, and behind the last."""
    weight, bias = start
    network = FeedForward((1, 1), [np.full((1, 1, 1), weight)], [np.full((1, 1, 1), bias)], cost=cost)
    example, wanted = np.ones((1, 1, 1)), np.zeros((1, 1, 1))
    answers = []
    for _ in range(STEPS):
        passed = forward(network, example)
        answers.append(float(passed.output.item()))
        descend(network, backward(network, passed, wanted), RATE)
    return (*answers, float(forward(network, example).output.item()))


def neuron_chapter() -> Chapter:
    """The neuron's way down under both costs, from both starts."""
    good, bad = train_neuron(GOOD_START, "quadratic"), train_neuron(BAD_START, "quadratic")
    entropy = train_neuron(BAD_START, "cross_entropy")
    steps = tuple(map(float, range(STEPS + 1)))
    half = [next(place for place, answer in enumerate(answers) if answer < 0.5) for answers in (bad, entropy)]
    section = Section(
        "A neuron that is badly wrong",
        (
            "One sigmoid neuron gets the input 1 and is to answer 0. A child that is badly wrong learns fast; this "
            f"neuron does not: started at an answer of {bad[0]:.2f} it takes {half[0]} steps under the quadratic cost "
            f"until it answers less than a half. The gradient of the quadratic cost is (a - y) f'(z), and where the "
            f"sigmoid is flat, f' is small: {bad[0] * (1 - bad[0]):.3f} here, of at most 0.25. The cross-entropy is "
            "made so that this factor cancels: its gradient is a - y, the greater the wronger. From the same start it "
            f"takes {half[1]} steps.",
            Chart(
                "The answer on its way to 0",
                "A flat piece at the start is a neuron that learns slowly because it is badly wrong.",
                "step",
                "answer",
                (
                    Line("quadratic, start (0.6, 0.9)", steps, good),
                    Line("quadratic, start (2, 2)", steps, bad),
                    Line("cross-entropy, start (2, 2)", steps, entropy),
                ),
            ),
        ),
    )
    sentence = (
        f"A neuron that starts out wrong by {bad[0]:.2f} needs {half[0]} steps to answer less than a half under the "
        f"quadratic cost, and {half[1]} under the cross-entropy."
    )
    return Chapter((section,), (ROWS["good"].filled(good[-1]), ROWS["bad"].filled(bad[-1])), sentence)
