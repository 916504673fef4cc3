"""Runs every odd script bare and watched in full, and tells what was seen of each as JSON.

With names and a count behind the folder, these scripts so many times: what threads do differs from time to time.
"""

import contextlib
import io
import json
import sys
import traceback
from pathlib import Path

import torch

from gradiometer.launching.launch import Launch, launch_script
from gradiometer.launching.script import Target, run_target
from gradiometer.recording.reader import read_run
from launching.odd_scripts import SCRIPTS


def output_of(run: object) -> tuple[str, object]:
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        result = run()  # type: ignore[operator]
    return written.getvalue().strip(), result


def observe(name: str, folder: Path) -> dict[str, object]:
    script = folder / f"{name}.py"
    script.write_text(SCRIPTS[name])
    target = Target(str(script), None)
    bare, _ = output_of(lambda: run_target(target, when_torch_is_imported=lambda: None))
    watched, result = output_of(lambda: launch_script(Launch(target, folder / f"{name}.db", overhead=1.0)))
    run = read_run(folder / f"{name}.db")
    return {
        "bare": bare,
        "watched": watched,
        "code": result.ending.exit_code,  # type: ignore[attr-defined]
        "steps": run.step_count,
        "snapshots": run.snapshot_count,
        "layers": [layer.name for layer in run.layers],
        "parameters": [parameter.name for parameter in run.parameters],
        "losses": len(run.losses),
        "coverage": run.coverage.line,
        "by_hand": run.facts["hand_written_updates"],
        "faults": [event.text for event in run.events if event.kind == "fault"],
        "nonfinite": int(run.losses[0].nonfinite_counts.sum()) if run.losses else 0,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    # A script that is run has the arguments for itself.
    place, *chosen = sys.argv[1:]
    names, count = (chosen[0].split(","), int(chosen[1])) if chosen else (list(SCRIPTS), 1)
    found: dict[str, object] = {}
    for number, name in enumerate(names * count):
        case = f"{name} {number}" if chosen else name
        folder = Path(place) / str(number)
        folder.mkdir()
        try:
            found[case] = observe(name, folder)
        except Exception:
            found[case] = {"error": traceback.format_exc()}
    sys.stdout.write(json.dumps(found))
