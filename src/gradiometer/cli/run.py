"""`gradiometer run`: a script trains and is watched."""

from pathlib import Path
from typing import Annotated

import typer

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="SCRIPT [ARGS]...", help="The script and its arguments.", show_default=False),
]
Module = Annotated[str | None, typer.Option("-m", metavar="MODULE", help="Run a module, as `python -m` does.")]
RunFile = Annotated[
    Path | None, typer.Option(help="Where to record; .gradiometer/runs/SCRIPT-TIME-PROCESS.db if not given.")
]
Seed = Annotated[int | None, typer.Option(help="Seed the random generators before the script starts.")]
FailOn = Annotated[
    str | None, typer.Option(help="End with exit code 3 on a finding this severe: critical, warning, info.")
]
OpenCompiled = Annotated[
    bool, typer.Option("--open-compiled", help="Measure compiled models' layers too; full steps then run eagerly.")
]


def run(
    words: Words = None,
    module: Module = None,
    file: RunFile = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after this many optimizer steps.")] = None,
    seed: Seed = None,
    overhead: Annotated[
        float | None, typer.Option(help="Share of the training time that measuring may take; 0.01 if not given.")
    ] = None,
    fail_on: FailOn = None,
    stop_on: Annotated[str | None, typer.Option(help="Stop when this is found: a severity or a condition.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No live view.")] = False,
    open_compiled: OpenCompiled = False,
    keep_batches: Annotated[
        str, typer.Option(metavar="N|SIZE", help="Batches of suspicious steps to keep beside the run file; 0 for none.")
    ] = "4",
    keep_weights: Annotated[
        str, typer.Option(metavar="N|SIZE", help="Weights of steps on the way to keep, for a replay to be checked by.")
    ] = "0",
    cure: Annotated[
        str | None,
        typer.Option(metavar="NAME[,NAME]|RUN", help="Apply cures, or the one that `cure` has proved in a run file."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Serve the run's dashboard while it trains; its address goes to stderr.")
    ] = False,
) -> None:
    """Run a script unchanged and watch it train; the verdict comes at its end.

    The script's output, arguments and exit code are its own. Options for gradiometer go before the script's name:

        gradiometer run --steps 500 train.py --epochs 3

    With `--cure` the whole script trains with cures applied, as they would be by hand: what they change is said, new
    parameters change the keys of its checkpoints, and a cure that does not fit ends the run before it trains.
    """
    from gradiometer.cli.watched import WatchOptions, run_watched

    options = WatchOptions(
        tuple(words or ()),
        module,
        file,
        steps,
        seed,
        overhead,
        fail_on,
        stop_on,
        quiet,
        opens_compiled=open_compiled,
        keep_batches=keep_batches,
        keep_weights=keep_weights,
        cure=cure,
        is_live=live,
    )
    raise typer.Exit(run_watched(options))
