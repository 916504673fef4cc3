"""What has to be known before a cure can be tried: the rate that a range test finds, inputs that a run gathers.

A prelude is a trial like any other, in a process of its own, so that the script itself is the copy that a range test
ruins. A rate is found for the network as the other cures of its label leave it: the test of
`redraw_weights:critical+change_learning_rate:range` runs with the weights redrawn, and the cure that goes on is
`redraw_weights:critical+change_learning_rate:=0.0002`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gradiometer.curing import parse_cure, parts_of
from gradiometer.curing.choosing import SEARCHED_RATE, greatest_rate
from gradiometer.curing.trials.gathering import SAMPLES_FILE
from gradiometer.curing.trials.range_reading import rate_from
from gradiometer.curing.trials.range_test import RANGE_STEPS
from gradiometer.curing.trials.runner import TrialRunner
from gradiometer.curing.trials.spec import TrialSpec
from gradiometer.schema import Run
from gradiometer.units import format_setting

PRELUDE_SEED = 0
"""Seed of preludes: that of the run that is diagnosed."""

GATHERING_STEPS = 300
"""Greatest number of steps of a script whose inputs are gathered; it ends as soon as there are enough."""


def resolve_labels(
    runner: TrialRunner, labels: Sequence[str], refusals: dict[str, str], run: Run | None = None
) -> dict[str, str]:
    """Run the preludes that some cures need.

    Args:
        runner: What runs trials; its template is told where gathered inputs lie.
        labels: Labels of cures as they are prescribed.
        refusals: Takes the reason of each that can't be tried.
        run: The diagnosed run, whose depth limits the rates.

    Returns:
        By label, in order and without those refused, the label that can be run: with a found rate in place of a
        searched one.
    """
    needing = [label for label in labels if "samples" in parse_cure(label).needs]
    if needing and runner.template.samples_file is None:
        reason = gather(runner)
        refusals |= dict.fromkeys(needing if reason else (), reason)
    open_labels = [label for label in labels if label not in refusals]
    searching = [label for label in open_labels if SEARCHED_RATE in label.split("+")]
    found = found_rates(runner, searching, refusals, run)
    return {label: found.get(label, label) for label in open_labels if label not in refusals}


def gather(runner: TrialRunner) -> str:
    """Have a run of the script gather its inputs.

    Returns:
        Why there are none; empty where they lie in the template's `samples_file` now.
    """
    spec = runner.trial(None, PRELUDE_SEED, "gather", GATHERING_STEPS, gathers=True)
    reading = runner.run([spec])[0]
    file = Path(spec.folder) / SAMPLES_FILE
    if not file.exists():
        return reading.trial.detail or "no inputs could be gathered: the script feeds its model nothing but integers"
    runner.template = replace(runner.template, samples_file=str(file))
    return ""


def found_rates(
    runner: TrialRunner, labels: Sequence[str], refusals: dict[str, str], run: Run | None
) -> dict[str, str]:
    """Find the learning rate of each network by a range test and a still run; one that finds none is refused.

    No rate is taken that is far above what theory says the depth bears: a deep network comes apart later than a range
    test sees.
    """
    if not labels:
        return {}
    readings = runner.run([spec for label in labels for spec in range_trials(runner, without_rate(label))])
    found: dict[str, str] = {}
    for label, reading, still in zip(labels, readings[::2], readings[1::2], strict=True):
        if reading.run is None or reading.trial.status == "refused":
            refusals[label] = reading.trial.detail or "its range test came to no training"
            continue
        result = rate_from(reading.run, still.run)
        most = greatest_rate(label, run)
        if result.label is None or result.rate is None:
            refusals[label] = f"range test: {result.reason}"
        elif most is not None and result.rate > most:
            found[label] = label.replace(SEARCHED_RATE, f"change_learning_rate:={format_setting(float(f'{most:.2g}'))}")
        else:
            found[label] = label.replace(SEARCHED_RATE, result.label)
    return found


def range_trials(runner: TrialRunner, label: str | None) -> tuple[TrialSpec, TrialSpec]:
    """The range test of a network, and the run on the same batches in which its weights are held."""
    test = runner.trial(label, PRELUDE_SEED, "range", RANGE_STEPS, range_test=True)
    return test, replace(test, range_test=False, holds_still=True).placed_in(runner.folder)


def without_rate(label: str) -> str | None:
    """The label without the learning rate that is to be found; None for the untouched script.

    Example:
        >>> without_rate("redraw_weights:he+change_learning_rate:range"), without_rate("change_learning_rate:range")
        ('redraw_weights:he', None)
    """
    rest = [part.label for part in parts_of(parse_cure(label)) if part.label != SEARCHED_RATE]
    return "+".join(rest) or None
