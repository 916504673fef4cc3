"""Every example does untreated what examples/README.md says, by what it prints, and is judged for what it is."""

import ast
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from gradiometer.diagnosing import diagnose
from gradiometer.recording.reader import read_run
from gradiometer.schema import Diagnosis

FOLDER = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
CHANCE_LOSS = math.log(10.0)


@cache
def watched(name: str) -> tuple[str, Diagnosis]:
    """What one example prints under `gradiometer run`, with seed 0 and its own defaults, and its diagnosis."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.db"
        command = [sys.executable, "-m", "gradiometer", "run", "--quiet", "--file", str(file)]
        answer = subprocess.run(
            [*command, str(FOLDER / f"{name}.py"), "--seed", "0"],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return answer.stdout, diagnose(read_run(file))


def printed(name: str) -> tuple[list[float], list[float]]:
    """Losses and accuracies of one example, line by line."""
    text, _ = watched(name)
    losses = [float(found) for found in re.findall(r"loss (nan|inf|[\d.]+)", text)]
    accuracies = [float(found) / 100.0 for found in re.findall(r"accuracy ([\d.]+)%", text)]
    return losses, accuracies


def stays_at_chance(losses: list[float], accuracies: list[float]) -> bool:
    return abs(losses[-1] - CHANCE_LOSS) < 0.1 and max(accuracies[-10:]) < 0.15


def becomes_nan_in_the_middle(losses: list[float], accuracies: list[float]) -> bool:
    finite_count = sum(map(math.isfinite, losses))
    is_middle = 0.3 * len(losses) < finite_count < 0.75 * len(losses)
    return is_middle and all(map(math.isnan, losses[finite_count:])) and losses[finite_count - 1] < 0.5 * losses[0]


def hardly_moves(losses: list[float], accuracies: list[float]) -> bool:
    return 0.0 < losses[0] - losses[-1] < 0.005 * losses[0]


def jumps_and_stays_finite(losses: list[float], accuracies: list[float]) -> bool:
    greatest_jump = max(later / earlier for earlier, later in pairwise(losses))
    return min(losses) > 2.0 * CHANCE_LOSS and math.isfinite(sum(losses)) and greatest_jump > 5.0


def learns(losses: list[float], accuracies: list[float]) -> bool:
    return losses[-1] < 0.05 and accuracies[-1] > 0.95


def balances_two_networks(losses: list[float], accuracies: list[float]) -> bool:
    return all(map(math.isfinite, losses)) and 0.9 < losses[-1] < 1.5 and accuracies[-1] < 0.9


CLAIMS: dict[str, Callable[[list[float], list[float]], bool]] = {
    "deep_tanh_large_weights": stays_at_chance,
    "functional_sigmoids": stays_at_chance,
    "healthy_residual_cnn": learns,
    "learning_rate_too_large": jumps_and_stays_finite,
    "learning_rate_too_small": hardly_moves,
    "many_tanh_layers": stays_at_chance,
    "nan_half_way": becomes_nan_in_the_middle,
    "relu_killed_by_learning_rate": stays_at_chance,
    "small_gan": balances_two_networks,
    "ten_sigmoids": stays_at_chance,
}

QUICK = ("ten_sigmoids",)
"""Examples that the default tests run to their end; the others are run before a release."""


def test_has_a_claim_for_every_example_and_a_line_in_its_table():
    assert set(CLAIMS) == set(SCRIPTS)
    table = (FOLDER / "README.md").read_text()
    assert [name for name in SCRIPTS if f"| `{name}.py` |" not in table] == []


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SCRIPTS]
)
def test_has_examples_that_do_what_is_said_of_them(name):
    losses, accuracies = printed(name)
    assert CLAIMS[name](losses, accuracies), (losses, accuracies)


@pytest.mark.parametrize("name", SCRIPTS)
def test_has_examples_that_are_short_and_know_nothing_of_it(name):
    text = (FOLDER / f"{name}.py").read_text()
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
    }
    assert imported <= {"argparse", "math", "torch", "sklearn"}
    assert len(text.splitlines()) <= 80


@pytest.mark.slow
def test_has_the_same_network_in_both_ten_sigmoid_examples():
    assert printed("ten_sigmoids") == printed("functional_sigmoids")


VERDICTS: dict[str, tuple[str, frozenset[str]]] = {
    "deep_tanh_large_weights": ("broken", frozenset({"exploding", "saturated"})),
    "functional_sigmoids": ("broken", frozenset({"vanishing"})),
    "healthy_residual_cnn": ("healthy", frozenset()),
    "learning_rate_too_large": ("broken", frozenset({"thrashing"})),
    "learning_rate_too_small": ("broken", frozenset({"stuck"})),
    "many_tanh_layers": ("broken", frozenset({"vanishing"})),
    "nan_half_way": ("broken", frozenset({"non_finite"})),
    "relu_killed_by_learning_rate": ("broken", frozenset({"dead"})),
    "small_gan": ("healthy", frozenset()),
    "ten_sigmoids": ("broken", frozenset({"vanishing"})),
}
"""Verdict, and the conditions of which the first finding is one."""


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SCRIPTS]
)
def test_judges_every_example_for_what_it_is(name):
    _, diagnosis = watched(name)
    verdict, roots = VERDICTS[name]
    found = [(finding.condition, finding.severity, finding.summary) for finding in diagnosis.findings]
    assert diagnosis.verdict == verdict or (verdict == "broken" and diagnosis.verdict == "at_risk"), found
    assert not roots or diagnosis.findings[0].condition in roots, found


def test_blames_the_sigmoids_slope_for_the_ten_sigmoids():
    _, diagnosis = watched("ten_sigmoids")
    cause = diagnosis.findings[0].cause
    assert cause.name == "activation_slope"
    # Ten times the logarithm of a quarter.
    assert cause.share_db == pytest.approx(-120.4, abs=0.1)
