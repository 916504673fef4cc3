"""gradiometer, where something of its own fails amid a training ..."""

from collections.abc import Sequence

import pytest

from gradiometer.measuring.guarding import Guard


class Unspeakable(Exception):  # noqa: N818 - an error that can't be told is the point
    """An error whose traceback can't be put together."""

    @property
    def __notes__(self) -> Sequence[str]:
        raise MemoryError

    @property
    def __cause__(self) -> BaseException | None:  # type: ignore[override]
        raise MemoryError


@pytest.mark.parametrize("error", [ValueError("a plain one"), Unspeakable("one that can't be told")])
def test_keeps_an_error_to_itself_and_tells_its_kind_once(error: Exception) -> None:
    told: list[str] = []
    guard = Guard(told.append)
    for _ in range(2):
        with guard:
            raise error

    assert guard.is_broken
    assert len(told) == 1
    assert type(error).__name__ in told[0]
    assert "a plain one" in told[0] or "MemoryError" in told[0]
