"""How two runs were set up: script, arguments, seed, optimizers, sizes, versions."""

from collections.abc import Mapping
from typing import Any

from gradiometer.schema import Change, Run

SETTINGS: dict[str, str] = {
    "script": "script",
    "arguments": "arguments",
    "cures": "cures",
    "seed": "seed",
    "batch_size": "batch size",
    "parameter_count": "parameters",
    "step_count": "steps",
    "device": "device",
    "threads": "threads",
    "process_count": "processes",
    "torch": "torch",
    "python": "Python",
    "commit": "commit",
    "overhead_allowed": "overhead allowed",
}
"""Fact of a run to its name in words; what is told where it differs."""


def setting_changes(before: Run, after: Run) -> list[Change]:
    """Facts and optimizer settings that differ; what only one of the runs knows counts as different."""
    found = []
    for fact, words in SETTINGS.items():
        found += difference(words, before.facts.get(fact), after.facts.get(fact))
    old, new = optimizer_settings(before.facts), optimizer_settings(after.facts)
    for name in dict.fromkeys([*old, *new]):
        found += difference(name, old.get(name), new.get(name))
    return found


def difference(name: str, was: Any, now: Any) -> list[Change]:
    """One setting that differs; none where it does not."""
    if was == now:
        return []
    words = written(was), written(now)
    return [Change("setting", name, "other", f"{name}: {words[0]}, now {words[1]}", *words)]


def optimizer_settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of every optimizer, `SGD lr` and the like; the rank before it where there are several."""
    known = facts.get("optimizers") or []
    if not known and "optimizer" in facts:
        known = [{"kind": facts["optimizer"], "settings": facts.get("optimizer_settings", {})}]
    settings: dict[str, Any] = {}
    for rank, optimizer in enumerate(known):
        name = "optimizer" if len(known) == 1 else f"optimizer {rank + 1}"
        settings[name] = optimizer.get("kind")
        settings |= {f"{name} {key}": value for key, value in (optimizer.get("settings") or {}).items()}
    return settings


def written(value: Any) -> str:
    """A setting's value as people write it."""
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return " ".join(str(part) for part in value) or "none"
    return str(value)
