"""What a trial adds to a run: an end after some steps, and a seed of its own.

A script that fixes its seed would give the same training in every trial. While `SeededAnew` is active, the calls that
seed a global generator (`torch.manual_seed`, `random.seed`, `numpy.random.seed` and their relatives) take a mix of
the script's value and the trial's seed. Generators that a script makes for itself (`torch.Generator`,
`numpy.random.default_rng(0)`, `RandomState(0)`, scikit-learn's `random_state=0`) are left alone: they usually draw the
data, and the trials of one comparison are to see the same data.
"""

import hashlib
import operator
import random
import sys
import threading
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Self

from gradiometer.launching.package_import import ImportWatch
from gradiometer.launching.replacing import Replacing

_SEED_BITS = {"torch": 63, "numpy.random": 32, "random": 63}
# Modules and functions that seed a generator shared by the whole process; the value may be missing (from the clock).
SEEDING_CALLS = {
    "random": (("random", "seed"),),
    "numpy.random": (("numpy.random", "seed"),),
    "torch": (
        ("torch", "manual_seed"),
        ("torch", "seed"),
        # Other objects than those above once torch._dynamo is imported, which wraps the two in torch itself.
        ("torch.random", "manual_seed"),
        ("torch.random", "seed"),
        ("torch.cuda", "manual_seed"),
        ("torch.cuda", "manual_seed_all"),
        ("torch.cuda", "seed"),
        ("torch.cuda", "seed_all"),
        ("torch.mps", "manual_seed"),
        ("torch.xpu", "manual_seed"),
        ("torch.xpu", "manual_seed_all"),
    ),
}
# A seed from the clock would make trials differ by chance: the function that takes a value stands in.
_WITH_VALUE = {"seed": "manual_seed", "seed_all": "manual_seed_all"}
_own_call = threading.local()


class TrainingStopped(BaseException):  # noqa: N818 - it is no error
    """The step limit is reached: raised from the optimizer's step, it ends the script quietly with exit code 0.

    Not an `Exception`, so that a script's `except Exception` around its training step does not swallow it; `finally`
    blocks and context managers of the script run as usual.
    """


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, and of numpy and torch where they are imported; a script may seed again.

    The seed is taken as it is, also while `SeededAnew` is active.

    Args:
        seed: Any integer; numpy takes it modulo 2**32, torch modulo 2**63.
    """
    _own_call.is_going_on = True
    try:
        random.seed(seed)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(seed % 2**32)
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(seed % 2**63)
    finally:
        _own_call.is_going_on = False


def mixed_seed(value: Any, trial_seed: int, *, bits: int = 63) -> int:
    """Mix a script's seed with a trial's: the same in every process, and different where either differs.

    Args:
        value: What the script gave; an integer of any type, or whatever a seeding function takes. None stands for
            a seed from the clock and gives one value per trial.
        trial_seed: Seed of the trial; 0 is a seed like any other.
        bits: The result is in [0, 2**bits).

    Example:
        >>> mixed_seed(42, 0) == mixed_seed(42, 0)
        True
        >>> mixed_seed(42, 0) == mixed_seed(42, 1)
        False
    """
    try:
        words = str(operator.index(value))
    except TypeError:
        words = repr(value)
    digest = hashlib.blake2b(f"{trial_seed}/{words}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & ((1 << bits) - 1)


class SeededAnew:
    """While active, a script's seeding of global generators is mixed with the trial's seed.

    Attributes:
        call_count: How often the script seeded, in this process; 0 after a training means that it fixes no seed of
            its own.
    """

    def __init__(self, trial_seed: int) -> None:
        """Prepare; nothing changes before the block is entered.

        Args:
            trial_seed: The trial's seed.
        """
        self.call_count = 0
        self._trial_seed = trial_seed
        self._replacing = Replacing()
        self._is_inside = False
        self._watches = [ImportWatch(name, partial(self._exchange, name)) for name in SEEDING_CALLS]

    def __enter__(self) -> Self:
        for watch in self._watches:
            watch.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        for watch in self._watches:
            watch.__exit__(None, None, None)
        self._replacing.undo()

    def _exchange(self, package: str) -> None:
        pairs = []
        for module_name, name in SEEDING_CALLS[package]:
            module = sys.modules.get(module_name)
            original = getattr(module, name, None)
            if original is not None:
                with_value = getattr(module, _WITH_VALUE.get(name, name), original) if package == "torch" else original
                pairs.append((original, self._seeding(original, with_value, _SEED_BITS[package])))
        self._replacing.replace(pairs)

    def _seeding(self, original: Callable[..., Any], with_value: Callable[..., Any], bits: int) -> Callable[..., Any]:
        """Stand for a seeding function; one that calls another (`torch.manual_seed` does) is mixed once."""

        @wraps(original)
        def seed_anew(*arguments: Any, **options: Any) -> Any:
            if self._is_inside or getattr(_own_call, "is_going_on", False):
                return original(*arguments, **options)
            given = next(iter((*arguments, *options.values())), None)
            mixed = mixed_seed(given, self._trial_seed, bits=bits)
            self.call_count += 1
            self._is_inside = True
            try:
                result = with_value(mixed)
            finally:
                self._is_inside = False
            return mixed if original is not with_value else result

        return seed_anew
