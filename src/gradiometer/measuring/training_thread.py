"""Which thread trains: trainings in other threads beside it are left alone."""

from threading import get_ident


class TrainingThread:
    """The thread of one training: the first that called a root or stepped one of its optimizers."""

    def __init__(self) -> None:
        self._identity: int | None = None

    def is_here(self, *, claims: bool = False) -> bool:
        """Whether this is the thread that trains.

        Args:
            claims: What happens now only the thread that trains would do; where none is known yet, it is this one.

        Returns:
            Whether it is; true for every thread while none is known.
        """
        here = get_ident()
        if claims and self._identity is None:
            self._identity = here
        return self._identity is None or self._identity == here
