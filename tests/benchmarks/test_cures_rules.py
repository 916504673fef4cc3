"""AUTOTRAINER's symptoms and repairs, as gradiometer's benchmark of cures has them."""

import random

import numpy as np
import pytest

from benchmarks.cures.records import Ended
from benchmarks.cures.repairing import Fix, repair, strategy
from benchmarks.cures.symptoms import is_checked, symptom_of
from benchmarks.truth.collecting import LAYER_NAMES, Collected
from gradiometer.curing import parse_cure

STEPS = 100
SYMPTOMS = ("vanish", "explode", "relu", "unstable", "not_converge")


def seen(accuracies: np.ndarray, norms: tuple[float, float] = (1.0, 1.0), zeros: float = 0.0, loss: float = 1.0):
    """What was collected where nothing but these changes; a step is collected every ten."""
    count = len(accuracies) // 10
    layers = {name: np.ones((count, 2)) for name in LAYER_NAMES}
    layers |= {"gradient_norm": np.tile(norms, (count, 1)), "gradient_zeros": np.full((count, 2), zeros)}
    losses = np.full(len(accuracies), loss)
    return Collected(np.arange(count), layers, {}, (), np.zeros(count, dtype=bool), losses, np.asarray(accuracies))


def test_looks_every_third_epoch_and_at_the_end():
    assert [step for step in range(STEPS) if is_checked(step, STEPS)] == [4, 19, 34, 49, 64, 79, 94, 99]


@pytest.mark.parametrize(
    ("collected", "symptom"),
    [
        (seen(np.linspace(0.2, 0.95, STEPS)), ""),
        (seen(np.linspace(0.2, 0.95, STEPS), loss=np.nan), "explode"),
        (seen(np.linspace(0.2, 0.95, STEPS), loss=2e3), "explode"),
        (seen(np.full(STEPS, 0.2)), "not_converge"),
        (seen(np.full(STEPS, 0.2), norms=(1e-5, 1.0)), "vanish"),
        (seen(np.full(STEPS, 0.2), norms=(1e-5, 1e-3)), "not_converge"),
        (seen(np.full(STEPS, 0.2), norms=(71.0, 1.0)), "explode"),
        (seen(np.full(STEPS, 0.2), norms=(71.0, 1.0), zeros=0.7), "relu"),
        (seen(np.linspace(0.2, 0.95, STEPS), norms=(71.0, 1.0), zeros=0.7), ""),
        (seen(0.8 + 0.1 * np.sign(np.sin(np.arange(STEPS) * np.pi / 5 + 0.1))), "unstable"),
        (seen(np.full(20, 0.2)), ""),
        (seen(np.full(20, 0.2), loss=np.inf), "explode"),
        (seen(np.full(STEPS, np.nan)), ""),
    ],
)
def test_sees_the_symptom_that_is_treated_first(collected: Collected, symptom: str):
    assert symptom_of(collected, STEPS) == symptom


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_repairs_by_cures_that_there_are(symptom: str, optimizer: str):
    fixes = strategy(symptom, optimizer, random.Random(0))
    assert all(fix.cures or fix.options for fix in fixes)
    for label in (label for fix in fixes for label in fix.cures):
        assert parse_cure(label).label == label
    assert fixes == strategy(symptom, optimizer, random.Random(0))
    assert Fix((f"exchange_optimizer:{optimizer}",)) not in fixes


def test_stops_at_the_first_fix_after_which_no_symptom_is_seen():
    asked: list[Fix] = []

    def train(fix: Fix) -> Ended:
        asked.append(fix)
        return Ended(1.0, 0.5, "" if "insert_normalisation:batch" in fix.cures else "vanish")

    found = repair(train, "sgd", random.Random(0))
    assert (found.symptom, found.is_solved, found.fix.cures) == ("vanish", True, ("insert_normalisation:batch",))
    assert [fix.cures[0] for fix in asked[1:]] == [
        "exchange_activation:selu",
        "exchange_activation:relu",
        "insert_normalisation:batch",
    ]


def test_leaves_a_training_alone_in_which_it_sees_nothing():
    found = repair(lambda fix: Ended(1.0, 0.5), "sgd", random.Random(0))
    assert (found.symptom, found.is_solved, len(found.attempts)) == ("", False, 1)


def test_goes_on_from_the_best_of_those_with_another_symptom_and_hands_back_the_most_accurate():
    def train(fix: Fix) -> Ended | None:
        if not fix.cures:
            return Ended(1.0, 0.2, "vanish")
        if fix.cures[0] == "insert_normalisation:batch":
            return None
        return Ended(1.0, 0.6 if "redraw_weights:he" in fix.cures else 0.5, "not_converge")

    found = repair(train, "sgd", random.Random(0))
    relu = ("exchange_activation:relu", "redraw_weights:he")
    assert not found.is_solved
    assert found.fix.cures[:2] == relu
    later = [attempt.fix for attempt in found.attempts[4:]]
    assert len(later) == 9
    assert all(fix.cures[:2] == relu for fix in later)
    assert found.attempts[3].ended is None
