"""Unusual scripts are found out about, left alone and measured."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launching.odd_scripts import SCRIPTS

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All scripts, run in one process that has to start only once."""
    folder = tmp_path_factory.mktemp("odd")
    answer = subprocess.run(
        [sys.executable, str(TESTS / "launching" / "run_odd_scripts.py"), str(folder)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, dict[str, Any]] = json.loads(answer.stdout)
    return found


@pytest.mark.parametrize("name", SCRIPTS)
def test_leaves_the_script_as_it_is(observed: dict[str, dict[str, Any]], name: str) -> None:
    case = observed[name]
    assert "error" not in case, case["error"]
    assert case["bare"].startswith("DIGEST")
    assert case["watched"] == case["bare"]
    assert case["faults"] == []
    assert case["code"] == 0


@pytest.mark.slow
def test_leaves_trainings_in_threads_side_by_side_alone_however_they_fall(tmp_path: Path) -> None:
    names = "several_threads,threads_with_optimizers_made_before"
    answer = subprocess.run(
        [sys.executable, str(TESTS / "launching" / "run_odd_scripts.py"), str(tmp_path), names, "150"],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert answer.returncode == 0, answer.stderr
    cases = json.loads(answer.stdout).values()
    assert len(cases) == 300
    assert [case for case in cases if case["watched"] != case["bare"] or case["faults"]] == []


STEPS = {
    "two_roots": 6, "gan": 6, "optimizer_per_layer": 6, "updates_by_hand": 6, "second_order": 6,
    "thousands_of_forwards": 3, "averaged_copy": 6, "accumulation": 6, "frozen": 6, "batch_of_one": 6,
    "nan_from_the_first_step": 6, "closure": 6, "loader_workers": 6, "forward_that_fails": 6, "bare_tensors": 6,
    "half_precision": 6, "sparse": 6, "reentrant_checkpoint": 6, "lazy": 6, "traced": 6, "empty_batch": 6,
    "several_threads": 6, "one_training_after_another": 6, "optimizer_made_anew": 6,
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_counts_steps(observed: dict[str, dict[str, Any]], name: str) -> None:
    # A second optimizer's first round ends before it is known to be one.
    allowed = {STEPS[name], STEPS[name] + 1} if name in {"gan", "optimizer_per_layer"} else {STEPS[name]}
    assert observed[name]["steps"] in allowed
    assert observed[name]["snapshots"] >= STEPS[name] - 1


def test_names_the_layers_of_two_roots_by_their_variables(observed: dict[str, dict[str, Any]]) -> None:
    assert observed["two_roots"]["layers"] == ["enc", "dec.0", "dec.1"]
    assert "enc.weight" in observed["two_roots"]["parameters"]


def test_sees_both_losses_of_a_gan(observed: dict[str, dict[str, Any]]) -> None:
    assert observed["gan"]["losses"] == 2
    assert {"g.0", "g.2", "d.0", "d.2"} <= set(observed["gan"]["layers"])


def test_says_that_updates_are_written_by_hand(observed: dict[str, dict[str, Any]]) -> None:
    assert observed["updates_by_hand"]["by_hand"] is True
    assert observed["two_roots"]["by_hand"] is False


def test_does_not_watch_a_copy_that_is_never_trained(observed: dict[str, dict[str, Any]]) -> None:
    assert observed["averaged_copy"]["layers"] == ["0", "1", "2"]


def test_counts_losses_that_are_not_finite(observed: dict[str, dict[str, Any]]) -> None:
    assert observed["nan_from_the_first_step"]["nonfinite"] == 6


def test_measures_bare_tensors_by_their_place_in_the_optimizer(observed: dict[str, dict[str, Any]]) -> None:
    assert observed["bare_tensors"]["parameters"] == ["optimizer[0]"]


def test_measures_the_first_of_several_trainings_and_says_so(observed: dict[str, dict[str, Any]]) -> None:
    case = observed["one_training_after_another"]
    assert case["layers"] == ["0", "1", "2"]
    assert "another training began after step 6" in case["coverage"]


def test_a_part_that_is_added_late_belongs_to_the_training(observed: dict[str, dict[str, Any]]) -> None:
    case = observed["part_added_late"]
    assert "another training" not in case["coverage"]
    assert {"weight", "b.weight"} <= set(case["parameters"])


def test_a_parameter_takes_the_name_of_a_root_that_is_called_late(observed: dict[str, dict[str, Any]]) -> None:
    case = observed["root_called_late"]
    assert case["layers"] == ["a", "b"]
    assert case["parameters"] == ["a.weight", "a.bias", "b.weight", "b.bias"]


def test_measures_a_lazy_module_once_it_has_a_shape(observed: dict[str, dict[str, Any]]) -> None:
    assert observed["lazy"]["layers"] == ["0", "1", "2"]
    assert observed["lazy"]["parameters"] == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_sees_the_gradient_behind_a_reentrant_checkpoint(observed: dict[str, dict[str, Any]]) -> None:
    assert "no gradient" not in observed["reentrant_checkpoint"]["coverage"]
