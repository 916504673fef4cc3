"""Cures: changes to a live model and optimizer that may make a network train, each with its snippet.

`CURES` is the whole list. A cure is written as its name and a setting, `redraw_weights:he`; several together with
`+`. `prescribe` chooses those worth trying for a list of findings.
"""

from collections.abc import Sequence

from gradiometer.curing.activation import ExchangeActivation
from gradiometer.curing.chain import Chain, parts_of
from gradiometer.curing.clipping import ClipGradients
from gradiometer.curing.cure import Cure, Patient
from gradiometer.curing.initialisation import RedrawWeights
from gradiometer.curing.learning_rate import ChangeLearningRate
from gradiometer.curing.normalisation import InsertNormalisation
from gradiometer.curing.optimizer import ExchangeOptimizer
from gradiometer.errors import SettingsError
from gradiometer.prescribing import cures_for
from gradiometer.schema import Finding

SingleCure = (
    ExchangeActivation | RedrawWeights | InsertNormalisation | ClipGradients | ChangeLearningRate | ExchangeOptimizer
)

CURES: dict[str, type[SingleCure]] = {
    "exchange_activation": ExchangeActivation,
    "redraw_weights": RedrawWeights,
    "insert_normalisation": InsertNormalisation,
    "clip_gradients": ClipGradients,
    "change_learning_rate": ChangeLearningRate,
    "exchange_optimizer": ExchangeOptimizer,
}
"""Every cure, by the name that it is written with."""

MOST_CANDIDATES = 8
"""Cures worth trying for one run: the first sieve takes seconds for each."""

__all__ = ["CURES", "Chain", "Cure", "Patient", "SingleCure", "parse_cure", "parts_of", "prescribe"]


def parse_cure(label: str) -> Cure | Chain:
    """Make the cure that a label stands for.

    Args:
        label: A name with its setting, `clip_gradients:1.0`, or several joined with `+`.

    Returns:
        The cure; a `Chain` for several.

    Raises:
        SettingsError: There is no such cure, or its setting is not understood.

    Example:
        >>> parse_cure("exchange_activation:relu+redraw_weights:he").label
        'exchange_activation:relu+redraw_weights:he'
    """
    parts = []
    for part in label.split("+"):
        name, _, setting = part.strip().partition(":")
        if name not in CURES:
            raise SettingsError(f"there is no cure {name!r}; choose {', '.join(CURES)}")
        parts.append(CURES[name].parse(setting))
    return parts[0] if len(parts) == 1 else Chain(tuple(parts))


def prescribe(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Choose the cures worth trying.

    The first finding's main cause comes first, since it is the worst; the causes beside it and the other findings
    fill up. The best cure of each further finding is sure of a place.

    Args:
        findings: What was found, worst first.

    Returns:
        At most `MOST_CANDIDATES` labels, the most promising first; empty without findings.
    """
    ranked = [label for finding in findings for label in _labels_of(finding)]
    best = [labels[0] for finding in findings if (labels := _labels_of(finding))]
    chosen = list(dict.fromkeys(ranked))
    sure = list(dict.fromkeys(best))[:MOST_CANDIDATES]
    rest = [label for label in chosen if label not in sure][: MOST_CANDIDATES - len(sure)]
    kept = {*sure, *rest}
    return tuple(label for label in chosen if label in kept)


def _labels_of(finding: Finding) -> list[str]:
    """What the tables give for a finding: for its main cause first, then for the others."""
    causes = [finding.cause, *finding.other_causes]
    return list(dict.fromkeys(label for cause in causes for label in cures_for(finding.condition, cause.name)))
