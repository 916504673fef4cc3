"""What the Tab key offers: run files, and names from gradiometer's tables; nothing of it loads torch.

Where nothing is offered the shell completes paths, as it does for scripts and folders.
"""

from collections.abc import Iterable
from glob import escape, glob
from typing import get_args

from gradiometer.errors import SettingsError
from gradiometer.schema import Severity

MOST_OFFERED = 200
"""A list that is longer than a few screens helps nobody; chosen by us."""


def complete_run_file(incomplete: str) -> list[str]:
    """Run files in the folder that is typed and in the folders right below it; without one the recorded runs, too."""
    typed = escape(incomplete)
    patterns = [f"{typed}*.db", f"{typed}*/*.db", *([] if incomplete else [f"{escape(recorded_in())}/*.db"])]
    found = (file for pattern in patterns for file in sorted(glob(pattern)))  # noqa: PTH207 - keeps what is typed
    return list(dict.fromkeys(found))[:MOST_OFFERED]


def recorded_in() -> str:
    """The folder of recorded runs; the usual one where the settings can't be read, of which other verbs tell."""
    from gradiometer.settings import Settings, load_settings

    try:
        return load_settings().folder
    except SettingsError:
        return Settings().folder


def complete_page(incomplete: str) -> list[str]:
    """Names of which `gradiometer docs` has a page: conditions and cures."""
    return beginning_with(incomplete, [*condition_names(), *cure_names()])


def complete_experiment(incomplete: str) -> list[str]:
    """What `gradiometer lab` conducts or opens."""
    from gradiometer.cli.lab import EXPLORER
    from gradiometer.lab import EXPERIMENTS

    return beginning_with(incomplete, [*EXPERIMENTS, "all", EXPLORER])


def complete_activation(incomplete: str) -> list[str]:
    """Activations that theory knows by name."""
    from gradiometer.activations import ACTIVATIONS

    return beginning_with(incomplete, ACTIVATIONS)


def complete_cures(incomplete: str) -> list[str]:
    """Cures, in a list with commas or joined by `+`.

    Example:
        >>> complete_cures("warm_up_learning_rate,clip")
        ['warm_up_learning_rate,clip_gradients']
    """
    end = max(incomplete.rfind(","), incomplete.rfind("+")) + 1
    return beginning_with(incomplete, [incomplete[:end] + name for name in cure_names()])


def complete_cures_or_run_file(incomplete: str) -> list[str]:
    """Cures, or a run file in which one is proved."""
    return [*complete_cures(incomplete), *complete_run_file(incomplete)]


def complete_severity(incomplete: str) -> list[str]:
    """Severities, for `--fail-on`."""
    return beginning_with(incomplete, get_args(Severity))


def complete_severity_or_condition(incomplete: str) -> list[str]:
    """Severities and conditions, for `--stop-on`."""
    return [*complete_severity(incomplete), *beginning_with(incomplete, condition_names())]


def complete_engine(incomplete: str) -> list[str]:
    """What can run trials."""
    return beginning_with(incomplete, ("local", "ray"))


def complete_format_or_tracker(incomplete: str) -> list[str]:
    """Formats of tables and trackers, for `export --to`."""
    from gradiometer.showing.export import TableFormat

    return [*beginning_with(incomplete, get_args(TableFormat)), *complete_tracker(incomplete)]


def complete_tracker(incomplete: str) -> list[str]:
    """Trackers, in a list with commas.

    Example:
        >>> complete_tracker("wandb,tr")
        ['wandb,trackio']
    """
    from gradiometer.integrations.tracker import TRACKERS

    end = incomplete.rfind(",") + 1
    return beginning_with(incomplete, [incomplete[:end] + name for name in TRACKERS])


def complete_figure_format(incomplete: str) -> list[str]:
    """Formats of `export --figures`."""
    from gradiometer.showing.export import FigureFormat

    return beginning_with(incomplete, get_args(FigureFormat))


def condition_names() -> list[str]:
    """Names of the conditions."""
    from gradiometer.diagnosing import CONDITIONS

    return list(CONDITIONS)


def cure_names() -> list[str]:
    """Names of the cures, from the table of prescriptions: the one of the cures themselves loads torch."""
    from gradiometer import prescribing

    labels = (label for prescribed in prescribing.PRESCRIPTIONS.values() for label in prescribed)
    return sorted(frozenset[str]().union(*map(prescribing.cure_names, labels)))


def beginning_with(incomplete: str, names: Iterable[str]) -> list[str]:
    """The names that go on from what is typed.

    Example:
        >>> beginning_with("va", ["vanishing", "exploding"])
        ['vanishing']
    """
    return [name for name in names if name.startswith(incomplete)]
