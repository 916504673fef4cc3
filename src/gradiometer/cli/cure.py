"""`gradiometer cure`: the cures that fit are tried, and the one that works is proved."""

import os
from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.run import Module, Words


def cure(
    words: Words = None,
    module: Module = None,
    steps: Annotated[int | None, typer.Option(min=2, help="Steps of each trial.")] = None,
    seconds: Annotated[float | None, typer.Option(min=1.0, help="Time that all may take; 120 if not given.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds of the last trials; 3 to 5 if not given.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes at a time; one per processor.")] = None,
    file: Annotated[Path | None, typer.Option(help="Copy the run file with the outcome to this place.")] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Print the change as a patch of the script.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    tries: Annotated[
        str | None, typer.Option("--try", metavar="NAME[,NAME]", help="Try these cures first; + joins a pair.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what was tried before.")] = False,
    engine: Annotated[str, typer.Option(help="What runs the trials: local, or ray.")] = "local",
    address: Annotated[
        str | None, typer.Option(metavar="[ray://]HOST:PORT", help="A Ray cluster; one on this machine if not given.")
    ] = None,
    gpus_per_trial: Annotated[
        float, typer.Option(min=0.0, help="GPUs that Ray gives each trial; a share of one if below 1.")
    ] = 0.0,
) -> None:
    """Find out what is wrong with a script's training, try the cures that fit, and prove which one works.

    The script runs some dozen times, shortly, in processes of its own; nothing that it writes touches your files.
    In place of the script a run file may be given, whose script and arguments are taken. Ctrl-C keeps what is done,
    and the same command goes on from there.
    """
    from gradiometer.cli.curing import CureOptions, run_cure
    from gradiometer.cli.engines import EngineOptions
    from gradiometer.curing.trials.plan import Wishes
    from gradiometer.launching.torchrun import refuse_several

    refuse_several(os.environ, "cure")
    wishes = Wishes(steps, seconds, seeds, workers)
    labels = tuple(label.strip() for label in (tries or "").split(",") if label.strip())
    options = CureOptions(
        tuple(words or ()),
        module,
        wishes,
        file,
        is_diff=diff,
        is_json=json,
        is_fresh=fresh,
        labels=labels,
        engine=EngineOptions(engine, address, gpus_per_trial),
    )
    raise typer.Exit(run_cure(options))
