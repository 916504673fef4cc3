"""The flight recorder in a line: what it remembers, what it has kept beside the run file, what a replay found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradiometer.schema import Diagnosis, Run
from gradiometer.units import format_bytes


def recorder_line(run: Run) -> str:
    """What the flight recorder remembers and has kept; empty for a run without one.

    Example:
        >>> recorder_line(Run(facts={"flight_recorder": {"observation_count": 12, "memory_bytes": 2048}}))
        '12 steps remembered in 2 KiB of memory'
    """
    facts = run.facts.get("flight_recorder")
    if not isinstance(facts, Mapping):
        return ""
    memory = format_bytes(facts.get("memory_bytes", 0))
    parts = [f"{facts.get('observation_count', 0)} steps remembered in {memory} of memory"]
    for name, word in (("batch", "suspicious batches"), ("weight", "sets of weights")):
        count, size_bytes = facts.get(f"kept_{name}_count"), facts.get(f"kept_{name}_bytes", 0)
        if count:
            parts.append(f"{word} kept beside the run file: {count}, {format_bytes(size_bytes)}")
    return ", ".join(parts)


def replay_line(run: Run) -> str:
    """What a replay of the run found; empty where none was made.

    Example:
        >>> replay_line(Run(facts={"replay": {"step": 7, "operation": {"name": "log"}}}))
        'step 7: the first NaN or infinity came from log'
    """
    replay = run.facts.get("replay")
    if not isinstance(replay, Mapping):
        return ""
    operation: Any = replay.get("operation")
    if not isinstance(operation, Mapping):
        found = replay.get("source")
        return f"step {replay.get('step')}: {f'{found} was NaN or infinite already' if found else 'nothing was found'}"
    layer = f" in layer {operation.get('layer')}" if operation.get("layer") else ""
    site = f" ({operation.get('call_site')})" if operation.get("call_site") else ""
    return f"step {replay.get('step')}: the first NaN or infinity came from {operation.get('name')}{layer}{site}"


def replay_command(run: Run, diagnosis: Diagnosis, run_file: Path | None) -> str:
    """The command that names the operation in which a NaN or infinity began; empty where there is nothing to name."""
    is_open = any(finding.condition == "non_finite" for finding in diagnosis.findings) and "replay" not in run.facts
    return f"gradiometer replay {run_file}" if is_open and run_file is not None and "command" in run.facts else ""
