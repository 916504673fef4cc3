"""What importing loads, seen in fresh processes, where no other test has loaded anything."""

import subprocess
import sys

import pytest


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in `sys.modules` of a fresh interpreter after one statement."""
    program = f"{statement}\nimport sys\nprint('\\n'.join({{name.partition('.')[0] for name in sys.modules}}))"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(finished.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "gradiometer",
        "gradiometer.activations",
        "gradiometer.cli",
        "gradiometer.diagnosing",
        "gradiometer.errors",
        "gradiometer.explaining.agreement",
        "gradiometer.explaining.story",
        "gradiometer.forecasting",
        "gradiometer.gain_budget",
        "gradiometer.lab",
        "gradiometer.launching",
        "gradiometer.prescribing",
        "gradiometer.recording.reader",
        "gradiometer.recording.writer",
        "gradiometer.schema",
        "gradiometer.settings",
        "gradiometer.showing",
        "gradiometer.showing.lab_page",
        "gradiometer.showing.report",
        "gradiometer.theory",
        "gradiometer.units",
    ],
)
def test_does_not_load_torch_to_read(module):
    assert "torch" not in loaded_by(f"import {module}")


@pytest.mark.parametrize("name", ["Run", "Finding", "Diagnosis", "GradiometerError", "diagnose", "open"])
def test_does_not_load_torch_for_a_public_name_of_the_reading_side(name):
    assert "torch" not in loaded_by(f"import gradiometer\ngradiometer.{name}")


def test_starts_its_command_line_without_the_libraries_that_draw_and_integrate():
    assert loaded_by("import gradiometer.cli") & {"torch", "plotly", "scipy"} == set()


def test_is_seen_to_load_torch_where_training_needs_it():
    assert "torch" in loaded_by("import gradiometer\ngradiometer.watch")
