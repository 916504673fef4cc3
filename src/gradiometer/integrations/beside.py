"""Tells a tracker of a training from a process of its own, which ends when the training does.

The training's process imports no tracker, and does nothing but to hold the other end of a pipe; where that end closes,
even by `kill -9`, the verdict is told and the process ends. It has a lower priority and one thread for numbers.
"""

import json
import os
import select
import sys
import threading
from pathlib import Path
from typing import Any

from gradiometer.errors import GradiometerError
from gradiometer.integrations.telling import Telling, tell_growing
from gradiometer.integrations.tracker import Partner, partner_named
from gradiometer.recording.reader import read_run
from gradiometer.settings import load_settings

NICENESS = 10


def tell_beside(partner: Partner, file: Path, place: str | None, *, has_page: bool, ended: threading.Event) -> str:
    """Tell of a run file until an event is set; returns where it can be looked at."""
    tracker = partner.open(place, read_run(file))
    telling = Telling(tracker, load_settings().ignore, has_page)
    tell_growing(telling, file, is_over=lambda run: ended.is_set(), wait=ended.wait)
    return tracker.place


def wait_for_end(ended: threading.Event) -> None:
    """Set an event once the training's process lets go of its end of the pipe."""
    select.select([sys.stdin], [], [])
    sys.stdin.read()
    ended.set()


def main() -> None:
    """Tell of one run; the order stands in the arguments, and what came of it goes to stdout as one JSON object."""
    order = json.loads(sys.argv[1])
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    # Trackers print as they like, some while the interpreter ends; stdout is the answer's.
    answering = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    ended = threading.Event()
    threading.Thread(target=wait_for_end, args=(ended,), daemon=True).start()
    with answering:
        answering.write(json.dumps(answer_to(order, ended)))


def answer_to(order: dict[str, Any], ended: threading.Event) -> dict[str, str]:
    """Carry out an order; tells the place, or the fault, which is said at once, too."""
    try:
        partner = partner_named(order["tracker"])
        file, place = Path(order["file"]), order["place"]
        return {"place": tell_beside(partner, file, place, has_page=order["has_page"], ended=ended)}
    except Exception as fault:
        sys.stderr.write(f"gradiometer: {order['tracker']} is told no more: {fault_text(fault)}. Training goes on.\n")
        return {"fault": fault_text(fault)}


def fault_text(fault: Exception) -> str:
    """A fault in one line, at a length that people read."""
    words = " ".join(str(fault).split())[:300]
    return words.rstrip(".") if isinstance(fault, GradiometerError) else f"{type(fault).__name__}: {words}".rstrip(".")


if __name__ == "__main__":
    main()
