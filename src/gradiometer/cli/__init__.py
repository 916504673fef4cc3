"""The command line: one verb per file, imported when it is called.

Typer is built on click, in its older versions from outside and in its newer ones on a copy of its own; so the classes
here speak of click's contexts and commands without naming their types.
"""

import platform
import sys
from importlib import import_module
from inspect import getdoc
from typing import Any

import typer
from typer.core import TyperGroup

from gradiometer.cli.exit_codes import COULD_NOT, INTERRUPTED
from gradiometer.cli.manual import HELP_NAMES, ManualCommand
from gradiometer.errors import GradiometerError
from gradiometer.showing.printable import printable

VERBS: dict[str, str] = {
    "run": "Run a script and watch it train: verdict, where, why.",
    "check": "Run a script's first steps only, and say what shows from the start.",
    "cure": "Try the cures that fit and prove which one works.",
    "diagnose": "Say what is wrong with a recorded run.",
    "explain": "Say what happened in a recorded run, in order and in plain words.",
    "replay": "Run a recorded script again, up to the operation where NaN or infinity began.",
    "compare": "Say what changed between two recorded runs, for better or worse.",
    "report": "Write a recorded run as one HTML page.",
    "live": "Watch recorded and growing runs in a browser.",
    "export": "Write a recorded run as tables: CSV, Parquet or JSON, and its figures.",
    "theory": "Say how deep a network may be, and at which learning rate, before it is trained.",
    "lab": "Conduct the field's classic experiments, published beside measured.",
    "runs": "List or clean the folder of run files.",
    "docs": "Say what a condition or a cure is, and where its rule comes from.",
}
"""Every verb and the question it answers; its file and function have its name."""

PASSING_ON = frozenset({"run", "check", "cure"})
"""Verbs that hand what follows the script's name on to the script."""


class PassingOn(ManualCommand):
    """A verb that runs a script: what follows the script's name, or `-m MODULE`, belongs to the script."""

    allow_interspersed_args = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse our own options; end them behind `-m MODULE`, as `python` does."""
        with_value = {
            name for parameter in self.params if not getattr(parameter, "is_flag", True) for name in parameter.opts
        }
        index = 0
        while index < len(args) and args[index].startswith("-") and args[index] != "--":
            is_module = args[index] == "-m"
            index += 2 if args[index] in with_value else 1
            if is_module and index <= len(args):
                args = [*args[:index], "--", *args[index:]]
                break
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """How the verb is called: a script or a module, and what belongs to it."""
        return ["[OPTIONS]", "{SCRIPT | -m MODULE} [ARGS]..."]


class LazyVerbs(TyperGroup):
    """A group whose commands are imported when they are asked for, so that `--help` and reports stay fast."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the verbs, in the order in which they are used."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a verb, None for an unknown one."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f"gradiometer.cli.{cmd_name}")
        function = getattr(module, cmd_name)
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        kind = PassingOn if cmd_name in PASSING_ON else ManualCommand
        single.command(name=cmd_name, help=function.__doc__, cls=kind, context_settings=HELP_NAMES)(function)
        command: Any = typer.main.get_command(single)
        command.name = cmd_name
        command.manual = getdoc(module) or ""
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of verbs without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


app = typer.Typer(
    cls=LazyVerbs,
    name="gradiometer",
    help="Find the layer where a network's gradient goes wrong, the reason, and prove a cure.",
    no_args_is_help=True,
    context_settings=HELP_NAMES,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def show_version(is_wanted: bool) -> None:
    """Print the version, with those of what decides how a script runs, and end."""
    if is_wanted:
        from gradiometer import __version__

        typer.echo(f"gradiometer {__version__} (Python {platform.python_version()}, {installed_torch()})")
        raise typer.Exit


def installed_torch() -> str:
    """Which torch is installed, without loading it."""
    from importlib import metadata  # takes as long to load as the rest of the help

    try:
        return f"torch {metadata.version('torch')}"
    except metadata.PackageNotFoundError:
        return "no torch"


@app.callback()
def start(
    version: bool = typer.Option(
        False, "--version", "-V", callback=show_version, is_eager=True, help="Print the version, and torch's."
    ),
) -> None:
    """Find the layer where a network's gradient goes wrong, the reason, and prove a cure."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line.

    Args:
        arguments: The words behind the program's name; those of the process where None.

    A `GradiometerError` is one sentence on stderr and exit code 2; Ctrl-C outside of a script ends with 130.
    """
    try:
        return app(arguments, prog_name="gradiometer")
    except GradiometerError as error:
        sys.stderr.write(f"gradiometer: {printable(str(error))}\n")
        raise SystemExit(COULD_NOT) from None
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        raise SystemExit(INTERRUPTED) from None
