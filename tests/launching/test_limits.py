import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from gradiometer.launching.limits import SeededAnew, TrainingStopped, mixed_seed, seed_everything


@pytest.fixture(autouse=True)
def _keep_global_generators():
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    yield
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    np.random.set_state(states[2])


def draws():
    return float(torch.rand(())), random.random(), float(np.random.rand())


def test_stops_a_training_past_a_script_that_catches_exceptions():
    assert not issubclass(TrainingStopped, Exception)


def test_seeds_python_numpy_and_torch():
    seed_everything(7)
    first = draws()
    seed_everything(7)
    assert draws() == first
    seed_everything(2**70 + 1)
    assert draws() != first


def test_lets_a_script_seed_over_the_seed_of_a_run():
    torch.manual_seed(3)
    expected = float(torch.rand(()))
    seed_everything(7)
    torch.manual_seed(3)
    assert float(torch.rand(())) == expected


def test_takes_the_seed_of_a_run_as_it_is_also_in_a_trial():
    seed_everything(7)
    expected = draws()
    with SeededAnew(1) as anew:
        seed_everything(7)
        assert draws() == expected
    assert anew.call_count == 0


SEEDINGS = [
    (lambda: torch.manual_seed(42), lambda: float(torch.rand(()))),
    (lambda: torch.random.manual_seed(42), lambda: float(torch.rand(()))),
    (lambda: torch.seed(), lambda: float(torch.rand(()))),
    (lambda: random.seed(42), random.random),
    (lambda: random.seed("forty-two"), random.random),
    (lambda: random.seed(), random.random),
    (lambda: np.random.seed(42), lambda: float(np.random.rand())),
    (lambda: np.random.seed(seed=[4, 2]), lambda: float(np.random.rand())),
    (lambda: np.random.seed(), lambda: float(np.random.rand())),
]


@pytest.mark.parametrize(("seed", "draw"), SEEDINGS)
def test_seeds_a_script_anew_in_every_trial_and_alike_in_the_same(seed, draw):
    found = []
    for trial_seed in (0, 1, 0, 1):
        with SeededAnew(trial_seed) as anew:
            seed()
            found.append(draw())
            assert anew.call_count == 1
    assert found[:2] == found[2:]
    assert found[0] != found[1]


def test_keeps_different_seeds_of_a_script_apart():
    with SeededAnew(0):
        torch.manual_seed(1)
        first = torch.rand(())
        torch.manual_seed(2)
        assert torch.rand(()) != first
        torch.manual_seed(np.int64(1))
        assert torch.rand(()) == first


def test_leaves_generators_of_the_scripts_own_alone():
    def own():
        return (
            float(torch.rand((), generator=torch.Generator().manual_seed(0))),
            float(np.random.default_rng(0).random()),
            float(np.random.RandomState(0).rand()),
            random.Random(0).random(),
        )

    expected = own()
    with SeededAnew(5) as anew:
        assert own() == expected
    assert anew.call_count == 0


def test_puts_the_seeding_functions_back():
    known = torch.manual_seed, torch.random.manual_seed, torch.cuda.manual_seed_all, random.seed, np.random.seed
    with SeededAnew(1):
        assert torch.manual_seed is not known[0]
        assert torch.manual_seed(3).initial_seed() == mixed_seed(3, 1)
    now = torch.manual_seed, torch.random.manual_seed, torch.cuda.manual_seed_all, random.seed, np.random.seed
    assert all(after is before for after, before in zip(now, known, strict=True))


SCRIPT = """
import sys
from gradiometer.launching.limits import SeededAnew
with SeededAnew(int(sys.argv[1])) as anew:
    import random
    random.seed(0)
    assert "torch" not in sys.modules
    from torch import manual_seed
    import torch
    manual_seed(0)
    import numpy
    numpy.random.seed(0)
    print(random.random(), float(torch.rand(())), numpy.random.rand(), anew.call_count)
"""


@pytest.mark.slow
def test_seeds_anew_what_is_imported_later_and_alike_in_every_process():
    def run(trial_seed):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", SCRIPT, str(trial_seed)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment).stdout

    first, again, other = run(1).split(), run(1).split(), run(2).split()
    assert first == again
    assert first[3] == "3"
    assert all(one != two for one, two in zip(first[:3], other[:3], strict=True))


def test_mixes_seeds_into_the_range_that_each_library_takes():
    values = [mixed_seed(value, seed, bits=32) for value in range(50) for seed in range(50)]
    assert len(set(values)) == 2500
    assert all(0 <= value < 2**32 for value in values)
    assert mixed_seed(True, 3) == mixed_seed(1, 3)
