"""What a replay found, on a terminal: step, layer, operation, place in the code, what it was given, what led to it."""

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gradiometer.schema import Operation, Replay, TensorRange
from gradiometer.units import format_number

PHASE_WORDS = {"forward": "forward pass", "backward": "backward pass", "update": "update of the weights"}
"""Part of a step to its words."""


def print_replay(replay: Replay, console: Console) -> None:
    """Print what a replay found.

    Args:
        replay: What it found.
        console: Where to print.
    """
    title = "FOUND" if replay.is_found else "NOT FOUND"
    style = "green" if replay.is_found else "yellow"
    body = Text(replay_sentence(replay))
    console.print(Panel(body, title=Text(f" {title} ", style=f"bold {style}"), title_align="left", border_style=style))
    if replay.operation is not None:
        console.print(operation_table(replay.operation))
    if replay.chain:
        console.print(Text("\nWhat led to it", style="bold"))
        console.print(chain_table(replay.chain))
    for note in (*checked_notes(replay), *replay.notes):
        console.print(Text(note[:1].upper() + note[1:], style="dim"), soft_wrap=True)


def replay_sentence(replay: Replay) -> str:
    """The result in a sentence or two.

    Example:
        >>> replay_sentence(Replay(step=7))
        'No operation of step 7 gave NaN or infinity that came to the loss, a gradient or a weight.'
    """
    operation = replay.operation
    if operation is not None:
        outputs = ", ".join(sorted({badness(output) for output in operation.outputs if not output.is_finite}))
        return (
            f"Step {replay.step}: {operation.name}{place_of(operation)} gives {outputs} in the "
            f"{PHASE_WORDS[operation.phase]}, the first operation to do so."
        )
    if replay.source:
        return f"Step {replay.step}: {replay.source} was NaN or infinite before the first operation."
    return f"No operation of step {replay.step} gave NaN or infinity that came to the loss, a gradient or a weight."


def badness(found: TensorRange) -> str:
    """What is not finite in a tensor, in words; empty for nothing.

    Example:
        >>> badness(TensorRange("", (4,), "float32", 0.0, 1.0, nan_count=1))
        'NaN'
    """
    kinds = (("NaN", found.nan_count), ("infinity", found.infinity_count))
    return " and ".join(name for name, count in kinds if count)


def place_of(operation: Operation) -> str:
    """Layer and line of an operation, in words."""
    layer = f" in layer {operation.layer}" if operation.layer else ""
    return layer + (f" ({operation.call_site})" if operation.call_site else "")


def operation_table(operation: Operation) -> RenderableType:
    """The operation in full."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    rows = [
        ("operation", operation.name + (f", of {operation.differentiates}" if operation.differentiates else "")),
        ("layer", operation.layer or "outside of every layer"),
        ("called at", operation.call_site or "unknown"),
    ]
    rows += [("given" if place == 0 else "", range_text(found)) for place, found in enumerate(operation.inputs)]
    rows += [("gives" if place == 0 else "", range_text(found)) for place, found in enumerate(operation.outputs)]
    for name, text in rows:
        grid.add_row(name, Text(text))
    return Group(Text(""), grid)


def range_text(found: TensorRange) -> str:
    """A tensor in words: its name, shape and format, its range, and what in it is not finite.

    Example:
        >>> range_text(TensorRange("fc.weight", (2, 3), "float32", -1.0, 2.0))
        'fc.weight [2 3] float32: -1 to 2'
    """
    name = f"{found.name} " if found.name else ""
    shape = " ".join(str(size) for size in found.shape)
    parts = [] if found.low is None else [f"{format_number(found.low)} to {format_number(found.high)}"]
    parts += [f"{found.nan_count} NaN"] if found.nan_count else []
    parts += [f"{found.infinity_count} infinite"] if found.infinity_count else []
    return f"{name}[{shape}] {found.dtype}: {', '.join(parts) or 'empty'}"


def chain_table(chain: tuple[Operation, ...]) -> Table:
    """The operations that led to one, the nearest last."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("operation", "layer", "called at", "gives"):
        table.add_column(heading, overflow="fold")
    for operation in chain:
        gives = "; ".join(range_text(output) for output in operation.outputs[:2])
        cells = (operation.name, operation.layer or "–", operation.call_site or "–", gives)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def checked_notes(replay: Replay) -> tuple[str, ...]:
    """How far the replay is known to be the recorded run."""
    if replay.parted_step is not None:
        return ()
    count = replay.checked_count
    text = f"the replay is the recorded run: {count} recorded step{'s' if count != 1 else ''} compared, all the same"
    return (text,) if count else ("nothing was recorded that the replay could be compared with",)
