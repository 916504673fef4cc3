"""Which of several processes this is: under `torchrun` every one of them runs gradiometer with the same script."""

from collections.abc import Mapping

from gradiometer.errors import SettingsError


def rank_in(environment: Mapping[str, str]) -> int | None:
    """Rank that a launcher such as `torchrun` gave this process.

    Returns:
        The rank; None where the process is alone, or the environment does not say.

    Example:
        >>> rank_in({"RANK": "1", "WORLD_SIZE": "4"}), rank_in({"RANK": "0", "WORLD_SIZE": "1"})
        (1, None)
    """
    rank, size = environment.get("RANK", ""), environment.get("WORLD_SIZE", "")
    return int(rank) if rank.isdigit() and size.isdigit() and int(size) > 1 else None


def refuse_several(environment: Mapping[str, str], verb: str) -> None:
    """Refuse a verb that works with one process, where a launcher has started several.

    Args:
        environment: The process's environment.
        verb: The verb's name.

    Raises:
        SettingsError: It has.
    """
    if rank_in(environment) is not None:
        raise SettingsError(
            f"gradiometer {verb} starts trainings of its own, each in one process: call it without torchrun"
        )
