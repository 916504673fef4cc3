"""Which examples pulled hardest at the weights over a run, and which pulled against their batch.

Both come from the turns of the `per_example` measurement: the norm of each example's gradient and its cosine with the
gradient of the others of its batch. A norm is told relative to the median of its step, for norms shrink as a network
learns. Where the loader reveals which examples a batch has, sightings of the same one are joined.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradiometer.schema import ExampleStats, Run
from gradiometer.units import format_number

LEAST_AGAINST = -0.1
"""Cosine below which an example is said to pull against its batch; two of a batch that have nothing to do with each
other have about 0, and the mean of the others scatters by some hundredths around it."""


@dataclass(frozen=True, slots=True)
class ExampleSighting:
    """One example in one measured step.

    Attributes:
        step: The step.
        position: Rank in the step.
        data_index: Index in the data set, None where the loader does not reveal it.
        norm: Norm of its gradient; None where it is not finite.
        times_median: That over the median of the step; None where it is not finite.
        cosine: With the gradient of the others of its batch; None where it is not known.
    """

    step: int
    position: int
    data_index: int | None
    norm: float | None
    times_median: float | None
    cosine: float | None


@dataclass(frozen=True, slots=True)
class PulledExample:
    """One example over the run.

    Attributes:
        data_index: Index in the data set; None where it is not known, and the example is one sighting.
        sightings: Measured steps in which it took part, in order.
        times_median: Norm over the median of its step, geometric mean; infinite where one is not finite.
        cosine: Mean cosine with the others of its batch; None where it is not known.
    """

    data_index: int | None
    sightings: tuple[ExampleSighting, ...]
    times_median: float
    cosine: float | None

    @property
    def name(self) -> str:
        """What to call it in a sentence."""
        if self.data_index is not None:
            return f"example {self.data_index} of the data set"
        return f"the example at place {self.sightings[0].position} of step {self.sightings[0].step}"


@dataclass(frozen=True, slots=True)
class ExampleStory:
    """How a run's examples pulled.

    Attributes:
        step_count: Steps in which examples were measured.
        example_count: Examples that were told apart.
        hardest: Those that pulled hardest, hardest first.
        against: Those that pulled against their batch, by norm times cosine.
        sentences: The same in plain words.
    """

    step_count: int
    example_count: int
    hardest: tuple[PulledExample, ...]
    against: tuple[PulledExample, ...]
    sentences: tuple[str, ...]


def describe_examples(run: Run, *, most: int = 10, least_against: float = LEAST_AGAINST) -> ExampleStory:
    """Say which examples pulled hardest over a run, and which against their batch.

    Args:
        run: The run.
        most: Examples to list of each kind.
        least_against: Mean cosine with its batch below which an example pulls against it.

    Returns:
        The story; without lists, and a sentence that says so, where no step measured single examples.
    """
    if not run.examples:
        return ExampleStory(0, 0, (), (), ("No step of this run measured single examples.",))
    found = joined_sightings([sighting for step in sorted(run.examples) for sighting in sightings_of(run, step)])
    hardest = sorted(found, key=lambda one: -one.times_median)[:most]
    pulling = [one for one in found if one.cosine is not None and one.cosine < least_against]
    against = sorted(pulling, key=strength_against)[:most]
    story = ExampleStory(len(run.examples), len(found), tuple(hardest), tuple(against), ())
    has_cosines = any(one.cosine is not None for one in found)
    sentences = tuple(told(story, has_cosines=has_cosines, least_against=least_against))
    return ExampleStory(story.step_count, story.example_count, story.hardest, story.against, sentences)


def sightings_of(run: Run, step: int) -> Iterator[ExampleSighting]:
    """Every example that one step measured."""
    stats = run.examples[step]
    known = [norm for norm in stats.norms if norm is not None]
    middle = float(np.median(known)) if known else 0.0
    for place, (norm, position) in enumerate(zip(stats.norms, stats.positions, strict=False)):
        ratio = None if norm is None else (norm / middle if middle > 0.0 else 1.0)
        yield ExampleSighting(step, position, index_of(stats, place), norm, ratio, cosine_of(stats, place))


def index_of(stats: ExampleStats, place: int) -> int | None:
    """An example's index in the data set."""
    known = stats.data_indices
    return known[place] if known is not None and place < len(known) else None


def cosine_of(stats: ExampleStats, place: int) -> float | None:
    """An example's cosine with the others of its batch."""
    known = stats.cosines
    return known[place] if known is not None and place < len(known) else None


def joined_sightings(sightings: list[ExampleSighting]) -> list[PulledExample]:
    """Join those of the same example of the data set; the others stay by themselves."""
    groups: dict[tuple[int, int, int], list[ExampleSighting]] = {}
    for one in sightings:
        key = (-1, one.step, one.position) if one.data_index is None else (one.data_index, 0, 0)
        groups.setdefault(key, []).append(one)
    return [pulled(group) for group in groups.values()]


def pulled(sightings: list[ExampleSighting]) -> PulledExample:
    """One example from its sightings."""
    ratios = [math.inf if one.times_median is None else one.times_median for one in sightings]
    mean = (
        math.inf if math.inf in ratios else float(np.exp(np.mean([math.log(max(ratio, 1e-300)) for ratio in ratios])))
    )
    cosines = [one.cosine for one in sightings if one.cosine is not None]
    return PulledExample(
        data_index=sightings[0].data_index,
        sightings=tuple(sightings),
        times_median=mean,
        cosine=float(np.mean(cosines)) if cosines else None,
    )


def strength_against(example: PulledExample) -> float:
    """Norm times cosine: the more negative, the more of the batch's step an example takes back."""
    return example.times_median * (example.cosine or 0.0)


def told(story: ExampleStory, *, has_cosines: bool, least_against: float) -> Iterator[str]:
    """The story in plain words."""
    steps = "step" if story.step_count == 1 else "steps"
    yield f"{story.example_count} examples were told apart by their gradients, in {story.step_count} {steps}."
    first = story.hardest[0] if story.hardest else None
    if first is not None:
        seen = f", over {len(first.sightings)} sightings" if len(first.sightings) > 1 else ""
        if math.isfinite(first.times_median):
            size = f"{format_number(first.times_median)} times as hard at the weights as the median of its batch"
        else:
            size = "with a gradient that is not finite"
        yield f"{capital(first.name)} pulled hardest, {size}{seen}."
    if not has_cosines:
        yield "Whether they pulled with their batch or against it was not measured."
    elif story.against:
        worst = story.against[0]
        yield (
            f"{capital(worst.name)} pulled most against its batch (cosine {worst.cosine:.2f}): "
            "look first at the labels of such examples."
        )
    else:
        yield f"None pulled against its batch (cosine below {least_against:g})."


def capital(text: str) -> str:
    """The same with a capital letter in front."""
    return text[:1].upper() + text[1:]
