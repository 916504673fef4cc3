"""How long `gradiometer cure` takes on the example scripts, and whether it proves a cure."""

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.cures.running import cure_on_command_line

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def time_examples(names: Sequence[str], workers: int | None, *, is_json: bool) -> None:
    """Cure example scripts one after another, each in a new folder, and print a line for each.

    Args:
        names: Their names without ending; empty for all.
        workers: Processes at a time; None for one per processor.
        is_json: Print one JSON object instead.
    """
    rows = []
    for script in sorted(EXAMPLES.glob("*.py")):
        if names and script.stem not in names:
            continue
        with TemporaryDirectory() as folder:
            answer, seconds = cure_on_command_line(script, (), Path(folder), workers)
        row = {
            "script": script.stem,
            "seconds": seconds,
            "verdict": answer["verdict"],
            "outcome": answer["outcome"],
            "cures": answer["cures"],
            "trials": len(answer["trials"]),
        }
        rows.append(row)
        if not is_json:
            label = "+".join(row["cures"])
            print(f"  {script.stem:28} {seconds:5.0f} s  {row['verdict']:8} {row['outcome']:10} {label}", flush=True)
    faulty = [row["seconds"] for row in rows if row["verdict"] != "healthy"]
    middle = median(faulty) if faulty else None
    if is_json:
        print(
            json.dumps({"machine": platform.processor() or platform.machine(), "median_seconds": middle, "rows": rows})
        )
    elif middle is not None:
        print(f"  median of those with a finding: {middle:.0f} s (target: 60 s on two processors)")
