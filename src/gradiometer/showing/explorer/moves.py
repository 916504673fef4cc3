"""What the page's controls do: from the page's state and what was pressed to the next state. Nothing is drawn here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from gradiometer.schema.explored import DigitData, ExplorerSettings, Scene

FIRST_STEPS = 500
"""Steps that the network is trained for when the page opens."""

ENDLESS = 1_000_000
"""Steps ahead that a network is sent while it plays; each answer takes a fraction of a second of them."""

MOST_FAULTS = 3
"""Faults in a row behind which the page stops asking by itself."""


@dataclass(frozen=True, slots=True)
class Picked:
    """The unit, and the weight that leads into it.

    Attributes:
        layer: Layer of the unit, from 1.
        unit: Its rank.
        source: Unit below; None for the one that is most active.
    """

    layer: int = 1
    unit: int = 0
    source: int | None = None


@dataclass(frozen=True, slots=True)
class PageState:
    """What a page goes by from one answer to the next.

    Attributes:
        settings: The network.
        step: Steps that it has been trained for.
        target: Steps that it is to be trained for.
        is_playing: It is trained on and on.
        example: The digit that is looked at, by its rank.
        label: Class of the digits that are gone through; None for any.
        epoch_steps: Steps of an epoch; 0 until it is known.
        mistakes: Digits that it gets wrong, by their ranks.
        faults: Answers that did not come, in a row.
    """

    settings: ExplorerSettings = field(default_factory=ExplorerSettings)
    step: int = 0
    target: int = 0
    is_playing: bool = False
    example: int = 0
    label: int | None = None
    epoch_steps: int = 0
    mistakes: tuple[int, ...] = ()
    faults: int = 0

    @property
    def asked_step(self) -> int:
        """Step that the process is to train towards."""
        return self.step + ENDLESS if self.is_playing else self.target

    @property
    def is_going_on(self) -> bool:
        """Whether the page asks again by itself: on its way, and after a fault; `strips.js` has the same rule."""
        return self.faults < MOST_FAULTS and (self.faults > 0 or self.is_playing or self.step < self.target)


def train_step(state: PageState) -> PageState:
    """One step more."""
    return replace(state, is_playing=False, target=state.step + 1)


def train_epoch(state: PageState) -> PageState:
    """On to the end of the epoch."""
    length = max(state.epoch_steps, 1)
    return replace(state, is_playing=False, target=(state.step // length + 1) * length)


def play_or_pause(state: PageState) -> PageState:
    """Train on and on, or stop here."""
    return replace(state, is_playing=not state.is_playing, target=state.step)


def reset(state: PageState) -> PageState:
    """Back to the first weights."""
    return replace(state, is_playing=False, target=0, step=0)


MOVES: Mapping[str, Callable[[PageState], PageState]] = MappingProxyType(
    {"train-step": train_step, "train-epoch": train_epoch, "play": play_or_pause, "reset": reset}
)
"""Buttons by their names on the page."""


def with_settings(state: PageState, settings: ExplorerSettings) -> PageState:
    """Another network: from its first weights, trained for as many steps as this one was."""
    if settings == state.settings:
        return state
    return replace(state, settings=settings, step=0, target=max(state.step, state.target))


def next_of(ranks: Sequence[int], example: int) -> int:
    """The first of these ranks behind an example, from the start again at the end; itself where there is none.

    Example:
        >>> next_of([2, 5, 9], 5), next_of([2, 5, 9], 9), next_of([], 3)
        (9, 2, 3)
    """
    behind = [rank for rank in ranks if rank > example]
    return min(behind or ranks, default=example)


def next_digit(state: PageState, data: DigitData) -> PageState:
    """The next digit of the class that is gone through."""
    return replace(state, example=next_of(ranks_of(data, state.label), state.example))


def with_label(state: PageState, data: DigitData, label: int | None) -> PageState:
    """Another class of digits, from the digit that is looked at on if it is of that class."""
    after = replace(state, label=label)
    return after if state.example in ranks_of(data, label) else next_digit(after, data)


def ranks_of(data: DigitData, label: int | None) -> list[int]:
    """The digits of a class, by their ranks; all of them for None."""
    return [rank for rank, own in enumerate(data.labels) if label in (None, own)]


def next_mistake(state: PageState) -> PageState:
    """The next digit that the network gets wrong."""
    return replace(state, example=next_of(state.mistakes, state.example))


def moved(
    state: PageState, pressed: str | None, settings: ExplorerSettings, label: int | None, data: DigitData
) -> PageState:
    """The state behind whatever was pressed or chosen.

    Args:
        state: The page before.
        pressed: Name of the control on the page; `tick` where the page asks again by itself, None when it opens.
        settings: What the controls stand at.
        label: The class of digits that is chosen; None for any.
        data: The digits.
    """
    after = with_settings(state, settings)
    if label != state.label:
        after = with_label(after, data, label)
    if pressed is not None and pressed in MOVES:
        after = MOVES[pressed](after)
    elif pressed == "next-mistake":
        after = next_mistake(after)
    elif pressed == "next-digit":
        after = next_digit(after, data)
    return after if pressed == "tick" else replace(after, faults=0)


def answered(state: PageState, scene: Scene) -> PageState:
    """The state behind an answer; a training that came apart goes no further."""
    step = scene.course.step
    after = replace(state, step=step, epoch_steps=scene.epoch_steps, mistakes=scene.mistakes, faults=0)
    return replace(after, is_playing=False, target=step) if scene.course.is_diverged else after


def fitted(picked: Picked, settings: ExplorerSettings, data: DigitData) -> Picked:
    """The unit and weight that were picked, or the nearest that this network has.

    Example:
        >>> fitted(Picked(9, 50, 70), ExplorerSettings(), DigitData("digits", 8, 1200, (0, 9)))
        Picked(layer=3, unit=9, source=None)
    """
    output = settings.hidden_layers + 1
    layer = min(max(picked.layer, 1), output)
    units = max(data.labels) + 1 if layer == output else settings.units
    below = data.side**2 if layer == 1 else settings.units
    source = picked.source
    is_there = source is not None and layer == picked.layer and 0 <= source < below
    return Picked(layer, min(max(picked.unit, 0), units - 1), source if is_there else None)
