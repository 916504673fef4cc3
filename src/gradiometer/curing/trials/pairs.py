"""Which cures to join to pairs: where one alone leaves something that another could mend.

Told from what was measured, never from a list: a cure that balances the gradient but leaves weights hardly moved, or
thrown about, goes on together with a learning rate that is found for it. The best of a race that leaves its fault is
joined with the others that helped. And the best of a race gets a found rate of its own, for another network wants
another rate.
"""

from collections.abc import Sequence

from gradiometer.curing.choosing import SEARCHED_RATE
from gradiometer.curing.trials.strain import ILL_DECADES, Strain
from gradiometer.prescribing import cure_names

MOST_REMEASURED, MOST_JOINED = 2, 3
"""Pairs that are made after the first sieve, and after the race."""

ALONE = frozenset({"change_learning_rate", "exchange_optimizer"})
"""Kinds that set how far a step goes: no pair needs two of them."""


CHANGE_SIZES: dict[str, int] = {
    "change_learning_rate": 1,
    "warm_up_learning_rate": 1,
    "clip_gradients": 1,
    "zero_gradients": 1,
    "scale_loss": 1,
    "reduce_regularisation": 1,
    "exchange_optimizer": 2,
    "redraw_weights": 2,
    "redraw_recurrent_weights": 2,
    "scale_to_unit_variance": 2,
    "break_symmetry": 2,
    "open_forget_gates": 2,
    "standardise_input": 2,
    "scale_output_to_targets": 2,
    "fix_loss_pairing": 2,
    "keep_weights_in_float32": 2,
    "pretrain_layers": 3,
    "exchange_activation": 3,
    "insert_activation": 3,
    "exchange_normalisation": 3,
    "insert_normalisation": 4,
    "add_residual_paths": 4,
    "exchange_recurrence": 4,
}
"""How much each cure changes of a script: a number of its own (1), what the network starts from or is trained by (2),
what it computes (3), its parts and the keys of its checkpoints (4). Chosen by us."""

SIZES_WITH_SETTING: dict[str, int] = {"reduce_regularisation:none": 2, "exchange_optimizer:momentum": 1}
"""Settings that change more or less than their cure mostly does: something is taken away altogether; one number."""


def size_of(label: str) -> int:
    """How large a change is: its parts together; a part that is not in the table counts 2.

    Example:
        >>> size_of("change_learning_rate:x0.1"), size_of("exchange_activation:relu+redraw_weights:he")
        (1, 5)
        >>> size_of("reduce_regularisation"), size_of("reduce_regularisation:none")
        (1, 2)
    """
    return sum(SIZES_WITH_SETTING.get(part, CHANGE_SIZES.get(part.partition(":")[0], 2)) for part in label.split("+"))


def pairs_for_motion(remeasured: Sequence[tuple[str, Strain]]) -> list[str]:
    """Cures after which weights still hardly move or are thrown about, each with a learning rate to be found."""
    ill = [label for label, strain in remeasured if strain.is_finite and strain.motion_decades >= ILL_DECADES]
    return [tuned(label) for label in ill if can_be_tuned(label)][:MOST_REMEASURED]


def pairs_after_race(placed: Sequence[str], *, is_cured: bool) -> list[str]:
    """The best of a race with a found rate, and, where its fault is left, with the others that were better, too.

    Args:
        placed: Labels that were better than the control, best first.
        is_cured: The best one's training shows no fault any more.
    """
    if not placed:
        return []
    leader = placed[0]
    found = [tuned(leader)] if can_be_tuned(leader) else []
    others = [] if is_cured else [joined(leader, label) for label in placed[1:] if are_joinable(leader, label)]
    return [*found, *others][:MOST_JOINED]


def pairs_without_winner(remeasured: Sequence[tuple[str, Strain]]) -> list[str]:
    """Where no cure alone was better than the control: each of the least strained with a rate, and the two together."""
    labels = [label for label, strain in sorted(remeasured, key=lambda entry: round(entry[1].motion_decades))]
    found = [tuned(label) for label in labels if can_be_tuned(label)]
    if len(labels) > 1:
        found[1:1] = [joined(labels[0], other) for other in labels[1:] if are_joinable(labels[0], other)][:1]
    return found[:MOST_JOINED]


def tuned(label: str) -> str:
    """A cure with a learning rate to be found behind it."""
    return f"{label}+{SEARCHED_RATE}"


def can_be_tuned(label: str) -> bool:
    """Whether it leaves the learning rate open."""
    return "change_learning_rate" not in cure_names(label)


def joined(first: str, second: str) -> str:
    """Two cures as one: changes of the model first, then of the optimizer."""
    parts = [*first.split("+"), *second.split("+")]
    parts.sort(key=lambda part: part.partition(":")[0] in ALONE)
    return "+".join(parts)


def are_joinable(first: str, second: str) -> bool:
    """Whether they act on different things."""
    kinds = cure_names(first), cure_names(second)
    return not kinds[0] & kinds[1] and not (kinds[0] & ALONE and kinds[1] & ALONE)
