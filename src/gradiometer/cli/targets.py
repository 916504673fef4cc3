"""What a command is to run, from the words of the command line."""

from gradiometer.errors import SettingsError
from gradiometer.launching.script import Target


def named_target(words: tuple[str, ...], module: str | None, verb: str) -> Target:
    """The script or module that a command names, with its arguments.

    Args:
        words: Script and its arguments; only arguments where a module is given.
        module: Module to run, as after `python -m`.
        verb: The command.

    Raises:
        SettingsError: Neither a script nor a module is given.

    Example:
        >>> named_target(("train.py", "--epochs", "3"), None, "run")
        Target(script='train.py', module=None, arguments=('--epochs', '3'))
    """
    if any("\0" in word for word in (module or "", *words)):
        raise SettingsError("a word of the command holds a NUL, which no name of a file can")
    if module:
        return Target(None, module, words)
    if not words:
        raise SettingsError(f"name a script to {verb} (gradiometer {verb} train.py), or a module with -m")
    return Target(words[0], None, words[1:])
