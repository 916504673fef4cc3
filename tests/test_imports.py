"""What importing loads, seen in fresh processes, where no other test has loaded anything."""

import subprocess
import sys


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in `sys.modules` of a fresh interpreter after one statement."""
    program = f"{statement}\nimport sys\nprint('\\n'.join({{name.partition('.')[0] for name in sys.modules}}))"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(finished.stdout.split())


def loading_torch(statements: tuple[str, ...]) -> set[str]:
    """Those statements that load torch, run one after another in one fresh interpreter."""
    program = (
        "import sys\nimport gradiometer\n"
        "for statement in sys.argv[1:]:\n"
        "    exec(statement)\n"
        "    if 'torch' in sys.modules:\n"
        "        print(statement)\n"
        "        break\n"
    )
    finished = subprocess.run([sys.executable, "-c", program, *statements], capture_output=True, text=True, check=True)
    return set(finished.stdout.splitlines())


READING_SIDE = (
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
)

PUBLIC_NAMES = ("Run", "Finding", "Diagnosis", "GradiometerError", "diagnose", "open")


def test_does_not_load_torch_to_read():
    assert loading_torch(tuple(f"import {module}" for module in READING_SIDE)) == set()


def test_does_not_load_torch_for_a_public_name_of_the_reading_side():
    assert loading_torch(tuple(f"gradiometer.{name}" for name in PUBLIC_NAMES)) == set()


def test_starts_its_command_line_without_the_libraries_that_draw_and_integrate():
    assert loaded_by("import gradiometer.cli") & {"torch", "plotly", "scipy"} == set()


def test_is_seen_to_load_torch_where_training_needs_it():
    assert loading_torch(("gradiometer.open", "gradiometer.watch", "gradiometer.Run")) == {"gradiometer.watch"}
