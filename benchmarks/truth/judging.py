"""How often the diagnosis is right: rates with their intervals, for gradiometer and for published rules."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from scipy.stats import beta

from benchmarks.truth.collecting import read_collected
from benchmarks.truth.cutting import cut
from benchmarks.truth.results import Counted, Result
from benchmarks.truth.rules import judge_by_rules
from gradiometer.diagnosing import diagnose
from gradiometer.recording.reader import read_run
from gradiometer.schema import Diagnosis, Finding, Run

ALARMS = frozenset({"warning", "critical"})


@dataclass(frozen=True)
class Root:
    """One root of a diagnosis.

    Attributes:
        condition: Its condition.
        severity: Its severity.
        cause: Its main cause.
        layer: Its frontier; empty where it names no layer.
        step: First step at which it could be told.
    """

    condition: str
    severity: str
    cause: str
    layer: str
    step: int


@dataclass(frozen=True)
class Judged:
    """One training, diagnosed.

    Attributes:
        result: The training.
        verdict: The diagnosis' verdict.
        roots: Its roots, worst first.
        places: Place of each layer, counted in weight layers from the input; a layer without weights has the place of
            the one before it.
        rules: For each tool the names of its published rules that alarm.
    """

    result: Result
    verdict: str
    roots: tuple[Root, ...]
    places: dict[str, int]
    rules: dict[str, list[str]]


@dataclass(frozen=True)
class Answer:
    """What was to be found in a training with a fault.

    Attributes:
        conditions: Conditions that are right.
        causes: Causes that are right.
        group: Class that it is published under.
    """

    conditions: tuple[str, ...]
    causes: tuple[str, ...]
    group: str


@dataclass(frozen=True)
class Rate:
    """A share of trainings, with its 95 % Clopper-Pearson interval."""

    hits: int
    total: int

    @property
    def share(self) -> float:
        """The share; nan of none."""
        return self.hits / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The exact interval: 0 to 1 where there is nothing."""
        low = float(beta.ppf(0.025, self.hits, self.total - self.hits + 1)) if self.hits else 0.0
        high = float(beta.ppf(0.975, self.hits + 1, self.total - self.hits)) if self.hits < self.total else 1.0
        return low, high

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.share:7.1%} [{low:.1%}, {high:.1%}] ({self.hits} of {self.total})"


def rate_of(told: Iterable[bool]) -> Rate:
    """The rate of what is true."""
    values = list(told)
    return Rate(sum(values), len(values))


def judge_file(result: Result, folder: Path, seen: float = 1.0) -> Judged:
    """Diagnose one run file, or the first part of its run."""
    run = cut(read_run(folder / result.file), seen)
    diagnosis = diagnose(run)
    rules = judge_by_rules(read_collected((folder / result.file).with_suffix(".npz")))
    return Judged(result, diagnosis.verdict, roots_of(diagnosis), places_of(run), rules)


def judge_all(results: Sequence[Result], folder: Path, jobs: int, seen: float = 1.0) -> list[Judged]:
    """Diagnose many run files in several processes; of each run the share `seen` of its steps."""
    count = len(results)
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        return list(pool.map(judge_file, results, [folder] * count, [seen] * count, chunksize=8))


def roots_of(diagnosis: Diagnosis) -> tuple[Root, ...]:
    """A diagnosis' findings without what follows from them."""
    return tuple(root_of(finding) for finding in diagnosis.findings)


def root_of(finding: Finding) -> Root:
    """What is judged of a finding."""
    layer = finding.layers[0] if finding.layers else ""
    return Root(finding.condition, finding.severity, finding.cause.name, layer, finding.step)


def places_of(run: Run) -> dict[str, int]:
    """Place of each layer in weight layers from the input; a block that is no layer itself has its last child's."""
    weighty = {parameter.layer for parameter in run.parameters if len(parameter.shape) > 1}
    places, place = {}, 0
    for layer in run.layers:
        place += layer.name in weighty
        places[layer.name] = place
    for name, place in list(places.items()):
        block = name.rpartition(".")[0]
        if block not in {layer.name for layer in run.layers}:
            places[block] = max(place, places.get(block, 0))
    return places


def alarms_of(judged: Judged) -> list[Root]:
    """Roots at warning or above."""
    return [root for root in judged.roots if root.severity in ALARMS]


def is_detected(judged: Judged, answer: Answer) -> bool:
    """Whether a training with a fault is called at risk or broken, for a condition that is right."""
    return judged.verdict in ("at_risk", "broken") and first_right(judged, answer) is not None


def first_right(judged: Judged, answer: Answer) -> Root | None:
    """The worst root at warning or above whose condition is right."""
    return next((root for root in alarms_of(judged) if root.condition in answer.conditions), None)


def has_right_condition(judged: Judged, answer: Answer) -> bool:
    """Whether the first of all roots is right, not just any."""
    found = alarms_of(judged)
    return bool(found) and found[0].condition in answer.conditions


def has_right_cause(judged: Judged, answer: Answer) -> bool:
    """Whether a right root names a right cause as its main one."""
    root = first_right(judged, answer)
    return root is not None and root.cause in answer.causes


def has_right_layer(judged: Judged, answer: Answer) -> bool:
    """Whether the frontier of a right root is the layer that the fault sits in, or its neighbour."""
    root = first_right(judged, answer)
    if root is None or root.layer not in judged.places or judged.result.layer not in judged.places:
        return False
    return abs(judged.places[root.layer] - judged.places[judged.result.layer]) <= 1


def first_share(judged: Judged, answer: Answer) -> float | None:
    """Share of the run's steps until a right root could be told; None where none was."""
    steps = [root.step for root in alarms_of(judged) if root.condition in answer.conditions]
    return min(steps) / judged.result.steps if steps else None


@dataclass(frozen=True)
class Scores:
    """All rates of one part.

    Attributes:
        detection: Faulty trainings that are detected.
        alarmed: Faulty trainings with a verdict of at risk or broken, whatever the root.
        false_alarms: Healthy trainings with any other verdict than healthy.
        condition: Faulty trainings whose first root is right.
        layer: Of those whose fault sits in a layer, the ones whose frontier is right.
        cause: Faulty trainings whose cause is right.
        median_share: Median share of the steps until a first right finding, where there was one.
        rules: For each published rule set, and each of its rules, faulty and healthy trainings on which it alarms.
    """

    detection: Rate
    alarmed: Rate
    false_alarms: Rate
    condition: Rate
    layer: Rate
    cause: Rate
    median_share: float
    rules: dict[str, tuple[Rate, Rate]]

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the shares of faulty trainings that are detected and of healthy ones that are left alone."""
        return balanced(self.detection, self.false_alarms)


def balanced(hits: Rate, false_alarms: Rate) -> float:
    """Balanced accuracy of an alarm."""
    return 0.5 * (hits.share + 1.0 - false_alarms.share)


def score(faulty: Sequence[Judged], healthy: Sequence[Judged], answer_of: Callable[[str], Answer]) -> Scores:
    """Rates over trainings with a fault and healthy ones.

    Args:
        faulty: Trainings whose fault did harm.
        healthy: Twins that learned.
        answer_of: From a fault's name to what was to be found.
    """
    pairs = [(judged, answer_of(judged.result.fault)) for judged in faulty]
    shares = [share for pair in pairs if (share := first_share(*pair)) is not None]
    return Scores(
        detection=rate_of(is_detected(*pair) for pair in pairs),
        alarmed=rate_of(judged.verdict in ("at_risk", "broken") for judged in faulty),
        false_alarms=rate_of(judged.verdict != "healthy" for judged in healthy),
        condition=rate_of(has_right_condition(*pair) for pair in pairs),
        layer=rate_of(has_right_layer(*pair) for pair in pairs if pair[0].result.layer),
        cause=rate_of(has_right_cause(*pair) for pair in pairs),
        median_share=median(shares) if shares else float("nan"),
        rules=score_rules(faulty, healthy),
    )


def score_rules(faulty: Sequence[Judged], healthy: Sequence[Judged]) -> dict[str, tuple[Rate, Rate]]:
    """On how many trainings each tool alarms, and each of its rules alone; any alarm counts, right or not."""
    tools = list(dict.fromkeys(tool for judged in (*faulty, *healthy) for tool in judged.rules))
    scores = {
        tool: (rate_of(bool(j.rules[tool]) for j in faulty), rate_of(bool(j.rules[tool]) for j in healthy))
        for tool in tools
    }
    for tool in tools:
        for rule in sorted({rule for judged in (*faulty, *healthy) for rule in judged.rules[tool]}):
            scores[f"{tool}: {rule}"] = (
                rate_of(rule in j.rules[tool] for j in faulty),
                rate_of(rule in j.rules[tool] for j in healthy),
            )
    return scores


def everything(counted: Counted) -> list[Result]:
    """All results that are diagnosed."""
    return [*counted.healthy, *counted.faulty, *counted.left_out, *counted.controls]
