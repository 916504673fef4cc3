"""gradiometer: find where a network's gradient goes wrong, why, and prove a cure.

Every public name is imported on first use, so that reading a run never loads torch.
"""

import sys
from importlib import import_module
from typing import Any

__version__ = "1.0.0"

HOMES: dict[str, str] = {
    "Diagnosis": "gradiometer.schema",
    "Finding": "gradiometer.schema",
    "GradiometerError": "gradiometer.errors",
    "Run": "gradiometer.schema",
    "agreement": "gradiometer.measuring.example_agreement",
    "check": "gradiometer.session",
    "compare": "gradiometer.comparing",
    "cure": "gradiometer.curing.callables",
    "diagnose": "gradiometer.diagnosing",
    "nudges": "gradiometer.measuring.nudges",
    "open": "gradiometer.recording.reader",
    "watch": "gradiometer.session",
}
"""Public name to the module that holds it."""

ORIGINAL_NAMES: dict[str, str] = {"agreement": "measure_agreement", "nudges": "measure_nudges", "open": "read_run"}
"""Names that are others there: no function is called as its module is, or as a built-in."""

__all__ = [*HOMES, "__version__", "load_ipython_extension"]  # noqa: PLE0604 - the names are strings


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in HOMES:
        raise AttributeError(f"module 'gradiometer' has no attribute {name!r}")
    if "IPython" in sys.modules:
        import_module("gradiometer.showing.notebook").show_nouns_where_ipython_runs()
    return getattr(import_module(HOMES[name]), ORIGINAL_NAMES.get(name, name))


def load_ipython_extension(shell: Any) -> None:
    """Tell an IPython shell how nouns are shown, and give it the magics; `%load_ext gradiometer` calls it.

    Args:
        shell: The shell.
    """
    for home in ("gradiometer.showing.notebook", "gradiometer.integrations.jupyter"):
        import_module(home).load_ipython_extension(shell)
