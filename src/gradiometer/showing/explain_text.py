"""The story of a run, and of one layer, on a terminal: verdict first, then what happened, why, and what would help."""

import math
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gradiometer.explaining.agreement import ExampleStory
from gradiometer.explaining.budget_words import GLOSS, Share
from gradiometer.explaining.layer_story import LayerStory
from gradiometer.explaining.moments import Moment
from gradiometer.explaining.story import Story
from gradiometer.schema import Diagnosis, Outcome, Run
from gradiometer.showing.outcome_words import outcome_numbers, outcome_warnings
from gradiometer.showing.palette import VERDICT_STYLES
from gradiometer.showing.wording import (
    OUTCOME_WORDS,
    VERDICT_WORDS,
    condition_in_words,
    cure_in_words,
    cures_in_words,
    next_command,
    sentence,
    verdict_sentence,
    written,
)
from gradiometer.units import format_db, format_share

MOST_MOMENTS = 12
"""Moments that are told on a terminal; JSON has them all."""

MOST_REASONS = 3
"""Findings whose reasons are told on a terminal."""


def print_story(
    story: Story, run: Run, diagnosis: Diagnosis, console: Console, *, run_file: Path | None = None
) -> None:
    """Print a story.

    Args:
        story: What happened in the run.
        run: The run; tells what trials of cures proved and which command to try next.
        diagnosis: What was found in it.
        console: Where to print.
        run_file: The run file, named in the command to try next.
    """
    title, style = VERDICT_WORDS[story.verdict][0], VERDICT_STYLES[story.verdict]
    says_more = story.headline and story.headline != verdict_sentence(diagnosis)
    body = Text("\n".join([verdict_sentence(diagnosis), *([story.headline] if says_more else [])]))
    console.print(Panel(body, title=Text(f" {title.upper()} ", style=f"bold {style}"), title_align="left"))
    print_paragraph(console, "What was run", " ".join(story.opening))
    console.print(Text("\nWhat happened", style="bold"))
    console.print(Padding(moments_table(chosen_moments(story.moments)), (0, 0, 0, 2)))
    hidden_count = len(story.moments) - MOST_MOMENTS
    if hidden_count > 0:
        console.print(Text(f"  and {hidden_count} more; --json has them all", style="dim"))
    print_paragraph(console, "What became of the gradient", " ".join([*story.level.sentences, *story.updates]))
    for place, reason in enumerate(story.reasons[:MOST_REASONS]):
        heading = f"{'Why' if place == 0 else 'And why'}: {condition_in_words(reason.condition)}"
        print_paragraph(console, heading, " ".join(reason.sentences))
    print_paragraph(console, "What would help", " ".join(help_sentences(story, run)))
    print_paragraph(console, "What this rests on", " ".join(story.limits))
    command = next_command(run, diagnosis, run_file)
    if command:
        console.print(Text.assemble("\nTry next:  ", (command, "bold")), soft_wrap=True)


def print_paragraph(console: Console, heading: str, text: str) -> None:
    """Print a heading and its sentences; nothing where there are none."""
    if text:
        console.print(Text(f"\n{heading}", style="bold"))
        console.print(Padding(Text(text), (0, 0, 0, 2)))


def chosen_moments(moments: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """At most `MOST_MOMENTS` of a run's moments: the first ones, and its end."""
    if len(moments) <= MOST_MOMENTS:
        return moments
    return (*moments[: MOST_MOMENTS - 1], moments[-1])


def moments_table(moments: tuple[Moment, ...]) -> Table:
    """One line for each moment: its step, then what happened."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for moment in moments:
        grid.add_row(f"step {moment.step}", Text(moment.text))
    return grid


def help_sentences(story: Story, run: Run) -> list[str]:
    """What would help: what trials proved, or else the cures that fit, with what one of them is foretold to give."""
    if run.outcome is not None:
        return outcome_sentences(run.outcome)
    if story.verdict == "healthy":
        return ["Nothing has to be done."]
    sentences = []
    if story.cures:
        words = [cure_in_words(label) for label in story.cures[:3]]
        sentences.append(sentence(f"what fits best: {'; or '.join(words)}"))
    if story.prediction is not None:
        foretold = f"foretold for \u201c{cure_in_words(story.prediction.cure)}\u201d: {story.prediction.text}"
        sentences.append(sentence(foretold))
    if story.cures:
        sentences.append("None of this is proved before it is tried beside an untouched control.")
    elif story.reasons:
        sentences.append("No cure changes this by itself: the script has to be mended where the finding says.")
    return sentences


def outcome_sentences(outcome: Outcome) -> list[str]:
    """What trials of cures proved, in sentences."""
    cure = f"Tried was: {cures_in_words(outcome.cures)}." if outcome.cures else ""
    found = [OUTCOME_WORDS[outcome.verdict], cure, sentence(outcome.detail), outcome_numbers(outcome)]
    return [text for text in (*found, *outcome_warnings(outcome)) if text]


def print_layer_story(story: LayerStory, console: Console) -> None:
    """Print what one layer does to the gradient and how far its weights move, each by cause, and its units."""
    site = f", called at {story.call_site}" if story.call_site else ""
    console.print(Text.assemble((story.layer, "bold"), f"  {story.kind}{site}"))
    if story.step is None:
        console.print(Text("\nNo step was measured in full.", style="dim"))
        return
    console.print(Text(f"\nWhat it does to the gradient (step {story.step})", style="bold"))
    print_gain(story, console)
    if story.update is not None:
        console.print(Text(f"\nHow far a step moves {story.update.parameter}", style="bold"))
        ratio = "not measured" if math.isnan(story.update.ratio) else f"{written(story.update.ratio)} of its size"
        late = "" if math.isnan(story.update.late_ratio) else f"; later in the run {written(story.update.late_ratio)}"
        console.print(Padding(Text(f"At step {story.step} {ratio}{late}. About 0.001 is usual."), (0, 0, 0, 2)))
        console.print(Padding(shares_table(story.update.shares), (0, 0, 0, 2)))
    units = unit_sentences(story)
    print_paragraph(console, "Its units", " ".join(units))
    console.print(Text(f"\n{GLOSS}.", style="dim"))


def print_example_story(story: ExampleStory, console: Console) -> None:
    """Print which examples pulled hardest over a run, and which against their batch."""
    print_paragraph(console, "How its examples pulled", " ".join(story.sentences))
    listed = (("Pulled hardest", story.hardest), ("Pulled against their batch", story.against))
    for heading, examples in listed:
        if not examples:
            continue
        console.print(Text(f"\n{heading}", style="bold"))
        grid = Table.grid(padding=(0, 2))
        for one in examples:
            cosine = "" if one.cosine is None else f"cosine {one.cosine:+.2f}"
            seen = f"seen in {len(one.sightings)} step{'s' if len(one.sightings) != 1 else ''}"
            grid.add_row(Text(one.name), f"{written(one.times_median)} times the median", cosine, seen)
        console.print(Padding(grid, (0, 0, 0, 2)))


def print_gain(story: LayerStory, console: Console) -> None:
    """Print a layer's level and gain, and the shares of the gain."""
    level = "" if math.isnan(story.level_db) else f"At its output the level is {format_db(story.level_db)}. "
    if math.isnan(story.gain_db):
        console.print(Padding(Text(f"{level}Its own gain was not measured."), (0, 0, 0, 2)))
        return
    console.print(Padding(Text(f"{level}It changes the gradient by {format_db(story.gain_db)}:"), (0, 0, 0, 2)))
    console.print(Padding(shares_table(story.gain_shares), (0, 0, 0, 2)))
    if story.weights_excess_db is not None:
        words = f"Its weights are {format_db(story.weights_excess_db)} from the scale that keeps a gradient."
        console.print(Padding(Text(words), (0, 0, 0, 2)))


def shares_table(shares: tuple[Share, ...]) -> Table:
    """One line for each share, largest first."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column()
    for share in shares:
        grid.add_row(format_db(share.share_db), Text(share.text))
    return grid


def unit_sentences(story: LayerStory) -> list[str]:
    """How many of a layer's units are saturated, dead, or only scale."""
    shares = (
        (story.saturated_share, "sit where the activation is flat (saturated)"),
        (story.dead_share, "answer no example (dead)"),
        (story.linear_share, "only scale: their activation works on one straight piece (linear)"),
    )
    told = [f"{format_share(share)} {words}" for share, words in shares if not math.isnan(share)]
    if not told:
        return []
    count = f"Of its {story.unit_count} units " if story.unit_count else "Of its units "
    return [f"{count}{', '.join(told)}."]
