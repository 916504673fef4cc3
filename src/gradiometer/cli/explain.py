"""`gradiometer explain`: what happened in a recorded run, in plain sentences."""

from pathlib import Path
from typing import Annotated

import typer

from gradiometer.cli.console import results, write_json
from gradiometer.errors import SettingsError


def explain(
    run: Annotated[Path, typer.Argument(help="The run file.", show_default=False)],
    layer: Annotated[
        str | None, typer.Option(help="Explain this layer alone: its gain and its update ratio by cause, its units.")
    ] = None,
    examples: Annotated[
        bool, typer.Option("--examples", help="List the examples that pulled hardest, and against their batch.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
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
