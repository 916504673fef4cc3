"""Settings from `[tool.gradiometer]` of the nearest `pyproject.toml`; the command line's options come before them.

[tool.gradiometer]
overhead = 0.01
folder = ".gradiometer/runs"
fail_on = "critical"
max_megabytes = 256
open_compiled = false
dear = ["similarity", "through_time", "per_example", "histograms", "units"]

[[tool.gradiometer.ignore]]
condition = "dead"
layer = "head.*"
reason = "sparse on purpose"
"""

import tomllib
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gradiometer.errors import SettingsError

CASES_FOLDER = ".gradiometer/cures"
"""Where `cure` keeps its cases, relative to the working directory: one folder per script and arguments."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Findings that are not to be reported.

    Attributes:
        condition: Name of the condition; `*` for all.
        layer: Name of the layer, with `*` and `?` as in file names.
        reason: Why; shown wherever such a finding is left out.
    """

    condition: str
    layer: str
    reason: str

    def matches(self, condition: str, layers: tuple[str, ...]) -> bool:
        """Whether a finding is to be left out: its condition fits, and all of its layers do.

        Example:
            >>> Ignored("dead", "head.*", "sparse on purpose").matches("dead", ("head.1", "body.2"))
            False
            >>> Ignored("*", "*", "a toy").matches("stalled", ())
            True
        """
        return fnmatchcase(condition, self.condition) and all(fnmatchcase(layer, self.layer) for layer in layers)


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set.

    Attributes:
        overhead: Greatest share of the training time that measuring may take.
        folder: Where run files go, relative to the working directory.
        fail_on: Severity from which on a command ends with exit code 3; empty for never.
        max_megabytes: Bound of a run file's size, MiB.
        open_compiled: Measure the layers of compiled models too, in full steps that run eagerly.
        dear: Dear measurements that take turns on full steps; all where it is not set, none where it is empty.
        ignore: Findings that are not to be reported.
    """

    overhead: float = 0.01
    folder: str = ".gradiometer/runs"
    fail_on: str = ""
    max_megabytes: int = 256
    open_compiled: bool = False
    dear: tuple[str, ...] | None = None
    ignore: tuple[Ignored, ...] = ()


def load_settings(start: Path | None = None) -> Settings:
    """Read the settings that hold in a folder.

    Args:
        start: The folder; the working directory where None. Its parents are searched for a `pyproject.toml`.

    Returns:
        The settings; defaults where no file speaks of gradiometer.

    Raises:
        SettingsError: The file is not TOML, or a setting is unknown or has the wrong type.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            return settings_from(read_table(file), file)
    return Settings()


def read_table(file: Path) -> dict[str, Any]:
    """The `[tool.gradiometer]` table of a file; empty where there is none."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML ({error}): mend it, or run in another folder") from error
    except OSError:
        return {}
    tools = content.get("tool")
    table = tools.get("gradiometer") if isinstance(tools, dict) else None
    return table if isinstance(table, dict) else {}


def settings_from(table: dict[str, Any], file: Path) -> Settings:
    """Turn a table into settings.

    Raises:
        SettingsError: A setting is unknown or has the wrong type.
    """
    defaults = Settings()
    known: dict[str, Any] = {spec.name: getattr(defaults, spec.name) for spec in fields(Settings)}
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise SettingsError(f"{file}: [tool.gradiometer] has no setting '{name}'; it has {', '.join(known)}")
        if name == "dear":
            values[name] = names_from(value, file)
        elif name == "ignore":
            values[name] = ignores_from(value, file)
        elif not is_of_kind(value, type(known[name])):
            raise SettingsError(
                f"{file}: [tool.gradiometer] {name} = {value!r} should be a {type(known[name]).__name__}"
            )
        else:
            values[name] = type(known[name])(value)
    return Settings(**values)


def names_from(value: Any, file: Path) -> tuple[str, ...]:
    """Turn a list of names of dear measurements into a tuple; which there are is known where they are measured."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise SettingsError(f"{file}: [tool.gradiometer] dear = {value!r} should be a list of names")
    return tuple(value)


def is_of_kind(value: Any, kind: type) -> bool:
    """Whether a value can stand for a setting of some type; a whole number can for any number, a flag for a flag only.

    Example:
        >>> is_of_kind(1, float), is_of_kind(True, float), is_of_kind(1, bool), is_of_kind(1, str)
        (True, False, False, False)
    """
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, kind) or (isinstance(value, int) and kind is float)


def ignores_from(value: Any, file: Path) -> tuple[Ignored, ...]:
    """Turn the ignore list into nouns."""
    if not isinstance(value, list):
        raise SettingsError(f"{file}: findings are left out by [[tool.gradiometer.ignore]], in double brackets")
    return tuple(ignored_from(entry, file) for entry in value)


def ignored_from(entry: Any, file: Path) -> Ignored:
    """Turn one entry of the ignore list into a noun; condition and layer default to all, a reason must be given."""
    if not isinstance(entry, dict) or not set(entry) <= {"condition", "layer", "reason"} or not entry.get("reason"):
        raise SettingsError(
            f"{file}: an [[tool.gradiometer.ignore]] takes condition, layer and a reason, not {entry!r}"
        )
    return Ignored(str(entry.get("condition", "*")), str(entry.get("layer", "*")), str(entry["reason"]))
