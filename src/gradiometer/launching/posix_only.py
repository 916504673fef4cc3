"""Python's modules that only Linux and macOS have, and what is said elsewhere by whoever needs them.

The guard of a trial's files stands below Python's file functions, and trials start from a server that forks. Windows
has neither. Whatever needs them takes them from here, and says in a sentence that it can't work there; everything else
does without.
"""

from gradiometer.errors import SettingsError

try:
    import fcntl
    import posix
except ModuleNotFoundError:
    raise SettingsError(
        "cure, run --cure and replay need forked processes and a guard below Python's file functions, as Linux and "
        "macOS have them: on Windows, use its Subsystem for Linux. The other commands work here too."
    ) from None

__all__ = ["fcntl", "posix"]
