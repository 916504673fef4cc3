"""What trials proved, in plain sentences: the numbers, what was compared beside the verdict, and warnings."""

from gradiometer.schema import Contrast, Endpoint, Outcome
from gradiometer.showing.wording import sentence, written
from gradiometer.units import format_seconds

MOST_SITES = 4
"""Calls of a loss whose held-out losses are told; JSON and run file have them all."""


ENDPOINT_WORDS: dict[str, str] = {
    "balance": "by the balance of the levels on the trunk",
    "fault_gone": "by the fault itself",
    "accuracy": "by the accuracy on training batches",
}
"""Endpoint's name to how a warning names it."""


def outcome_numbers(outcome: Outcome) -> str:
    """The outcome's numbers in a sentence or two, with what weakens them."""
    parts = []
    if outcome.difference is not None:
        losses = f"Final loss {losses_in_words(outcome)}"
        parts.append(f"{losses} over {len(outcome.treated)} pairs.")
    if not outcome.is_paired:
        parts.append("Batches of control and cured runs differed, so the runs count as unpaired.")
    if not outcome.control_shows_fault:
        parts.append("The control did not show the fault again, so nothing is proved.")
    return " ".join(parts)


def contrast_sentences(outcome: Outcome) -> list[str]:
    """What was compared beside the verdict: held-out losses, or why there are none, equal training time, endpoints."""
    parts = []
    for contrast in (outcome.held_out or ())[:MOST_SITES]:
        steps = range_in_words("step", "steps", [f"{moment:.0f}" for moment in extremes(contrast)])
        words = f"Held-out loss ({contrast.site}, {steps}) {losses_in_words(contrast)}."
        parts.append(f"{words} {sentence(contrast.detail)}".strip())
    more = len(outcome.held_out or ()) - MOST_SITES
    if more > 0:
        parts.append(f"{more} more held-out losses are in the JSON.")
    if outcome.held_out is not None and outcome.held_out_detail:
        parts.append(sentence(f"no held-out loss: {outcome.held_out_detail}"))
    if outcome.equal_time is not None:
        contrast = outcome.equal_time
        seconds = range_in_words("", "", [format_seconds(moment) for moment in extremes(contrast)])
        words = f"At equal training time ({seconds}) {losses_in_words(contrast)}."
        parts.append(f"{words} {sentence(contrast.detail)}".strip())
    return parts + [endpoint_sentence(endpoint) for endpoint in outcome.endpoints]


def endpoint_sentence(endpoint: Endpoint) -> str:
    """What an endpoint says, with its difference and interval where it has one."""
    text = endpoint.text.rstrip(".")
    if endpoint.difference is not None and endpoint.interval is not None:
        text += f": {endpoint.difference:+.4g}{interval_in_words(endpoint)}"
    return sentence(text)


def outcome_warnings(outcome: Outcome) -> list[str]:
    """Where a proved cure is worse by held-out loss or an endpoint, or not shown to be better at equal time."""
    if outcome.verdict != "better":
        return []
    worse = [contrast for contrast in outcome.held_out or () if contrast.verdict == "worse"]
    warnings = [
        f"Warning: by held-out loss ({contrast.site}) the cure is worse than the control. The verdict is about the "
        "training loss: the network learns now; see what it makes of the data held out before you keep the change."
        for contrast in worse
    ]
    if outcome.equal_time is not None and outcome.equal_time.verdict != "better":
        is_worse = outcome.equal_time.verdict == "worse"
        found = "the cure is worse than the control" if is_worse else "the cure is not shown to be better"
        warnings.append(f"Warning: at equal training time {found}. The verdict is about equal steps.")
    return warnings + [
        f"Warning: {ENDPOINT_WORDS.get(endpoint.name, endpoint.name)} the cure is worse than the control."
        for endpoint in outcome.endpoints
        if endpoint.verdict == "worse"
    ]


def losses_in_words(compared: Outcome | Contrast) -> str:
    """Mean losses of both, their difference and its interval."""
    text = f"{written_mean(compared.control)} without it, {written_mean(compared.treated)} with it"
    if compared.difference is None:
        return text
    return f"{text}: {compared.difference:+.4g}{interval_in_words(compared)}"


def interval_in_words(compared: Outcome | Contrast | Endpoint) -> str:
    """The interval of a difference in brackets; empty where there is none."""
    if compared.interval is None:
        return ""
    low, high = compared.interval
    return f" ({100 * compared.confidence:.4g} % interval {low:+.4g} to {high:+.4g})"


def extremes(contrast: Contrast) -> tuple[float, ...]:
    """The first and the last of a contrast's moments."""
    return min(contrast.moments, default=0.0), max(contrast.moments, default=0.0)


def range_in_words(one: str, several: str, ends: list[str]) -> str:
    """A range with its unit before it; a single value where both ends are written alike.

    Example:
        >>> range_in_words("step", "steps", ["90", "90"]), range_in_words("step", "steps", ["80", "90"])
        ('step 90', 'steps 80 to 90')
    """
    text = f"{one} {ends[0]}" if ends[0] == ends[-1] else f"{several} {ends[0]} to {ends[-1]}"
    return text.strip()


def written_mean(losses: tuple[float, ...]) -> str:
    """Mean of some losses as people read it; a dash where there are none."""
    return written(sum(losses) / len(losses)) if losses else "–"
