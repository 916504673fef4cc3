"""`gradiometer cure`: the cures that fit are tried, and the one that works is proved."""

import os
from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.run import Module, Words

Steps = Annotated[int | None, typer.Option(min=2, help="Steps of each trial.")]
Seconds = Annotated[float | None, typer.Option(min=1.0, help="Time that all may take; 120 if not given.")]
Seeds = Annotated[int | None, typer.Option(min=1, help="Seeds of the last trials; 4 or 5 if not given.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes at a time; one per processor.")]
OutcomeFile = Annotated[Path | None, typer.Option(help="Copy the run file with the outcome to this place.")]
Diff = Annotated[bool, typer.Option("--diff", help="Print the change as a patch of the script.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Tries = Annotated[
    str | None, typer.Option("--try", metavar="NAME[,NAME]", help="Try these cures first; + joins a pair.")
]
Without = Annotated[str | None, typer.Option(metavar="NAME[,NAME]", help="Kinds of cures that are not to be tried.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget what was tried before.")]
EngineName = Annotated[str, typer.Option(help="What runs the trials: local, or ray.")]
Address = Annotated[
    str | None, typer.Option(metavar="[ray://]HOST:PORT", help="A Ray cluster; one on this machine if not given.")
]
GpusPerTrial = Annotated[
    float, typer.Option(min=0.0, help="GPUs that Ray gives each trial; a share of one if below 1.")
]


def cure(
    words: Words = None,
    module: Module = None,
    steps: Steps = None,
    seconds: Seconds = None,
    seeds: Seeds = None,
    workers: Workers = None,
    file: OutcomeFile = None,
    diff: Diff = False,
    json: Json = False,
    tries: Tries = None,
    without: Without = None,
    fresh: Fresh = False,
    engine: EngineName = "local",
    address: Address = None,
    gpus_per_trial: GpusPerTrial = 0.0,
) -> None:
    """Find out what is wrong with a script's training, try the cures that fit, and prove which one works.

    The script runs some dozen times, shortly, in processes of its own; nothing that it writes touches your files.
    In place of the script a run file may be given, whose script and arguments are taken. Ctrl-C keeps what is done,
    and the same command goes on from there.
    """
    from gradiometer.cli.curing import CureOptions, listed, run_cure
    from gradiometer.cli.engines import EngineOptions
    from gradiometer.curing.trials.plan import Wishes
    from gradiometer.launching.torchrun import refuse_several

    refuse_several(os.environ, "cure")
    options = CureOptions(
        tuple(words or ()),
        module,
        Wishes(steps, seconds, seeds, workers),
        file,
        is_diff=diff,
        is_json=json,
        is_fresh=fresh,
        labels=listed(tries),
        left_out=listed(without),
        engine=EngineOptions(engine, address, gpus_per_trial),
    )
    raise typer.Exit(run_cure(options))
