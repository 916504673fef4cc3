"""What counts as cured, fixed before the first whole run, and the rates that follow.

- A training with a fault is *faulty* if it is so whatever the seed: by the rule of the truth benchmark, which goes by
  one seed, in the mean over the five fresh seeds. What is not harmed in that mean counts nowhere, and how many there
  are of it is printed.
- A training is *cured* if `gradiometer cure` calls a cure better and its end is as good as a healthy one: over five
  whole trainings with fresh seeds, the mean loss on training examples is no higher than the highest, or the mean
  accuracy no lower than the lowest, of five trainings of the healthy twin. AUTOTRAINER's is cured by the same end,
  whether or not its own symptom is gone.
- A cure that is called better is *confirmed* if the comparison by the same rule on the fresh seeds calls it better too.
- A healthy twin is left alone if no cure is recommended.

What counts as an end is that of `benchmarks.truth.results`: the mean of the last three evaluations.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from benchmarks.cures.records import Case, Ended
from benchmarks.truth.judging import Rate, rate_of
from benchmarks.truth.results import WORSE_BY


def is_as_healthy(ends: Sequence[Ended], twins: Sequence[Ended]) -> bool:
    """Whether trainings ended within the range of the healthy twin's, or better; of none the answer is no."""
    if not ends or not twins:
        return False
    if fmean(end.loss for end in ends) <= max(twin.loss for twin in twins):
        return True
    reached = [end.accuracy for end in ends if end.accuracy is not None]
    healthy = [twin.accuracy for twin in twins if twin.accuracy is not None]
    return len(reached) == len(ends) and len(healthy) == len(twins) and fmean(reached) >= min(healthy)


def is_faulty(case: Case) -> bool:
    """Whether it has a fault that does harm under the fresh seeds."""
    if not case.fault:
        return False
    untouched, twin = (fmean(end.loss for end in ends) for ends in (case.untouched, case.twins))
    return untouched >= twin + WORSE_BY


def is_proved(case: Case) -> bool:
    """Whether a cure was called better."""
    return case.treated.outcome == "better"


def is_cured(case: Case) -> bool:
    """Whether it was proved, and ends as a healthy training."""
    return is_proved(case) and is_as_healthy(case.treated.ends, case.twins)


def is_repaired(case: Case) -> bool:
    """Whether what AUTOTRAINER hands back ends as a healthy training."""
    return is_as_healthy(case.repaired.ends, case.twins)


@dataclass(frozen=True, slots=True)
class Times:
    """How long it took.

    Attributes:
        median_seconds: Half of them took no longer; nan of none.
        tail_seconds: Nine tenths of them took no longer; nan of none.
    """

    median_seconds: float
    tail_seconds: float


def times_of(seconds: Iterable[float]) -> Times:
    """The times of some cases."""
    values = list(seconds)
    if not values:
        return Times(float("nan"), float("nan"))
    return Times(median(values), float(np.quantile(values, 0.9)))


@dataclass(frozen=True, slots=True)
class Scores:
    """All rates.

    Attributes:
        cured: Faulty trainings that are proved cured and end as healthy ones.
        proved: Faulty trainings of which a cure is called better, wherever they end.
        repaired: Faulty trainings that end as healthy ones under AUTOTRAINER's repair.
        noticed: Faulty trainings in which it saw a symptom.
        solved: Faulty trainings that it hands back as repaired, wherever they end.
        recommended: Healthy twins for which a cure is called better.
        alarmed: Healthy twins in which AUTOTRAINER sees a symptom.
        confirmed: Cures called better, of any training here, that fresh seeds call better.
        times: Seconds of `gradiometer cure` on faulty trainings.
        cured_times: The same where they are cured.
        repair_times: Seconds of AUTOTRAINER's repair on faulty trainings.
        repaired_times: The same where they are cured by it.
    """

    cured: Rate
    proved: Rate
    repaired: Rate
    noticed: Rate
    solved: Rate
    recommended: Rate
    alarmed: Rate
    confirmed: Rate
    times: Times
    cured_times: Times
    repair_times: Times
    repaired_times: Times


def score(cases: Sequence[Case]) -> Scores:
    """Rates and times over all cases."""
    faulty, healthy = [case for case in cases if is_faulty(case)], [case for case in cases if not case.fault]
    return Scores(
        cured=rate_of(map(is_cured, faulty)),
        proved=rate_of(map(is_proved, faulty)),
        repaired=rate_of(map(is_repaired, faulty)),
        noticed=rate_of(bool(case.repaired.symptom) for case in faulty),
        solved=rate_of(case.repaired.is_solved for case in faulty),
        recommended=rate_of(map(is_proved, healthy)),
        alarmed=rate_of(bool(case.repaired.symptom) for case in healthy),
        confirmed=rate_of(case.treated.confirmation == "better" for case in cases if is_proved(case)),
        times=times_of(case.treated.seconds for case in faulty),
        cured_times=times_of(case.treated.seconds for case in faulty if is_cured(case)),
        repair_times=times_of(case.repaired.seconds for case in faulty),
        repaired_times=times_of(case.repaired.seconds for case in faulty if is_repaired(case)),
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One class of faulty trainings.

    Attributes:
        name: Its name.
        cured: As in `Scores`.
        proved: Likewise.
        repaired: Likewise.
        times: Likewise.
        winners: Cures called better, with their number, the most frequent first.
    """

    name: str
    cured: Rate
    proved: Rate
    repaired: Rate
    times: Times
    winners: tuple[tuple[str, int], ...]


def rows_of(cases: Sequence[Case], kind: Callable[[Case], str]) -> list[Row]:
    """Faulty trainings by kind."""
    faulty = [case for case in cases if is_faulty(case)]
    rows = []
    for name in sorted({kind(case) for case in faulty}):
        alike = [case for case in faulty if kind(case) == name]
        winners = Counter("+".join(case.treated.cures) for case in alike if is_proved(case))
        rows.append(
            Row(
                name,
                rate_of(map(is_cured, alike)),
                rate_of(map(is_proved, alike)),
                rate_of(map(is_repaired, alike)),
                times_of(case.treated.seconds for case in alike),
                tuple(winners.most_common()),
            )
        )
    return rows
