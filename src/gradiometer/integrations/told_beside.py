"""Tells a tracker of a training from a process beside it (`gradiometer.beside`), so that it imports no tracker itself.

Where the training ends, even by `kill -9`, the verdict is told and the process ends.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from gradiometer.beside import stand_beside
from gradiometer.integrations.telling import Telling, tell_growing
from gradiometer.integrations.tracker import Partner, fault_text, partner_named
from gradiometer.recording.reader import read_run
from gradiometer.settings import load_settings


def tell_beside(partner: Partner, file: Path, place: str | None, *, has_page: bool, ended: threading.Event) -> str:
    """Tell of a run file until an event is set; returns where it can be looked at."""
    tracker = partner.open(place, read_run(file))
    telling = Telling(tracker, load_settings().ignore, has_page)
    tell_growing(telling, file, is_over=lambda run: ended.is_set(), wait=ended.wait)
    return tracker.place


def main() -> None:
    """Tell of one run; the order stands in the arguments, and what came of it goes to stdout as one JSON object."""
    order = json.loads(sys.argv[1])
    # Trackers print as they like, some while the interpreter ends; stdout is the answer's.
    answering = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    ended = threading.Event()
    stand_beside(ended.set)
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


if __name__ == "__main__":
    main()
