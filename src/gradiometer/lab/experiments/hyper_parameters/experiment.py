"""Hyper-parameters: the field's procedure, step by step, beside a random search at equal budget.

The procedure takes five steps: get any learning at all, test a range of learning rates, take the batch size from the
gradient noise scale, choose the weight decay by validation, and stop early. Beside it Optuna draws settings at random,
and by TPE, until it has spent as many examples as the procedure. To be learned: each step asks one question that a
short measurement answers, and how such answers compare with trying what chance brings.

Settings: one hidden layer of ReLU units, momentum 0.9; `quick` on the digits, 64 hidden units; `full` on the
first 10,000 pictures of MNIST, 100 hidden units, judged by 2,000 validation pictures and all test pictures; five
seeds in both.

Source:
    See `procedure`, `search` and `checks`. Nielsen's printed accuracies are from chapter 3 of his
    book, as they stand in a public translation of it.
"""

import math

import numpy as np

from gradiometer.lab.bench import NEEDS_MNIST, Bench, Size
from gradiometer.lab.datasets.images import images_for
from gradiometer.lab.experiments.hyper_parameters import pages
from gradiometer.lab.experiments.hyper_parameters.checks import (
    TRIES,
    error_over_all_batches,
    repeat_try,
    sampled_over_known,
)
from gradiometer.lab.experiments.hyper_parameters.procedure import Effort, Procedure, choose_settings
from gradiometer.lab.experiments.hyper_parameters.search import Job, Sampler, Search, require_optuna, search_all
from gradiometer.lab.experiments.hyper_parameters.training import (
    Account,
    Problem,
    Settings,
    descent,
    draw_classifier,
    fit_network,
    problem_of,
)
from gradiometer.schema import ExperimentReport, FloatArray, Row, Run

NIELSEN = "Nielsen, Neural Networks and Deep Learning, chapter 3, printed accuracies, as a public translation has them"

ROWS: dict[str, Row] = {
    "every batch": Row(
        name="noise scale, linear regression: error of both terms, averaged over every batch there is",
        published="0: the estimators have no bias",
        low=0.0,
        high=1e-12,
        source="McCandlish and others 2018, appendix A.1",
        standing="exact",
    ),
    "sampled": Row(
        name="noise scale, linear regression with Gaussian inputs: estimated over known",
        published="1; known is n (1 + s²/|d|²) + 1",
        low=0.95,
        high=1.05,
        source="Isserlis' theorem; McCandlish and others 2018, equation 2.9",
        standing="exact",
    ),
    "chance": Row(
        name="loss of an untrained network over that of a guess, ln of the number of classes",
        published="about 1: look for the correct loss at chance",
        low=0.8,
        high=1.5,
        source="Karpathy, course notes cs231n, neural-networks-3, sanity checks; the band is ours, for He's start",
        standing="remembered",
    ),
    "update": Row(
        name="update over weight, chosen settings: geometric mean over weight matrices and steps",
        published="about 1e-3",
        low=1e-5,
        high=1e-1,
        source="Karpathy, course notes cs231n, neural-networks-3",
        standing="seen",
    ),
    "the first try": Row(
        name="Nielsen's first try, [784, 30, 10], eta 10, lambda 1000 for 50,000 pictures: validation accuracy",
        published="0.103, 0.099, 0.101: no better than chance",
        low=0.05,
        high=0.15,
        source=NIELSEN,
        standing="second_hand",
    ),
    "smaller and faster": Row(
        name="[784, 10], 1,000 pictures, eta 10, lambda 1000: validation accuracy",
        published="0.10, 0.10, 0.10",
        low=0.05,
        high=0.15,
        source=NIELSEN,
        standing="second_hand",
    ),
    "lambda scaled with it": Row(
        name="[784, 10], 1,000 pictures, eta 10, lambda 20: validation accuracy, mean of four epochs",
        published="0.12, 0.14, 0.25, 0.18",
        low=0.10,
        high=0.30,
        source=NIELSEN,
        standing="second_hand",
        needs="mnist",
    ),
    "a greater rate": Row(
        name="[784, 10], 1,000 pictures, eta 100, lambda 20: validation accuracy, mean of four epochs",
        published="0.10, 0.10, 0.10, 0.10",
        low=0.05,
        high=0.15,
        source=NIELSEN,
        standing="second_hand",
        needs="mnist",
    ),
    "a smaller rate": Row(
        name="[784, 10], 1,000 pictures, eta 1, lambda 20: validation accuracy, mean of four epochs",
        published="0.62, 0.42, 0.43, 0.61",
        low=0.40,
        high=0.75,
        source=NIELSEN,
        standing="second_hand",
        needs="mnist",
    ),
}
"""Published beside measured. Bands of Nielsen's single runs are ours: a hundred pictures tell a share
to five points."""

EFFORTS: dict[Size, Effort] = {
    "toy": Effort(first_steps=3, noise_epochs=1, noise_points=2, decay_epochs=1, epochs=2, patience=2),
    "quick": Effort(first_steps=40, noise_epochs=3, noise_points=6, decay_epochs=10, epochs=40, patience=10),
    "full": Effort(first_steps=60, noise_epochs=2, noise_points=8, decay_epochs=10, epochs=40, patience=10),
}
"""How long the procedure's steps are."""

PROCESSES = 2
"""Processes that share a random search's budget."""

DRAW_OFFSETS: dict[Sampler, int] = {"random": 0, "TPE": 500}
"""Added to the seed of a sampler's draws: from the same seed both would begin with the same ones."""

FIRST_TRY = Settings(rate=10.0, batch=10, decay=0.02)
"""Nielsen's first try in torch's terms: decay is lambda over the number of pictures."""


def conduct(bench: Bench) -> ExperimentReport:
    """Follow the procedure, search beside it, and compare.

    Raises:
        DataError: Optuna or the pictures are not at hand.
    """
    require_optuna()
    images = images_for(bench)
    problem = problem_of(
        images,
        train=bench.pick(toy=480, quick=1200, full=10_000),
        validation=bench.pick(toy=60, quick=300, full=2_000),
        hidden=bench.pick(toy=16, quick=64, full=100),
    )
    bench.progress(0.0, "Nielsen's tries")
    networks = range(bench.pick(toy=1, quick=8, full=8))
    tries = {name: repeat_try(images, tried, networks) for name, tried in TRIES.items()}
    effort = EFFORTS[bench.size]
    procedures = follow_all(bench, problem, effort, bench.seeds(toy=1, quick=5, full=5))
    runs = watch_both(bench, problem, effort, procedures[0])
    searches = search_beside(bench, problem, effort, procedures)
    bench.progress(1.0, "done")
    results = pages.results_of(procedures, searches)
    return ExperimentReport(
        name="hyper-parameters",
        title="Hyper-parameters: a procedure beside a random search",
        summary=pages.summary(procedures, results, searches),
        sections=(
            pages.section_on_tries(tries, images.name),
            pages.section_on_first_signal(procedures[0], problem),
            pages.section_on_range(procedures[0]),
            pages.section_on_noise(procedures[0]),
            pages.section_on_decay(procedures[0]),
            pages.section_on_stopping(procedures[0]),
            pages.section_on_search(procedures, searches, results),
        ),
        rows=rows_of(bench, problem, tries, runs, procedures),
        facts=facts_of(problem, procedures),
        run_files=tuple(str(path) for path in bench.run_files),
    )


def facts_of(problem: Problem, procedures: list[Procedure]) -> tuple[tuple[str, str], ...]:
    """How it was run."""
    counts = [len(part[0]) for part in (problem.train, problem.validation, problem.test)]
    return (
        (
            "data",
            f"{problem.name}: {counts[0]} pictures to learn from, {counts[1]} to choose by, {counts[2]} to test on",
        ),
        ("network", f"{problem.hidden} hidden ReLU units"),
        ("seeds", str(len(procedures))),
        ("examples spent by the procedure", ", ".join(str(one.spent[-1]) for one in procedures)),
        ("processes of a random search", str(PROCESSES)),
    )


def follow_all(bench: Bench, problem: Problem, effort: Effort, seeds: range) -> list[Procedure]:
    """The procedure with every seed."""
    found = []
    for seed in seeds:
        bench.progress(0.05 + 0.4 * seed / len(seeds), f"procedure, seed {seed}")
        found.append(choose_settings(problem, seed, effort, Account()))
    return found


def watch_both(bench: Bench, problem: Problem, effort: Effort, procedure: Procedure) -> dict[str, Run]:
    """Watch the first seed's last training once more, and Nielsen's first try; neither is booked."""
    runs = {}
    for name, settings, epochs in (
        ("first-try", FIRST_TRY, min(2, effort.epochs)),
        ("chosen", procedure.settings, effort.epochs),
    ):
        bench.progress(0.45, f"watching: {name}")
        network = draw_classifier(problem, 0)
        optimizer = descent(network, settings)
        with bench.watched(f"hyper-parameters-{name}", network, optimizer) as watching:
            fit_network(network, optimizer, problem, settings, 0, Account(), epochs=epochs, patience=effort.patience)
        runs[name] = watching.run
    return runs


def search_beside(
    bench: Bench, problem: Problem, effort: Effort, procedures: list[Procedure]
) -> dict[Sampler, tuple[Search, ...]]:
    """For each seed a random search and one by TPE, with as many examples to spend as the procedure took."""
    jobs = []
    samplers: dict[Sampler, int] = {"random": PROCESSES, "TPE": 1}
    for sampler, processes in samplers.items():
        for seed, procedure in enumerate(procedures):
            jobs += [
                Job(
                    problem=problem,
                    journal=bench.folder / "hyper-parameters.journal",
                    study=f"{sampler}-{seed}",
                    sampler=sampler,
                    draw_seed=1000 * seed + DRAW_OFFSETS[sampler] + process,
                    seed=seed,
                    budget=procedure.spent[-1] // processes,
                    epochs=effort.epochs,
                    patience=effort.patience,
                )
                for process in range(processes)
            ]
    found = search_all(
        jobs,
        processes=bench.pick(toy=0, quick=PROCESSES, full=PROCESSES),
        tell=lambda share: bench.progress(0.5 + 0.5 * share, "searching"),
    )
    return {name: tuple(found[f"{name}-{seed}"] for seed in range(len(procedures))) for name in samplers}


def rows_of(
    bench: Bench,
    problem: Problem,
    tries: dict[str, FloatArray],
    runs: dict[str, Run],
    procedures: list[Procedure],
) -> tuple[Row, ...]:
    """Every row with what was measured."""
    batches = bench.pick(toy=2, quick=400, full=2000)
    guess = math.log(problem.classes)
    at_first = [one.first.losses[one.first.start][0] / guess for one in procedures]
    rows = [
        ROWS["every batch"].filled(error_over_all_batches()),
        ROWS["sampled"].filled_from([sampled_over_known(seed, batches=batches) for seed in range(4)]),
        ROWS["chance"].filled_from(at_first),
        ROWS["update"].filled(mean_update_ratio(runs["chosen"])),
    ]
    for name, found in tries.items():
        row = ROWS[name]
        if row.needs == "mnist" and bench.is_quick:
            rows.append(row.left_out(NEEDS_MNIST))
        else:
            rows.append(row.filled_from(found.mean(axis=1)))
    return tuple(rows)


def mean_update_ratio(run: Run) -> float:
    """Geometric mean of the update ratios of all weight matrices in all steps that were measured."""
    matrices = [index for index, parameter in enumerate(run.parameters) if len(parameter.shape) > 1]
    ratios = run.parameter_column("update_ratio")[:, matrices]
    return float(np.exp(np.log(ratios[ratios > 0.0]).mean()))
