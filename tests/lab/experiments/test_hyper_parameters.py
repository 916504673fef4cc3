"""Experiment `hyper-parameters`: its toy run, the procedure's steps, the search, and the checks beside other ways."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gradiometer.errors import DataError
from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.datasets.images import LabelledImages
from gradiometer.lab.experiments.hyper_parameters.checks import (
    TRIES,
    error_over_all_batches,
    repeat_try,
    sampled_over_known,
)
from gradiometer.lab.experiments.hyper_parameters.experiment import ROWS, conduct
from gradiometer.lab.experiments.hyper_parameters.pages import Results, mean_path, verdict
from gradiometer.lab.experiments.hyper_parameters.procedure import (
    DECAYS,
    Effort,
    FirstSignal,
    choose_settings,
    get_any_learning,
    nearest_batch,
    rate_at,
    still_losses,
    sweep_rates,
    terms_of,
)
from gradiometer.lab.experiments.hyper_parameters.search import Job, search_all
from gradiometer.lab.experiments.hyper_parameters.training import (
    Account,
    Problem,
    Settings,
    accuracy,
    descent,
    draw_classifier,
    fit,
    problem_of,
)
from gradiometer.recording.reader import read_run
from gradiometer.schema import ExperimentReport

EFFORT = Effort(first_steps=20, noise_epochs=1, noise_points=2, decay_epochs=2, epochs=4, patience=2)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return problem_of(load_digits(), train=300, validation=100, hidden=16)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ExperimentReport:
    return conduct(Bench(tmp_path_factory.mktemp("hyper"), size="toy"))


def job(problem: Problem, folder: Path, *, sampler: str = "random", process: int = 0, budget: int = 1200) -> Job:
    assert sampler in {"random", "TPE"}
    return Job(problem, folder / "journal", f"{sampler}-0", sampler, process, 0, budget, 2, 2)  # type: ignore[arg-type]


def test_fills_rows_and_sections_of_a_toy_run(report: ExperimentReport) -> None:
    assert {row.name for row in report.rows} == {row.name for row in ROWS.values()}
    assert [row.verdict for row in report.rows if row.needs == "mnist"] == ["not run"] * 3
    assert all(row.reason for row in report.rows if row.measured is None)
    assert len(report.sections) == 7
    assert all(section.parts for section in report.sections)


def test_writes_run_files_of_the_first_try_and_of_what_was_chosen(report: ExperimentReport) -> None:
    assert [Path(path).stem for path in report.run_files] == ["hyper-parameters-first-try", "hyper-parameters-chosen"]
    runs = [read_run(Path(path)) for path in report.run_files]
    rates = [run.parameter_column("learning_rate")[0, 0] for run in runs]
    assert rates[0] == 10.0
    assert 0.0 < rates[1] < 10.0


@pytest.mark.slow
def test_measures_the_same_when_it_is_conducted_again(report: ExperimentReport, tmp_path: Path) -> None:
    again = conduct(Bench(tmp_path, size="toy"))
    assert [row.measured for row in again.rows] == [row.measured for row in report.rows]
    assert again.summary == report.summary


def test_books_every_example_that_is_trained_on(problem: Problem) -> None:
    account = Account()
    fitted = fit(problem, Settings(0.1, 32, 0.0), 0, account, epochs=3, patience=9)
    assert len(fitted.losses) == 3
    assert account.spent == 3 * 300
    limited = Account(limit=301)
    assert len(fit(problem, Settings(0.1, 32, 0.0), 0, limited, epochs=9, patience=9).losses) == 2
    assert limited.is_empty


def test_stops_where_the_validation_accuracy_rises_no_more(problem: Problem) -> None:
    fitted = fit(problem, Settings(0.05, 32, 0.0), 0, Account(), epochs=60, patience=3)
    assert len(fitted.validation) == fitted.best_epoch + 4
    assert fitted.best == max(fitted.validation)
    assert max(fitted.validation[: fitted.best_epoch]) < fitted.best


def test_stops_where_the_loss_is_not_finite(problem: Problem) -> None:
    fitted = fit(problem, Settings(1e6, 32, 0.5), 0, Account(), epochs=9, patience=9)
    assert math.isnan(fitted.losses[-1])
    assert len(fitted.losses) < 9


def test_calls_a_batch_learned_where_its_loss_is_a_twentieth() -> None:
    signal = FirstSignal({0.1: (2.0, 0.11), 1.0: (2.0, 0.09), 10.0: (2.0, math.nan)})
    assert signal.learned_at == (1.0,)
    assert signal.start == 1.0
    assert FirstSignal({0.1: (2.0, 1.0), 1.0: (2.0, 0.9), 10.0: (2.0, math.nan)}).start == 1.0


def test_learns_one_batch_by_heart_at_a_rate_of_the_right_size(problem: Problem) -> None:
    account = Account()
    signal = get_any_learning(problem, 0, 60, account)
    assert 0.1 in signal.learned_at
    assert 1e-4 not in signal.learned_at
    assert account.spent <= 6 * 60 * 32


def test_sweeps_rates_that_grow_tenfold_in_twelve_steps(problem: Problem) -> None:
    ranged = sweep_rates(problem, 0, 1.0, Account())
    assert ranged.curve is not None
    factors = ranged.curve.factors
    assert factors[13] / factors[1] == pytest.approx(10.0)
    assert ranged.result.rate is not None
    assert 1e-3 < ranged.rate < 1.0


def test_sweeps_nothing_into_weights_that_are_held_still(problem: Problem) -> None:
    network = draw_classifier(problem, 0)
    inputs, labels = problem.tensors(problem.train)
    draw = torch.Generator().manual_seed(0)
    rows = torch.randint(len(inputs), (96, 32), generator=draw)[:5]
    with torch.no_grad():
        expected = [float(torch.nn.functional.cross_entropy(network(inputs[row]), labels[row])) for row in rows]
    assert still_losses(problem, 0, 5, Account()) == pytest.approx(expected, rel=1e-6)


def test_takes_noise_terms_from_gradients_of_single_examples(problem: Problem) -> None:
    network = draw_classifier(problem, 0)
    inputs, labels = (part[:7] for part in problem.tensors(problem.train))
    rows = []
    for picture, label in zip(inputs, labels, strict=True):
        loss = torch.nn.functional.cross_entropy(network(picture[None]), label[None])
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]).double().numpy())
    gradients = np.stack(rows)
    covariance = np.cov(gradients, rowvar=False, ddof=1)
    found = terms_of(network, inputs, labels)
    assert found.trace == pytest.approx(np.trace(covariance), rel=1e-5)
    squared = float(gradients.mean(axis=0) @ gradients.mean(axis=0))
    assert found.gradient_squared == pytest.approx(squared - np.trace(covariance) / 7.0, rel=1e-4)


def test_takes_the_rate_along_to_another_batch_size() -> None:
    assert rate_at(0.3, 32, 77.0) == pytest.approx(0.3)
    assert rate_at(0.1, 64, 1e9) == pytest.approx(0.2, rel=1e-6)
    assert rate_at(0.1, 64, 1e-9) == pytest.approx(0.1, rel=1e-6)
    assert rate_at(0.1, 64, -5.0) == 0.1
    assert [nearest_batch(size) for size in (math.nan, 1e9, 90.0, 91.0)] == [256, 256, 64, 128]


def test_goes_through_all_steps_and_keeps_its_account(problem: Problem) -> None:
    account = Account()
    found = choose_settings(problem, 1, EFFORT, account)
    assert list(found.spent) == sorted(found.spent)
    assert found.spent[-1] == account.spent
    assert [fitted.settings.decay for fitted in found.decays] == list(DECAYS)
    assert found.settings in [fitted.settings for fitted in found.decays]
    assert found.best.best == max(fitted.best for fitted in (*found.decays, found.final))
    assert found.path[1][-1] == found.best.best


def test_searches_until_its_budget_is_spent(problem: Problem, tmp_path: Path) -> None:
    jobs = [job(problem, tmp_path, process=process) for process in (0, 1)]
    found = search_all(jobs, processes=0, tell=lambda share: None)["random-0"]
    assert found.processes == 2
    for process in (0, 1):
        spent = [drawn.spent for drawn in found.trials if drawn.process == process]
        assert 1200 <= spent[-1] < 1200 + 300
        assert all(earlier < 1200 for earlier in spent[:-1])
    assert found.best.validation == max(drawn.validation for drawn in found.trials)
    retrained = fit(problem, found.best.settings, 0, Account(limit=600), epochs=2, patience=2)
    assert found.best.validation >= retrained.validation[0]


def test_draws_the_same_settings_from_the_same_seed(problem: Problem, tmp_path: Path) -> None:
    found = [
        search_all([job(problem, tmp_path / name, sampler="TPE")], processes=0, tell=lambda share: None)["TPE-0"]
        for name in ("first", "second")
    ]
    assert [drawn.settings for drawn in found[0].trials] == [drawn.settings for drawn in found[1].trials]


def test_says_how_to_get_optuna_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(DataError, match=r"gradiometer\[lab\]"):
        conduct(Bench(tmp_path, size="toy"))


@pytest.mark.slow
def test_searches_alike_in_processes_of_its_own(problem: Problem, tmp_path: Path) -> None:
    shares: list[float] = []
    found = []
    for name, processes in (("here", 0), ("spawned", 2)):
        jobs = [job(problem, tmp_path / name, process=process) for process in (0, 1)]
        found.append(search_all(jobs, processes=processes, tell=shares.append)["random-0"])
    assert found[0].trials == found[1].trials
    assert shares == [0.5, 1.0] * 2


def test_says_who_won_and_whether_that_is_chance() -> None:
    even = Results({"procedure": ((0.0, 0.9), (0.0, 0.8), (0.0, 0.7)), "random": ((0.0, 0.8), (0.0, 0.9), (0.0, 0.7))})
    assert "no difference is shown" in verdict(even, "random")
    ahead = Results({"procedure": ((0.0, 0.9),) * 3, "random": ((0.0, 0.8), (0.0, 0.81), (0.0, 0.79))})
    assert "it is better" in verdict(ahead, "random")
    behind = Results({"procedure": ahead.by_way["random"], "random": ahead.by_way["procedure"]})
    assert "it is worse" in verdict(behind, "random")
    single = Results({"procedure": ((0.0, 0.9),), "random": ((0.0, 0.8),)})
    assert "nothing of chance" in verdict(single, "random")


def test_draws_no_progress_before_every_seed_has_some() -> None:
    found = mean_path([((1.0,), (0.4,)), ((2.0, 3.0), (0.6, 0.8))], np.array([0.0, 1.5, 2.0, 9.0]))
    assert np.isnan(found[:2]).all()
    assert found[2:] == pytest.approx((0.5, 0.6))


def test_knows_a_noise_scale_that_can_be_computed() -> None:
    assert error_over_all_batches(seed=3) < 1e-12
    assert sampled_over_known(0, batches=300) == pytest.approx(1.0, abs=0.03)
    draw = np.random.default_rng(5)
    inputs, distance, noise = draw.standard_normal((400_000, 3)), np.array([1.0, -0.5, 0.2]), 0.7
    gradients = (inputs @ distance - noise * draw.standard_normal(400_000))[:, None] * inputs
    trace = np.trace(np.cov(gradients, rowvar=False))
    squared = float(distance @ distance)
    assert trace / squared == pytest.approx(3.0 * (1.0 + noise**2 / squared) + 1.0, rel=0.02)


def test_repeats_a_try_that_guesses_and_one_that_learns() -> None:
    images = load_digits()
    guessing = repeat_try(images, TRIES["a greater rate"], range(2))
    learning = repeat_try(images, TRIES["a smaller rate"], range(2))
    assert guessing.shape == learning.shape == (2, 4)
    assert guessing.max() < 0.2 < learning.min()


def test_tells_accuracy_as_a_share(problem: Problem) -> None:
    network = draw_classifier(problem, 0)
    inputs, labels = problem.test
    answers = network(torch.from_numpy(inputs)).argmax(dim=1).numpy()
    assert accuracy(network, problem, problem.test) == pytest.approx((answers == labels).mean())
    assert descent(network, Settings(0.3, 8, 0.01)).param_groups[0]["weight_decay"] == 0.01


@pytest.mark.slow
def test_meets_every_row_in_a_quick_run(tmp_path: Path) -> None:
    report = conduct(Bench(tmp_path, size="quick"))
    assert not report.missed, report.missed


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIES)
def test_repeats_nielsens_tries_on_mnist(name: str, mnist: LabelledImages) -> None:
    found = repeat_try(mnist, TRIES[name], range(8))
    row = ROWS[name].filled_from(found.mean(axis=1))
    assert row.verdict == "within", row
