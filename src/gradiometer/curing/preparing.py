"""Finds, before `run --cure` starts a script, what its cures go by: a learning rate, inputs of the model.

A program of its own, so that the process in which the script will train has loaded nothing before it:
`python -m gradiometer.curing.preparing` reads a request from its input, tells its progress to stderr, and writes one
line of JSON, the label to apply or the reason why there is none.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from gradiometer.curing import joined_label
from gradiometer.curing.case import CaseRequest, diagnose_script
from gradiometer.curing.trials.preludes import resolve_labels
from gradiometer.curing.trials.runner import Progress, TrialRunner
from gradiometer.diagnosing import diagnose
from gradiometer.errors import CureRefusedError, GradiometerError
from gradiometer.launching.script import Target


def prepared_label(words: str, target: Target, progress: Progress) -> str:
    """Run the preludes of some cures: the script as it stands first, then a range test or a gathering.

    Args:
        words: Labels of cures, joined with `,` or `+`.
        target: The script.
        progress: Told how it goes on.

    Returns:
        The label with found rates; gathered inputs lie in the script's case.

    Raises:
        CureRefusedError: A prelude found nothing.
        ScriptError: The script can't be started, or fails before it trains.
        NoTrainingError: It takes no step.
    """
    label = joined_label(words)
    diagnosed = diagnose_script(CaseRequest(target), progress)
    assert diagnosed.run is not None
    conditions = tuple(dict.fromkeys(finding.condition for finding in diagnose(diagnosed.run).findings))
    spec = diagnosed.spec
    template = replace(spec, seconds_limit=None, case_file=str(spec.run_file), conditions=conditions)
    runner = TrialRunner(template, Path(spec.folder) / "trials", 1, progress)
    refusals: dict[str, str] = {}
    resolved = resolve_labels(runner, [label], refusals, diagnosed.run)
    if label not in resolved:
        raise CureRefusedError(refusals[label])
    return resolved[label]


class Lines:
    """Progress as lines on stderr."""

    def say(self, text: str) -> None:
        """Something worth a line."""
        sys.stderr.write(f"{text}\n")

    def begin(self, sieve: str, trial_count: int) -> None:
        """A prelude begins."""
        words = {"diagnose": "running the script", "range": "looking for a learning rate", "gather": "gathering inputs"}
        if trial_count:
            sys.stderr.write(f"{words[sieve]}\n")

    def advance(self) -> None:
        """One trial is done: nothing to say."""


def main() -> None:
    """Read the request, prepare, answer."""
    request = json.loads(sys.stdin.read())
    given = request["target"]
    target = Target(given["script"], given["module"], tuple(given["arguments"]))
    try:
        answer = {"label": prepared_label(str(request["words"]), target, Lines())}
    except GradiometerError as error:
        answer = {"refusal": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
