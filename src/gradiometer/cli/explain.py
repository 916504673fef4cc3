"""`gradiometer explain`: what happened in a recorded run, in plain sentences.

Examples:
    gradiometer explain run.db
        The story of the run: verdict, when what went wrong, why, and what would help.
    gradiometer explain run.db --layer body.4
        One layer: its gain and its update ratio by cause, its units.
    gradiometer explain run.db --examples
        The examples that pulled hardest, and those that pulled against their batch.

Exit codes:
    0    It is told.
    2    The run file can't be read, or has no such layer; stderr says why.

Files:
    RUN             Read, also while it is still being written; never changed.
    pyproject.toml  Its table [tool.gradiometer] holds the findings to ignore.

Environment:
    NO_COLOR, COLUMNS  No colour; width of the terminal.
"""

from typing import Annotated

import typer

from gradiometer.cli.console import results, write_json
from gradiometer.cli.reading import Json, RecordedRun
from gradiometer.cli.topics import OUTPUT
from gradiometer.errors import SettingsError


def explain(
    run: RecordedRun,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Explain this layer alone: its gain and its update ratio by cause, its units.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    examples: Annotated[
        bool,
        typer.Option(
            "--examples", help="List the examples that pulled hardest, and against their batch.", rich_help_panel=OUTPUT
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Say what happened in a recorded run, in order: verdict, when what went wrong, why, and what would help."""
    from gradiometer.diagnosing import diagnose
    from gradiometer.explaining.agreement import describe_examples
    from gradiometer.explaining.layer_story import tell_layer
    from gradiometer.explaining.story import tell_story
    from gradiometer.recording.reader import read_run
    from gradiometer.settings import load_settings
    from gradiometer.showing.explain_text import print_example_story, print_layer_story, print_story
    from gradiometer.showing.layer_rows import snapshot_to_show

    if examples and layer is not None:
        raise SettingsError("--examples is about the whole run: leave --layer out")
    recorded = read_run(run)
    if examples:
        example_story = describe_examples(recorded)
        write_json(example_story) if json else print_example_story(example_story, results())
        return
    diagnosis = diagnose(recorded, ignore=load_settings().ignore)
    index = snapshot_to_show(recorded, diagnosis.findings[0].step if diagnosis.findings else None)
    if layer is not None:
        layer_story = tell_layer(recorded, layer, index)
        write_json(layer_story) if json else print_layer_story(layer_story, results())
        return
    story = tell_story(recorded, diagnosis, index)
    write_json(story) if json else print_story(story, recorded, diagnosis, results(), run_file=run)
