"""The lab: the field's classic systems and results, small enough for a laptop, published beside measured.

`EXPERIMENTS` is the whole list. An experiment is a folder of `gradiometer.lab.experiments` with the experiment's name;
its file `experiment.py` has a function `conduct`, from a `Bench` to an `ExperimentReport`. Nothing is drawn here: a
report holds text and numbers, and `gradiometer.showing` makes a page of them.
"""

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, cast

from gradiometer.errors import SettingsError

if TYPE_CHECKING:
    from gradiometer.lab.bench import Bench
    from gradiometer.schema import ExperimentReport

EXPERIMENTS: dict[str, str] = {
    "backpropagation": "How well does a network learn by backpropagation written out, and how fast?",
    "learning-speeds": "How much slower do early layers learn than late ones?",
    "descent": "What do batch size and learning rate do to the way down the cost surface?",
    "activations": "What do activation functions pass on, where do they saturate, when do their units die?",
    "product": "Why is the gradient of an early weight a product, and what balances it?",
    "initialisation": "How deep can a network be trained, and how does that depend on its first weights?",
    "memory": "How far back does a recurrent network remember, and which one learns to?",
    "pretraining": "Does learning layer by layer first rescue a deep network?",
    "faces": "What do early and late layers see, in a healthy network and in a starved one?",
    "hyper-parameters": "How far does the field's procedure for finding hyper-parameters get, beside a random search?",
}
"""Every experiment and the question that it answers, in the order in which they are best read."""

__all__ = ["EXPERIMENTS", "load_experiment"]


def load_experiment(name: str) -> "Callable[[Bench], ExperimentReport]":
    """The function that conducts an experiment.

    Args:
        name: A key of `EXPERIMENTS`.

    Raises:
        SettingsError: There is no such experiment; the message names the nearest.
    """
    if name not in EXPERIMENTS:
        near = get_close_matches(name, EXPERIMENTS, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"choose {', '.join(EXPERIMENTS)}."
        raise SettingsError(f"There is no experiment {name!r}; {meant}")
    module = import_module(f"gradiometer.lab.experiments.{name.replace('-', '_')}.experiment")
    return cast("Callable[[Bench], ExperimentReport]", module.conduct)
