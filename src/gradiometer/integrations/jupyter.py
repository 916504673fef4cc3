"""Jupyter and IPython: `%%gradiometer` watches the training in a cell, `%gradiometer RUN.db` shows a run.

`%load_ext gradiometer` registers both, and how nouns show themselves. The cell runs as it is: models and optimizers are
found as `gradiometer run` finds them, also those that an earlier cell has made. Torch is imported by the first cell
that is watched, not here.
"""

import argparse
import ast
import gc
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gradiometer.errors import GradiometerError
from gradiometer.settings import Settings, load_settings

if TYPE_CHECKING:
    from gradiometer.launching.discovery import Discovery
    from gradiometer.schema import Run
    from gradiometer.session import Session

NOTHING_SEEN = (
    "gradiometer: no training was seen in this cell: no optimizer took a step after a backward(). Put the magic above "
    "the cell that trains; a training in a process of its own is not seen.\n"
)

ADOPTING_STEPS = 2
"""Steps in which a model is still looked for whose optimizer an earlier cell has made: all are called by then."""


@dataclass(frozen=True, slots=True)
class CellOptions:
    """The options behind `%%gradiometer`.

    Attributes:
        file: Path of the run file; None keeps the run in memory.
        overhead: Share of the training time that measuring may take; None leaves it to the settings.
        open_compiled: Measure the layers of compiled models too.
    """

    file: Path | None = None
    overhead: float | None = None
    open_compiled: bool = False


class MagicParser(argparse.ArgumentParser):
    """Reads the line of a magic; what is wrong with it is one sentence below the cell, and the kernel stays."""

    def error(self, message: str) -> NoReturn:
        """Refuse the line.

        Raises:
            UsageError: Always.
        """
        from IPython.core.error import UsageError

        raise UsageError(f"{message}; %gradiometer? tells how it is written")


def words_of(line: str) -> list[str]:
    """The words of a magic's line.

    Raises:
        UsageError: A quotation mark is left open.
    """
    from IPython.core.error import UsageError

    try:
        return shlex.split(line)
    except ValueError as fault:
        raise UsageError(f"the line can't be read ({fault}): {line}") from None


def cell_options(line: str) -> CellOptions:
    """Read the line of `%%gradiometer`.

    Raises:
        UsageError: An option is unknown or has a wrong value.
    """
    parser = MagicParser(prog="%%gradiometer", add_help=False, allow_abbrev=False)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--overhead", type=float)
    parser.add_argument("--open-compiled", action="store_true")
    given = parser.parse_args(words_of(line))
    return CellOptions(given.file, given.overhead, given.open_compiled)


class GradiometerMagic:
    """The two magics of one shell.

    Args:
        shell: The IPython shell.

    Attributes:
        latest: The run that was watched last; None before any.
    """

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.latest: Run | None = None

    def gradiometer(self, line: str, cell: str | None = None) -> "Run | None":
        """Watch the training in a cell, or show a run.

        %%gradiometer [--file RUN.db] [--overhead 0.01] [--open-compiled]
            Run the cell as it is, watch what trains in it, and show the diagnosis below its output. Models and
            optimizers need not be made in the cell. --file keeps the run, else it stays in memory; --overhead is the
            share of the training time that measuring may take; --open-compiled measures layers of compiled models.

        %gradiometer RUN.db
            Open a recorded run; without a name, the one that was watched last. It is the value of the line:
            run = %gradiometer
        """
        __tracebackhide__ = "__ipython_bottom__"  # a failing cell shows its own frames alone
        if cell is None:
            return self.opened(line)
        self.watch(cell_options(line), cell)
        return None

    def opened(self, line: str) -> "Run":
        """The run that a line names.

        Raises:
            UsageError: There is none, or it can't be read.
        """
        from IPython.core.error import UsageError

        from gradiometer.recording.reader import read_run

        parser = MagicParser(prog="%gradiometer", add_help=False)
        parser.add_argument("run", type=Path, nargs="?")
        file = parser.parse_args(words_of(line)).run
        if file is None and self.latest is None:
            raise UsageError("no training was watched yet: name a run file, or put %%gradiometer above a cell")
        if file is None:
            assert self.latest is not None
            return self.latest
        try:
            return read_run(file)
        except GradiometerError as error:
            raise UsageError(str(error)) from None

    def watch(self, options: CellOptions, cell: str) -> None:
        """Run a cell watched, and show the diagnosis; what the cell raises goes on.

        Raises:
            UsageError: The run can't be recorded as it was asked for.
        """
        __tracebackhide__ = "__ipython_bottom__"
        from IPython.core.error import UsageError

        try:
            settings = load_settings()
            session = session_for(options, settings)
        except GradiometerError as error:
            raise UsageError(str(error)) from None
        try:
            with watching(session):
                run_code(self.shell, cell)
        finally:
            self.show(session, settings)

    def show(self, session: "Session", settings: Settings) -> None:
        """Show the diagnosis of a cell that has ended, well or not."""
        from IPython.display import display

        from gradiometer.diagnosing import diagnose

        if session.probe.step == 0:
            sys.stderr.write(NOTHING_SEEN)
            return
        self.latest = session.run
        display(diagnose(self.latest, ignore=settings.ignore))  # type: ignore[no-untyped-call]
        if session.writer.path is not None:
            sys.stderr.write(f"Run file:  {session.writer.path}\n")


def session_for(options: CellOptions, settings: Settings) -> "Session":
    """The session that a cell is watched by.

    Raises:
        RunFileError: A file is in the way.
        SettingsError: The share is not above 0 and at most 1.
    """
    from gradiometer.session import Session

    session = Session(
        options.file,
        settings.overhead if options.overhead is None else options.overhead,
        max_bytes=settings.max_megabytes * 2**20,
        open_compiled=options.open_compiled or settings.open_compiled,
        dear=settings.dear,
    )
    session.writer.add_facts({"script": "interactive"})
    return session


@contextmanager
def watching(session: "Session") -> Iterator[None]:
    """Watch whatever trains within; however that ends, all hooks are taken off and the run is closed."""
    from gradiometer.launching.discovery import Discovery

    discovery = Discovery(session)
    adoption = Adoption(discovery)
    fault: BaseException | None = None
    try:
        adoption.start()
        discovery.start()
        yield
    except BaseException as error:
        fault = error
        raise
    finally:
        adoption.stop()
        discovery.stop()
        session.end(fault)


class Adoption:
    """Hands optimizers to the search that earlier cells have made: each when a model whose weights it holds is called.

    Notebooks leave optimizers of models behind that train no more; these are never handed on.

    Args:
        discovery: The search; not started yet.
    """

    def __init__(self, discovery: "Discovery") -> None:
        self.discovery = discovery
        self._waiting: list[Any] = []
        self._handle: Any = None

    def start(self) -> None:
        """Look at the calls of modules, before the search does."""
        from torch.nn.modules.module import register_module_forward_pre_hook
        from torch.optim import Optimizer

        from gradiometer.measuring.compiled import is_anything_compiled

        gc.collect()
        self._waiting = [thing for thing in gc.get_objects() if issubclass(type(thing), Optimizer)]
        probe = self.discovery.probe
        if is_anything_compiled():
            # No hook may be there when compiled code runs, so whose model is called can't be told.
            probe.meet_compiled()
            self._adopt(self._waiting)
        elif self._waiting:
            self._handle = register_module_forward_pre_hook(self._before_module)

    def stop(self) -> None:
        """Look no more."""
        self._waiting = []
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _before_module(self, module: Any, inputs: tuple[Any, ...]) -> None:
        from gradiometer.measuring.parameters import members

        probe = self.discovery.probe
        if not self._waiting or not probe.is_my_thread():
            return
        with probe.guard:
            if probe.step >= ADOPTING_STEPS:
                self._waiting = []
                return
            owned = {id(parameter) for parameter in module.parameters()}
            self._adopt([one for one in self._waiting if any(id(tensor) in owned for _, tensor in members(one))])

    def _adopt(self, found: list[Any]) -> None:
        self._waiting = [one for one in self._waiting if not any(one is other for other in found)]
        for optimizer in found:
            self.discovery.join(optimizer)


def run_code(shell: Any, cell: str) -> None:
    """Run a cell in the shell's namespace; a last expression is displayed, and what is raised is left to the shell.

    Raises:
        SyntaxError: The cell is not Python.
    """
    __tracebackhide__ = "__ipython_bottom__"
    from IPython.core.displayhook import DisplayHook

    source = shell.transform_cell(cell)
    name = shell.compile.cache(source, shell.execution_count, raw_code=cell)
    tree = shell.transform_ast(ast.parse(source, name))
    is_shown = bool(tree.body) and isinstance(tree.body[-1], ast.Expr)
    is_shown = is_shown and not DisplayHook.semicolon_at_end_of_expression(cell)  # type: ignore[no-untyped-call]
    last = [tree.body.pop()] if is_shown else []
    exec(shell.compile(tree, name, "exec"), shell.user_ns)
    if last:
        exec(shell.compile(ast.Interactive(last), name, "single"), shell.user_ns)


def load_ipython_extension(shell: Any) -> None:
    """Register both magics with a shell; a second time does nothing new."""
    known = shell.magics_manager.magics["cell"].get("gradiometer")
    if not isinstance(getattr(known, "__self__", None), GradiometerMagic):
        shell.register_magic_function(GradiometerMagic(shell).gradiometer, "line_cell", "gradiometer")
