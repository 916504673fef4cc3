"""Runs an unchanged script as `python` would.

The script's own `sys.argv`, `sys.path[0]` and `__main__` module take the place of gradiometer's and stay there after
the script has ended, as under `python`: its threads and `atexit` handlers may still use them. What a class defined in
the script needs to be pickled, and `multiprocessing` to spawn a process, is in that `__main__`. Files that `python`
runs are run: a script in any source encoding, a compiled file, a folder or zip archive with a `__main__.py`, and
modules and packages by `-m`.

Two things differ from `python`: `sys.orig_argv` and the folders of `sys.path` behind the first are those of the
interpreter that runs gradiometer, and after Ctrl-C the exit code is 130 where `python` ends by the signal.
"""

import atexit
import importlib
import importlib.util
import marshal
import os
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from gradiometer.errors import ScriptError
from gradiometer.launching.ending import Ending, ending_of
from gradiometer.launching.package_import import ImportWatch

_COMPILED_HEADER_BYTES = 16

MAX_SCRIPT_BYTES = 64 * 2**20
"""Longest script that is read: a name may lead to a device that never ends."""


@dataclass(frozen=True)
class Target:
    """What is to be run: exactly one of a script and a module, and the arguments handed to it.

    Attributes:
        script: Path of a script, or of a folder or zip archive that holds a `__main__.py`; as typed.
        module: Dotted name, as after `python -m`.
        arguments: What follows on the command line; `sys.argv[1:]` of the script.
    """

    script: str | None
    module: str | None
    arguments: tuple[str, ...] = ()


def run_target(target: Target, *, when_torch_is_imported: Callable[[], None]) -> Ending:
    """Run a script or module in this process as `python` would, and tell how it ended.

    Standard input and output are the script's; an uncaught exception is printed to stderr as `python` prints it.
    A process that the script forks by hand leaves in here and never reaches the caller.

    Args:
        target: What to run.
        when_torch_is_imported: Called once, right after the script's `import torch` (at once if torch is loaded
            already, never if the script does without). It must not raise.

    Raises:
        ScriptError: There is no such script or module, or it is not Python; the message says what to do.
    """
    process = os.getpid()
    with ImportWatch("torch", when_torch_is_imported):
        ending = ending_of(lambda: _execute(target))
    if os.getpid() != process:
        _leave_forked_process(ending.exit_code)
    return ending


def _execute(target: Target) -> None:
    if (target.script is None) == (target.module is None):
        raise ScriptError("Give either a script or a module to run, not both and not neither.")
    if target.module is not None:
        _execute_module(target.module, target.arguments)
        return
    script = Path(str(target.script))
    importer = pkgutil.get_importer(str(script.absolute())) if is_there(script) else None
    if importer is not None:
        _execute_archive(str(target.script), importer, target.arguments)
    else:
        _execute_file(str(target.script), target.arguments)


def is_there(script: Path) -> bool:
    """Whether a name leads anywhere; one that no file can have does not."""
    try:
        return script.exists()
    except (OSError, ValueError):
        return False


def _execute_file(script: str, arguments: tuple[str, ...]) -> None:
    path = str(Path(script).absolute())
    source = _read_script(script)
    _take_place(str(Path(script).resolve().parent), (script, *arguments))
    main = _new_main()
    is_compiled = source.startswith(importlib.util.MAGIC_NUMBER)
    loader = SourcelessFileLoader if is_compiled else SourceFileLoader
    _set_attributes(main, file=path, package=None, loader=loader("__main__", path), spec=None, cached=None)
    if is_compiled:
        code = marshal.loads(source[_COMPILED_HEADER_BYTES:])
    else:
        code = compile(source, path, "exec", dont_inherit=True)
    exec(code, main.__dict__)


def _read_script(script: str) -> bytes:
    path = Path(script)
    try:
        source = read_source(path)
    except FileNotFoundError:
        raise ScriptError(f"There is no script {script!r} in {Path.cwd()}: check the path.") from None
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise ScriptError(f"The script {script!r} can't be read ({reason}): name a file that you may read.") from None
    if len(source) > MAX_SCRIPT_BYTES:
        raise ScriptError(f"{script!r} is too large for a script: name a training script (.py).")
    if path.suffix == ".ipynb":
        raise ScriptError(
            f"{script!r} is a notebook, not a script: convert it (jupyter nbconvert --to script {script}), "
            "or use gradiometer.watch inside it."
        )
    if b"\0" in source and not source.startswith(importlib.util.MAGIC_NUMBER):
        raise ScriptError(f"{script!r} is not Python (it holds binary data): name a training script (.py).")
    return source


def read_source(path: Path) -> bytes:
    """The bytes of a script, no more than one byte beyond those that it may have.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        return file.read(MAX_SCRIPT_BYTES + 1)


def _execute_archive(script: str, importer: Any, arguments: tuple[str, ...]) -> None:
    """Execute the `__main__` of a folder or zip archive, which comes first in `sys.path` itself."""
    path = str(Path(script).absolute())
    spec = importer.find_spec("__main__")
    if spec is None or spec.loader is None:
        raise ScriptError(f"{script!r} holds no __main__.py: name the script inside it that trains.")
    _take_place(path, (script, *arguments))
    _execute_spec(spec)


def _execute_module(name: str, arguments: tuple[str, ...]) -> None:
    _take_place(str(Path.cwd()), ("-m", *arguments))
    main = _new_main()
    main.__spec__ = None
    spec = _find_module(name)
    sys.argv[0] = spec.origin or name
    _execute_spec(spec)


def _find_module(name: str) -> ModuleSpec:
    """Find a module, or a package's `__main__`; the packages above it are imported, as `python -m` does."""
    spec = _find_spec(name)
    if spec is None:
        raise ScriptError(
            f"There is no module {name!r} to be found from {Path.cwd()}: check the name, or change to its project."
        )
    if spec.submodule_search_locations is None:
        return spec
    inner = None if name.endswith(".__main__") else _find_spec(f"{name}.__main__")
    if inner is None:
        raise ScriptError(f"The package {name!r} has no __main__.py and can't be run: name a module inside it.")
    return inner


def _find_spec(name: str) -> ModuleSpec | None:
    above = name.rpartition(".")[0]
    try:
        if above:
            importlib.import_module(above)
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as fault:
        is_part = fault.name is not None and f"{above}.".startswith(f"{fault.name}.")
        if not is_part:
            raise
    except ValueError:  # a name such as "..": no module is called so
        return None
    return None


def _execute_spec(spec: ModuleSpec) -> None:
    code: CodeType | None = None
    if spec.loader is not None and hasattr(spec.loader, "get_code"):
        code = spec.loader.get_code(spec.name)
    if code is None:
        raise ScriptError(f"The module {spec.name!r} has no Python code to run: name one written in Python.")
    main = _new_main()
    package = spec.parent if spec.name != "__main__" else ""
    _set_attributes(main, file=spec.origin, package=package, loader=spec.loader, spec=spec, cached=spec.cached)
    exec(code, main.__dict__)


def _take_place(first_path: str, argv: tuple[str, ...]) -> None:
    """Put the script's arguments and folder where `python` put gradiometer's."""
    launcher = str(Path(sys.argv[0]).resolve().parent) if sys.argv else ""
    if not sys.flags.safe_path:
        if sys.path and sys.path[0] in ("", str(Path.cwd()), launcher):
            sys.path[0] = first_path
        else:
            sys.path.insert(0, first_path)
    sys.argv[:] = argv


def _new_main() -> ModuleType:
    main = ModuleType("__main__")
    sys.modules["__main__"] = main
    return main


def _set_attributes(
    main: ModuleType, *, file: str | None, package: str | None, loader: Any, spec: ModuleSpec | None, cached: str | None
) -> None:
    """Give `__main__` the attributes that `python` gives it."""
    names = vars(main)
    names.update(__builtins__=sys.modules["builtins"], __loader__=loader, __package__=package, __spec__=spec)
    names.update(__file__=file, __cached__=cached)
    if sys.version_info < (3, 14):
        names["__annotations__"] = {}


def _leave_forked_process(exit_code: int) -> None:
    """End a child that the script made by `os.fork`: the caller's clean-up belongs to the parent alone."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
