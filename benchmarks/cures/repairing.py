"""AUTOTRAINER's repair of a training: fixes in its published order, one retraining each, until its symptom is gone.

The order is that of its strategy `balance`, its default. A fix that changes the network or the optimizer is one of
gradiometer's cures, with the setting that AUTOTRAINER takes; one that changes the script is an option of `script.py`.
What it draws at random is drawn from the training's number. Three of its fixes have no counterpart and are left out:
Adamax, ThresholdedReLU, and a bias drawn from an initializer.

As it does, a retraining ends at its first symptom. One without any is the repair. Where none is, the best of those
that show another symptom is gone on from with the fixes for that one, until a symptom comes again.

Source:
    Zhang et al., "AUTOTRAINER: an automatic DNN training problem detection and repair system", ICSE 2021; its repair.py
    and modules.py.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.cures.records import Ended


@dataclass(frozen=True, slots=True)
class Fix:
    """What one retraining changes.

    Attributes:
        cures: Labels of cures.
        options: Options of `script.py`.
    """

    cures: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def after(self, earlier: "Fix") -> "Fix":
        """The same on top of an earlier one."""
        return Fix((*earlier.cures, *self.cures), (*earlier.options, *self.options))


def of_cures(*labels: str) -> tuple[Fix, ...]:
    """One fix for each label; a `+` joins parts."""
    return tuple(Fix(tuple(label.split("+"))) for label in labels)


SELU = of_cures("exchange_activation:selu+redraw_weights:lecun")
RELU = of_cures("exchange_activation:relu+redraw_weights:he")
TANH = of_cures("exchange_activation:tanh+redraw_weights:he")
NORM = of_cures("insert_normalisation:batch")
CLIP = of_cures("clip_gradients:value=9.3", "clip_gradients:value=9.7")
LEAKY = of_cures("exchange_activation:leaky_relu", "exchange_activation:elu")
ADAM = of_cures("exchange_optimizer:adam")
DRAWS = ("he", "lecun", "glorot")
OPTIMIZERS = ("sgd", "adam", "nadam", "rmsprop")
PLATEAU = (Fix(options=("--plateau",)),)
NOISE = (Fix(options=("--noise", "0.1")),)
BATCHES = tuple(Fix(options=("--batch", str(32 * 2**rank))) for rank in range(4))


def strategy(symptom: str, optimizer: str, chance: random.Random) -> tuple[Fix, ...]:
    """The fixes for a symptom, in order.

    Args:
        symptom: What `symptoms.symptom_of` gives.
        optimizer: The training's: it decides about the rates that are tried, and is itself no choice.
        chance: What is drawn from.
    """
    draws = of_cures(*(f"redraw_weights:{scheme}" for scheme in chance.sample(DRAWS, 3)))
    others = [name for name in OPTIMIZERS if name != {"momentum": "sgd"}.get(optimizer, optimizer)]
    exchanges = of_cures(*(f"exchange_optimizer:{name}" for name in chance.sample(others, 3)))
    momenta = tuple(Fix(options=("--momentum", f"{chance.uniform(0.01, 0.9):.2f}")) for _ in range(3))
    start = 0.01 if optimizer in ("sgd", "momentum") else 0.001
    higher, lower = (
        of_cures(*(f"change_learning_rate:={start * base**rank:g}" for rank in range(3))) for base in (10.0, 0.1)
    )
    own_adam = ADAM if optimizer != "adam" else ()
    return {
        "vanish": (*SELU, *RELU, *NORM),
        "explode": (*SELU, *RELU, *CLIP, *TANH, *NORM),
        "relu": (*SELU, *NORM, *draws, *LEAKY),
        "unstable": (*own_adam, *lower, *PLATEAU, *BATCHES, *momenta, *NOISE, *draws),
        "not_converge": (*exchanges, *higher, *draws),
    }[symptom]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One training of a repair.

    Attributes:
        fix: What it changed.
        ended: Where it ended; None where the fix could not be made, or the training failed.
    """

    fix: Fix
    ended: Ended | None


@dataclass(frozen=True, slots=True)
class Repair:
    """What came of a repair.

    Attributes:
        symptom: The first training's symptom; empty where it saw none, and so repaired nothing.
        fix: What it hands back: the repair, or where there is none the most accurate of what was tried.
        attempts: All trainings, the untouched one first.
        is_solved: A retraining showed no symptom.
    """

    symptom: str
    fix: Fix
    attempts: tuple[Attempt, ...]
    is_solved: bool = False


def repair(train: Callable[[Fix], Ended | None], optimizer: str, chance: random.Random) -> Repair:
    """Repair a training.

    Args:
        train: Trains with a fix and tells where it ended.
        optimizer: As in `strategy`.
        chance: Likewise.
    """
    attempts = [Attempt(Fix(), train(Fix()))]
    first = symptom_after(attempts[0])
    symptom, base, solved = first, Fix(), set()
    while symptom and symptom not in solved:
        solved.add(symptom)
        tried: list[Attempt] = []
        for fix in strategy(symptom, optimizer, chance):
            tried.append(Attempt(fix.after(base), train(fix.after(base))))
            if not symptom_after(tried[-1]):
                return Repair(first, tried[-1].fix, (*attempts, *tried), is_solved=True)
        attempts += tried
        changed = [attempt for attempt in tried if attempt.ended and attempt.ended.symptom != symptom]
        if changed:
            best = max(changed, key=standing_of)
            symptom, base = symptom_after(best), best.fix
    best = max(attempts, key=standing_of)
    return Repair(first, best.fix, tuple(attempts))


def symptom_after(attempt: Attempt) -> str:
    """A training's symptom; one that failed counts as exploded."""
    return "explode" if attempt.ended is None else attempt.ended.symptom


def standing_of(attempt: Attempt) -> tuple[float, float]:
    """What the best is chosen by: accuracy, and where there is none the loss."""
    if attempt.ended is None:
        return float("-inf"), float("-inf")
    return attempt.ended.accuracy or 0.0, -attempt.ended.loss
