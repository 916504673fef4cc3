"""The live view: one row per layer while a run goes on, redrawn as seldom as its cost demands.

On a terminal the view is redrawn in place below what the script prints; the script's own output is passed on byte for
byte. Anywhere else (a log file, a pipe) plain lines are written at growing intervals.
"""

import math
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradiometer.schema import Run
from gradiometer.showing.guarded_console import GuardedConsole
from gradiometer.showing.layer_rows import LayerRow, rows_of_run, snapshot_to_show
from gradiometer.showing.live_region import LiveRegion
from gradiometer.units import format_db, format_number, format_seconds, format_share

SHORTEST_INTERVAL_SECONDS = 0.5
"""Never redrawn faster: twice a second is as fast as numbers can be read."""

FIRST_LINE_SECONDS = 2.0
LONGEST_LINE_SECONDS = 60.0
"""Plain lines come after 2 s, then at intervals that double up to a minute, so that a log stays short."""

BAR_WIDTH = 16
BAR_FLOOR_DB = 80.0
"""The bar is full at 0 dB and empty at -80 dB, where under SGD nothing is left to learn from."""


@dataclass(frozen=True, slots=True)
class LiveState:
    """What the live view shows.

    Attributes:
        rows: One row per layer, in order of execution.
        loss: The last loss, None where none is known.
        step: Steps taken so far.
        step_limit: Steps after which the run will be stopped; None where it runs to its own end.
        elapsed_seconds: Time since the run started.
        overhead: Share of the training time that measuring took so far.
    """

    rows: tuple[LayerRow, ...] = ()
    loss: float | None = None
    step: int = 0
    step_limit: int | None = None
    elapsed_seconds: float = 0.0
    overhead: float | None = None


class LiveView:
    """Shows a run while it goes on, from a thread of its own or whenever the caller says so.

    Args:
        run_source: Gives the state to show; called from the view's thread once per redraw. A `Run` is turned into a
            state, which is dearer.
        stream: Where to show it; stderr where None.
        share: Greatest share of the wall time that redrawing may take.
        step_limit: Steps after which the run will be stopped, where the source gives a `Run`.
    """

    def __init__(
        self,
        run_source: Callable[[], Run | LiveState],
        *,
        stream: TextIO | None = None,
        share: float = 0.003,
        step_limit: int | None = None,
    ) -> None:
        self.run_source = run_source
        self.stream = sys.stderr if stream is None else stream
        self.share = share
        self.step_limit = step_limit
        self.rendering_seconds = 0.0
        self.fault: str | None = None
        self.started_at = time.monotonic()
        self.region = LiveRegion(self.stream) if self.stream.isatty() else None
        self.ended = threading.Event()
        self.thread: threading.Thread | None = None
        self.line_seconds = FIRST_LINE_SECONDS

    def start(self) -> "LiveView":
        """Begin to show; the thread is a daemon, so a script that ends without `stop` is not held up."""
        self.started_at = time.monotonic()
        if self.region is not None:
            self.region.open()
        self.thread = threading.Thread(target=self.keep_showing, name="gradiometer-live", daemon=True)
        self.thread.start()
        return self

    def stop(self) -> None:
        """Show the last state and give the terminal back; does nothing when called twice."""
        if self.ended.is_set():
            return
        self.ended.set()
        if self.thread is not None:
            self.thread.join(timeout=5.0)
        self.render_once()
        if self.region is not None:
            self.region.close()

    def keep_showing(self) -> None:
        """Redraw until stopped, waiting after each redraw as long as its cost asks for."""
        pause = FIRST_LINE_SECONDS if self.region is None else SHORTEST_INTERVAL_SECONDS
        while not self.ended.wait(pause) and self.fault is None:
            spent = self.render_once()
            pause = max(spent / self.share, SHORTEST_INTERVAL_SECONDS)
            if self.region is None:
                self.line_seconds = min(2.0 * self.line_seconds, LONGEST_LINE_SECONDS)
                pause = max(pause, self.line_seconds)

    def render_once(self) -> float:
        """Show the state of now.

        Returns:
            Processor time that it took, s. A fault of the view ends the view (`fault` says why), never the run.
        """
        begun = time.thread_time()
        try:
            self.show(self.state())
        except Exception as fault:  # noqa: BLE001 - whatever goes wrong in showing must not reach the training
            self.fault = f"{type(fault).__name__}: {fault}"
        spent = time.thread_time() - begun
        self.rendering_seconds += spent
        return spent

    def state(self) -> LiveState:
        """The state of now; a `Run` is turned into one."""
        given = self.run_source()
        if isinstance(given, LiveState):
            return given
        return state_of(given, elapsed_seconds=time.monotonic() - self.started_at, step_limit=self.step_limit)

    def show(self, state: LiveState) -> None:
        """Draw a state in place on a terminal, or write it as one line."""
        if self.region is None:
            self.stream.write(line_of(state) + "\n")
            self.stream.flush()
            return
        columns, lines = shutil.get_terminal_size()
        self.region.draw(drawn(state, columns=columns, lines=lines))


def state_of(run: Run, *, elapsed_seconds: float, step_limit: int | None = None) -> LiveState:
    """Turn a run, as far as it has got, into what the live view shows."""
    losses = run.loss.values.tolist() if run.loss is not None else []
    return LiveState(
        rows=rows_of_run(run, snapshot_to_show(run)),
        loss=losses[-1] if losses else None,
        step=run.step_count,
        step_limit=step_limit,
        elapsed_seconds=elapsed_seconds,
        overhead=run.facts.get("overhead_measured"),
    )


def drawn(state: LiveState, *, columns: int, lines: int) -> str:
    """Draw a state for a terminal of this size, with its colours, in at most `lines` - 2 lines."""
    console = GuardedConsole(width=max(columns - 1, 40), force_terminal=True)
    with console.capture() as capture:
        console.print(view_of(state, max_rows=max(lines - 6, 3)))
    return capture.get()


def view_of(state: LiveState, *, max_rows: int) -> RenderableType:
    """The table of layers, output first, under a line of progress; the worst where not all fit."""
    shown = worst_rows(state.rows, max_rows)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for heading in ("layer", "level", "", "gain", "slope", "update ratio"):
        number = heading in {"level", "gain", "slope", "update ratio"}
        table.add_column(heading, justify="right" if number else "left", no_wrap=True, overflow="ellipsis")
    for row in reversed(shown):
        style = style_of(row.level_db)
        table.add_row(
            Text(row.name),
            Text(format_db(row.level_db), style=style),
            Text(bar_of(row.level_db), style=style),
            Text(format_db(row.gain_db)),
            Text(format_number(row.slope)),
            Text(format_number(row.update_ratio)),
        )
    hidden_count = len(state.rows) - len(shown)
    tail = (
        [Text(f"{hidden_count} more layers with levels nearer 0 dB are not shown", style="dim")] if hidden_count else []
    )
    return Group(Text(progress_of(state), style="bold"), table, *tail)


def progress_of(state: LiveState) -> str:
    """Steps, loss, time and cost in one line."""
    limit = f" of {state.step_limit}" if state.step_limit is not None else ""
    parts = [f"step {state.step}{limit}", f"loss {format_number(state.loss)}", format_seconds(state.elapsed_seconds)]
    if state.overhead is not None:
        parts.append(f"measuring {format_share(state.overhead)}")
    return "  ·  ".join(parts)


def line_of(state: LiveState) -> str:
    """A state as one plain line: progress and the layer that is farthest from 0 dB."""
    worst = worst_rows(state.rows, 1)
    parts = [f"gradiometer: {progress_of(state)}"]
    if worst and worst[0].level_db is not None:
        parts.append(f"worst level {format_db(worst[0].level_db)} at {worst[0].name}")
    return "  ·  ".join(parts)


def worst_rows(rows: Sequence[LayerRow], count: int) -> list[LayerRow]:
    """At most `count` rows, those farthest from 0 dB, in their own order; rows without a level come last."""
    if len(rows) <= count:
        return list(rows)

    def distance(index: int) -> float:
        level = rows[index].level_db
        return -1.0 if level is None else abs(level)

    chosen = sorted(range(len(rows)), key=distance, reverse=True)[:count]
    return [rows[index] for index in sorted(chosen)]


def bar_of(level_db: float | None) -> str:
    """A small bar for a level: full from 0 dB up, empty at the floor.

    Example:
        >>> bar_of(0.0), bar_of(-40.0), bar_of(float("-inf"))
        ('████████████████', '████████', '')
    """
    if level_db is None or math.isnan(level_db):
        return ""
    share = min(max(1.0 + level_db / BAR_FLOOR_DB, 0.0), 1.0)
    eighths = round(share * BAR_WIDTH * 8)
    return "█" * (eighths // 8) + ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]


def style_of(level_db: float | None) -> str:
    """Colour of a level: the farther from 0 dB, either way, the warmer. The number says the same without colour."""
    if level_db is None:
        return "dim"
    distance = abs(level_db)
    return "green" if distance < 20.0 else "yellow" if distance < 60.0 else "red"
