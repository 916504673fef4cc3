"""What a loss does over a run, in a few numbers and one word, and from where on it is called what."""

import math
from dataclasses import dataclass
from typing import Literal

LossState = Literal["unseen", "short", "falling", "converged", "flat", "at_chance", "above", "relapsed", "diverging"]

HARMED: frozenset[LossState] = frozenset({"flat", "at_chance", "above", "relapsed", "diverging"})
"""States of a loss that goes nowhere, or the wrong way."""

LEARNING: frozenset[LossState] = frozenset({"falling", "converged"})
"""States in which a network learns or has learned."""


@dataclass(frozen=True, slots=True)
class LossMotion:
    """What a loss does over a run.

    Attributes:
        state: `falling` (so also: has fallen), `converged` (still, and well below what a constant guess gives),
            `flat`, `at_chance` (still, where a constant guess would be), `above` (still, or hardly moving, and worse
            than a constant guess), `relapsed` (was better, and lost it again), `diverging`, `short` (too few steps to
            tell, or too noisy), `unseen`.
        start: Mean of the first recorded losses.
        first: The first recorded loss itself.
        end: Mean of the last recorded losses.
        best: Lowest mean of a fifth of the recorded losses.
        worst: Greatest recorded loss.
        noise: Standard deviation of a single recorded loss about its trend.
        fall_share: Fall from start to end as a share of the start's size; negative for a rise.
        step_count: Steps from the first recorded loss to the last.
        first_step: Step of the first recorded loss.
        best_step: Last step of the fifth with the lowest mean: up to there the run did what it could.
        turn_step: Step from which on half of what it had won at its best is lost again; means little where it fell.
        chance: What a constant guess is known to give, None where it is not known.
        chance_margin: How near to it, as a share, a loss counts as being there; 0 where it is not known.
        possible_chance: What it would be if the loss were a cross-entropy; None where it is known to be another.
        nonfinite_step: First step with a loss that was not finite, None where there was none.
    """

    state: LossState
    start: float = math.nan
    first: float = math.nan
    end: float = math.nan
    best: float = math.nan
    worst: float = math.nan
    noise: float = math.nan
    fall_share: float = math.nan
    step_count: int = 0
    first_step: int = 0
    best_step: int = 0
    turn_step: int = 0
    chance: float | None = None
    chance_margin: float = 0.0
    possible_chance: float | None = None
    nonfinite_step: int | None = None

    @property
    def is_harmed(self) -> bool:
        """The loss goes nowhere, or the wrong way."""
        return self.state in HARMED or self.nonfinite_step is not None

    @property
    def is_learning(self) -> bool:
        """The loss falls, has fallen, or is as low as it gets."""
        return self.state in LEARNING and self.nonfinite_step is None

    @property
    def gain_share(self) -> float | None:
        """How much better than a constant guess the loss ends, as a share of it; None where that is not known."""
        return None if self.chance is None else (self.chance - self.end) / self.chance

    def is_settled(self, share: float) -> bool:
        """Whether a loss that is learned has come far down.

        Args:
            share: Share of its start, or of what a constant guess may give where that is less, to which it has to
                have come.
        """
        guesses = [guess for guess in (self.chance, self.possible_chance) if guess is not None]
        reference = min(self.start, guesses[0]) if guesses else self.start
        return self.is_learning and (self.state == "converged" or self.end <= share * reference)

    @property
    def text(self) -> str:
        """The loss in half a sentence."""
        if math.isnan(self.start):
            seen = "no loss was seen"
            return seen if self.nonfinite_step is None else f"the loss is not finite from step {self.nonfinite_step} on"
        words = f"the loss went from {self.start:.4g} to {self.end:.4g} in {self.step_count} steps"
        if self.worst > 3.0 * abs(self.first) and self.worst > self.end:
            words = (
                f"the loss began at {self.first:.4g}, jumped to {self.worst:.4g} and ended at {self.end:.4g} "
                f"after {self.step_count} steps"
            )
        if self.chance is not None and self.state in {"at_chance", "flat", "above"}:
            words += f" (a constant guess gives {self.chance:.4g})"
        return words


@dataclass(frozen=True, slots=True)
class LossLimits:
    """From where on a loss is called what; chosen by us on the calibration trainings in docs/log.md.

    Attributes:
        least_steps: Steps below which a loss that lies still says nothing: three sigmoid layers that learn well lie
            still for 250.
        least_fall: Least fall, as a share of the start, that counts as learning; fitting the output bias alone gives
            up to 2 % on ten balanced classes.
        least_sigmas: Least fall, and least relapse, in standard errors; four leave one false alarm in 16 000.
        most_error: Standard error of the end, as a share of it, above which noise hides whether a loss lies still; a
            fall of a tenth would be seen at half of that.
        chance_margin: How near, as a share, a loss has to be to that of a constant guess to count as being there,
            unless it is below it by more than noise can and by a fifth of this; more where few targets were seen.
        learned_share: Share of that value below which the network has certainly learned something.
        least_gain: Gain over a constant guess, as a share of it, that is worth nothing if it is all that came of
            `patience` steps and no more is coming.
        patience: Steps after which so small a gain is the end of it.
        most_rise: Rise, as a factor, from which on a loss diverges.
        relapse_share: Part of its gain that a loss must have lost again to have relapsed; where it is still well
            below a constant guess, and so still learned.
    """

    least_steps: int = 300
    least_fall: float = 0.03
    least_sigmas: float = 4.0
    most_error: float = 0.05
    chance_margin: float = 0.05
    learned_share: float = 0.8
    least_gain: float = 0.03
    patience: int = 1000
    most_rise: float = 1.5
    relapse_share: float = 0.7


DEFAULT_LIMITS = LossLimits()
