"""Where a NaN or infinity began: the way back from it to the operation that was given none.

An infinity is not always a fault: attention masks hold minus infinity on purpose, and nothing of it is left behind a
softmax. So the search starts at what came out wrong (the loss, a gradient, a weight) and follows what is not finite
from operation to operation. An operation that was asked for an infinite constant is not where a fault began, unless
nothing else is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gradiometer.measuring.operations import OperationRecord, Source

MOST_CHAINED = 8
"""Operations told of the way to the one that was found."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where something that is not finite began.

    Attributes:
        record: The operation; None where it was there before any.
        name: Name of the tensor that held it then; empty where `record` is given or the tensor has no name.
    """

    record: OperationRecord | None
    name: str = ""


def find_beginning(finals: Iterable[Source]) -> Beginning | None:
    """Find where what is not finite in some tensors began.

    Args:
        finals: The tensors, those that are finite too.

    Returns:
        The earliest operation that gave NaN or infinity, was given none that matters, and led to one of the tensors;
        None where all are finite. A tensor that was not finite before any operation comes first: a weight, or the
        batch.
    """
    born: list[OperationRecord] = []
    constants: list[OperationRecord] = []
    given: list[str] = []
    seen: set[int] = set()
    waiting = [source for source in finals if not source.range.is_finite]
    is_bad = bool(waiting)
    while waiting:
        source = waiting.pop()
        record = source.record
        if record is None:
            if source.range.nan_count or source.range.name:
                given.append(source.range.name)
        elif id(record) not in seen:
            seen.add(id(record))
            bad = bad_sources(record)
            waiting += bad
            if record.is_constant and not bad:
                constants.append(record)
            elif is_birth(record, bad):
                born.append(record)
    if given:
        return Beginning(None, min(given))
    found = earliest(culprits(born)) or earliest(constants)
    return Beginning(found) if is_bad and found is not None else None


def bad_sources(record: OperationRecord) -> list[Source]:
    """What an operation was given that is not finite; where some is NaN, only that, for NaN goes through everything."""
    bad = [source for source in record.sources if not source.range.is_finite]
    nans = [source for source in bad if source.range.nan_count]
    gives_nan = any(output.nan_count for output in record.outputs)
    return nans if nans and gives_nan else bad


def is_birth(record: OperationRecord, bad: Sequence[Source]) -> bool:
    """Whether an operation gave something worse than it was given: anything from finite numbers, NaN from infinity."""
    gives_nan = any(output.nan_count for output in record.outputs)
    return not bad or (gives_nan and not any(source.range.nan_count for source in bad))


def culprits(born: Sequence[OperationRecord]) -> list[OperationRecord]:
    """The operations to choose from; those that were given finite numbers only, where there are any, come first."""
    clean = [record for record in born if all(source.range.is_finite for source in record.sources)]
    return clean or list(born)


def earliest(records: Sequence[OperationRecord]) -> OperationRecord | None:
    """The one that was done first, None of none."""
    return min(records, key=lambda record: record.index, default=None)


def chain_to(record: OperationRecord) -> list[OperationRecord]:
    """The operations that led to one, the nearest last: of each its input with the greatest number is followed."""
    chain: list[OperationRecord] = []
    current = record
    while len(chain) < MOST_CHAINED:
        sources = [source for source in current.sources if source.record is not None]
        if not sources:
            break
        source = max(sources, key=lambda source: source.record.index if source.record else -1)
        assert source.record is not None
        chain.insert(0, source.record)
        current = source.record
    return chain
