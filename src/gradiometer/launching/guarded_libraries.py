"""Library functions that open files below Python, as a guarded process sees them.

`torch.save` and `torch.load`, their relatives for TorchScript and exported programs, safetensors and sqlite3 hand a
path to C++, Rust or C. Each is called with the path's place in the overlay instead. All of numpy, zip archives,
pickles, json, csv, logging and image files of Pillow go through `open` and need nothing here.
"""

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gradiometer.launching.guarded_files import GuardedFiles
from gradiometer.launching.overlay import AnyPath
from gradiometer.launching.posix_only import posix

OVERWRITING = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
UPDATING = os.O_RDWR | os.O_CREAT
READING = os.O_RDONLY
_DATABASE_COMPANIONS = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class PathArgument:
    """One function of a library that is handed a path.

    Attributes:
        module: Where the function is found.
        function: Its name there.
        position: Place of the path among the positional arguments.
        keyword: Its name as a keyword.
        flags: How the function opens the file, as `os.open` would be told.
    """

    module: str
    function: str
    position: int
    keyword: str
    flags: int


PATH_ARGUMENTS = (
    PathArgument("torch", "save", 1, "f", OVERWRITING),
    PathArgument("torch", "load", 0, "f", READING),
    PathArgument("torch.jit", "save", 1, "f", OVERWRITING),
    PathArgument("torch.jit", "load", 0, "f", READING),
    PathArgument("torch.export", "save", 1, "f", OVERWRITING),
    PathArgument("torch.export", "load", 0, "f", READING),
    PathArgument("safetensors", "serialize_file", 1, "filename", OVERWRITING),
    PathArgument("safetensors", "safe_open", 0, "filename", READING),
)
PACKAGES = tuple(sorted({argument.module.partition(".")[0] for argument in PATH_ARGUMENTS}))


def replacements_in(package: str, files: GuardedFiles) -> list[tuple[Any, Callable[..., Any]]]:
    """Pair the functions of an imported package that are handed paths with their replacements."""
    pairs: list[tuple[Any, Callable[..., Any]]] = []
    for argument in PATH_ARGUMENTS:
        module = sys.modules.get(argument.module)
        original = getattr(module, argument.function, None)
        if argument.module.partition(".")[0] == package and original is not None:
            pairs.append((original, files.guarded(original, _redirecting(original, argument, files))))
    return pairs


def connecting(original: Callable[..., Any], files: GuardedFiles) -> Callable[..., Any]:
    """Stand for `sqlite3.connect`: a database is copied with its journals when it is first touched."""

    def connect(database: Any, *arguments: Any, **options: Any) -> Any:
        is_uri = options.get("uri", len(arguments) > 6 and arguments[6])
        place = _place_of_database(database, files, is_uri=bool(is_uri))
        return original(database if place is None else place, *arguments, **options)

    return files.guarded(original, connect)


def _redirecting(original: Callable[..., Any], argument: PathArgument, files: GuardedFiles) -> Callable[..., Any]:
    def redirected(*arguments: Any, **options: Any) -> Any:
        given = list(arguments)
        holder: Any = options if argument.keyword in options else given
        key: Any = argument.keyword if argument.keyword in options else argument.position
        if holder is options or len(given) > argument.position:
            holder[key] = _place_of(holder[key], argument.flags, files)
        return original(*given, **options)

    if inspect.isfunction(original):
        redirected.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return redirected


def _place_of(path: Any, flags: int, files: GuardedFiles) -> Any:
    """Redirect a path; what is none (an open file, a buffer) comes back as it is."""
    if not isinstance(path, str | bytes | os.PathLike):
        return path
    place = files.place_to_open(os.fspath(path), flags)
    return path if place is None else place


def _place_of_database(database: Any, files: GuardedFiles, *, is_uri: bool) -> str | None:
    if not isinstance(database, str | bytes | os.PathLike):
        return None
    text = os.fsdecode(database)
    if is_uri and text.startswith("file:"):
        return _place_of_uri(text, files)
    if text in ("", ":memory:"):
        return None
    return _copy_database(text, files, flags=UPDATING)


def _place_of_uri(uri: str, files: GuardedFiles) -> str | None:
    parts = urlsplit(uri)
    mode = parse_qs(parts.query).get("mode", ["rwc"])[0]
    path = unquote(parts.path)
    if mode == "memory" or path in ("", ":memory:"):
        return None
    place = _copy_database(path, files, flags=READING if mode == "ro" else UPDATING)
    if place is None:
        return None
    query = f"?{parts.query}" if parts.query else ""
    return f"file:{place.replace('%', '%25').replace('?', '%3f').replace('#', '%23')}{query}"


def _copy_database(path: AnyPath, files: GuardedFiles, *, flags: int) -> str | None:
    """Copy a database up with what belongs to it; one that is only read is copied too, for sqlite writes beside it."""
    if flags == READING:
        place = files.place_to_open(path, READING)
        if place is None:
            return None
        flags = os.O_RDWR
    for companion in _DATABASE_COMPANIONS:
        beside = os.fsdecode(path) + companion
        if files.is_there(beside):
            files.place_to_open(beside, os.O_RDWR)
    return files.place_to_open(path, flags)


def is_special_file(path: str) -> bool:
    """Whether a pipe, socket or device is at a path of the machine: it has no content that could be overwritten."""
    try:
        mode = posix.stat(path).st_mode & 0o170000
    except OSError:
        return False
    return mode not in (0o100000, 0o040000)
