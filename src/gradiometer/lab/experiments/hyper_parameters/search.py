"""Random search and Optuna's TPE, at the procedure's budget: several processes, one journal file as their storage.

A search draws rate, batch size and weight decay, trains with early stopping, and tells Optuna the validation accuracy;
then it draws again until its account is empty. The processes of one study share its storage and nothing else: each
has its share of the budget. Random draws come from a generator for each process, so a study's trials do not depend on
which process was faster; TPE, which goes by the trials before, has one process for each study.

Source:
    Bergstra, Bengio, "Random search for hyper-parameter optimization", JMLR 2012; Bergstra and others, "Algorithms for
    hyper-parameter optimization", NeurIPS 2011, for TPE; Akiba and others, "Optuna", KDD 2019.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from gradiometer.errors import DataError
from gradiometer.lab.experiments.hyper_parameters.training import Account, Problem, Settings, fit

if TYPE_CHECKING:
    import optuna

Sampler = Literal["random", "TPE"]

RATES = (1e-4, 10.0)
"""Ends of the rates that are drawn, by logarithm: those of the procedure's first step."""

BATCH_POWERS = (3, 8)
"""Ends of the powers of two that are drawn as batch size: the procedure's bounds."""

DECAYS = (1e-6, 1e-1)
"""Ends of the weight decays that are drawn, by logarithm."""

TPE_STARTS = 3
"""Draws that TPE makes at random before it goes by those before; Optuna's own 10 would be all that the budget bears."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one process does for one study.

    Attributes:
        problem: What to learn.
        journal: The storage's file.
        study: Name of the study in it.
        sampler: How it draws.
        draw_seed: Seed of its draws.
        seed: Seed of weights and order, the same for every trial.
        budget: Examples that it may spend.
        epochs: Epochs of a trial at most.
        patience: Epochs without a rise after which a trial ends.
    """

    problem: Problem
    journal: Path
    study: str
    sampler: Sampler
    draw_seed: int
    seed: int
    budget: int
    epochs: int
    patience: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """One trial of a search.

    Attributes:
        settings: What was drawn.
        validation: Share of the validation pictures told right in the best epoch.
        test: Share of the test pictures told right after that epoch.
        spent: Examples that the study's process had spent when it ended.
        process: Seed of the process' draws.
    """

    settings: Settings
    validation: float
    test: float
    spent: int
    process: int


@dataclass(frozen=True, slots=True)
class Search:
    """One study, its trials in order of what had been spent.

    Attributes:
        trials: Every trial.
        processes: How many took part.
    """

    trials: tuple[Drawn, ...]
    processes: int

    @property
    def best(self) -> Drawn:
        """The trial with the greatest validation accuracy; the first of several."""
        return max(self.trials, key=lambda drawn: drawn.validation)

    @property
    def path(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Examples spent by all processes together, about, and the best validation accuracy so far."""
        best, heights = 0.0, []
        for drawn in self.trials:
            best = max(best, drawn.validation)
            heights.append(best)
        return tuple(float(drawn.spent * self.processes) for drawn in self.trials), tuple(heights)


def require_optuna() -> None:
    """Make sure that a search can be made, before minutes are spent on what goes before.

    Raises:
        DataError: Optuna is not installed; the message says how to get it.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as fault:
        raise DataError("The random search is Optuna's: pip install 'gradiometer[lab]'.") from fault


def search_all(jobs: list[Job], *, processes: int, tell: Callable[[float], None]) -> dict[str, Search]:
    """Do all jobs, and read every study from the storage.

    Args:
        jobs: What is to be done.
        processes: How many work at a time; 0 works in this one.
        tell: Told the share of the jobs that is done.

    Returns:
        Each study by its name.
    """
    for job in jobs:
        job.journal.parent.mkdir(parents=True, exist_ok=True)
    for journal in {job.journal for job in jobs}:
        journal.unlink(missing_ok=True)
    if processes == 0:
        for done, job in enumerate(jobs, start=1):
            work(job)
            tell(done / len(jobs))
    else:
        # A forked process would inherit torch's threads in whatever state they are.
        spawning = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            processes, mp_context=spawning, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            for done, ended in enumerate(as_completed([pool.submit(work, job) for job in jobs]), start=1):
                ended.result()
                tell(done / len(jobs))
    counts = {name: sum(job.study == name for job in jobs) for name in {job.study: None for job in jobs}}
    return {name: read_study(jobs[0].journal, name, count) for name, count in counts.items()}


def work(job: Job) -> None:
    """Draw and train until the account is empty."""
    import optuna

    account = Account(limit=job.budget)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            study_name=job.study,
            storage=storage_at(job.journal),
            sampler=sampler_of(job),
            direction="maximize",
            load_if_exists=True,
        )
        while not account.is_empty:
            study.optimize(lambda trial: objective(trial, job, account), n_trials=1)
    finally:
        optuna.logging.set_verbosity(verbosity)


def objective(trial: "optuna.Trial", job: Job, account: Account) -> float:
    """Validation accuracy of one draw."""
    settings = Settings(
        rate=trial.suggest_float("rate", *RATES, log=True),
        batch=2 ** trial.suggest_int("batch_power", *BATCH_POWERS),
        decay=trial.suggest_float("decay", *DECAYS, log=True),
    )
    fitted = fit(job.problem, settings, job.seed, account, epochs=job.epochs, patience=job.patience)
    for name, value in (("test", fitted.test), ("spent", account.spent), ("process", job.draw_seed)):
        trial.set_user_attr(name, value)
    return fitted.best


def sampler_of(job: Job) -> "optuna.samplers.BaseSampler":
    """The sampler that a job asks for, with the job's seed."""
    import optuna

    if job.sampler == "random":
        return optuna.samplers.RandomSampler(seed=job.draw_seed)
    return optuna.samplers.TPESampler(seed=job.draw_seed, n_startup_trials=TPE_STARTS)


def storage_at(journal: Path) -> "optuna.storages.JournalStorage":
    """Optuna's storage in one file, which several processes append to."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(journal)))


def read_study(journal: Path, name: str, processes: int) -> Search:
    """A study as it stands in the storage, in order of what had been spent."""
    import optuna

    study = optuna.load_study(study_name=name, storage=storage_at(journal))
    drawn = [
        Drawn(
            settings=Settings(trial.params["rate"], int(2 ** trial.params["batch_power"]), trial.params["decay"]),
            validation=float(trial.values[0]),
            test=float(trial.user_attrs["test"]),
            spent=int(trial.user_attrs["spent"]),
            process=int(trial.user_attrs["process"]),
        )
        for trial in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    ]
    return Search(tuple(sorted(drawn, key=lambda one: (one.spent, one.process))), processes)
