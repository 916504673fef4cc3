"""The words that terminal and report share: verdicts, cures, the command to try next."""

import math
import re
import shlex
from pathlib import Path

from gradiometer.schema import Diagnosis, Finding, Run, Verdict
from gradiometer.units import format_db, format_number

VERDICT_WORDS: dict[Verdict, tuple[str, str]] = {
    "healthy": ("Healthy", "Nothing was found that keeps this network from learning."),
    "at_risk": ("At risk", "It trains, but a fault costs a large part of its speed or accuracy."),
    "broken": ("Broken", "As it stands, this network will not train, or only by luck."),
    "unknown": ("Unknown", "Too little was seen for a verdict."),
}
"""Verdict to its title and its meaning."""

CURE_WORDS: dict[str, str] = {
    "exchange_activation": "exchange the activation",
    "insert_activation": "insert activations",
    "redraw_weights": "redraw the weights",
    "redraw_recurrent_weights": "redraw the recurrent weights",
    "scale_to_unit_variance": "scale every layer to unit variance",
    "break_symmetry": "break the symmetry between units",
    "open_forget_gates": "open the forget gates",
    "pretrain_layers": "pretrain layer by layer",
    "standardise_input": "standardise the input",
    "insert_normalisation": "insert normalisation",
    "exchange_normalisation": "exchange batch normalisation",
    "add_residual_paths": "add residual paths",
    "exchange_recurrence": "exchange the recurrent layers",
    "clip_gradients": "clip the gradients",
    "zero_gradients": "zero the gradients after every step",
    "change_learning_rate": "change the learning rate",
    "warm_up_learning_rate": "warm up the learning rate",
    "exchange_optimizer": "exchange the optimizer",
    "reduce_regularisation": "reduce the regularisation",
    "keep_weights_in_float32": "keep the weights in float32",
    "scale_loss": "scale the loss",
    "fix_loss_pairing": "give the output the loss that belongs to it",
    "scale_output_to_targets": "scale the output to the targets",
}
"""Cure to what it does, in words."""

OUTCOME_WORDS: dict[str, str] = {
    "better": "Proved: the cure is better than the control.",
    "worse": "The cure is worse than the control.",
    "not shown": "Nothing is proved: no cure was shown to be better than the control.",
}
"""Outcome's verdict to its meaning."""


def cure_in_words(label: str) -> str:
    """Write a cure's label as people say it.

    Example:
        >>> cure_in_words("exchange_activation:relu+redraw_weights:he")
        'exchange the activation (relu) and redraw the weights (he)'
        >>> cure_in_words("clip_gradients")
        'clip the gradients'
    """
    return " and ".join(part_in_words(part) for part in label.split("+"))


def part_in_words(part: str) -> str:
    """Write one part of a cure's label: its name and, in parentheses, its argument."""
    name, _, argument = part.partition(":")
    words = CURE_WORDS.get(name, name.replace("_", " "))
    return f"{words} ({argument})" if argument else words


def cures_in_words(cures: tuple[str, ...]) -> str:
    """Write the cures of one trial; none means the control.

    Example:
        >>> cures_in_words(()), cures_in_words(("clip_gradients:1.0",))
        ('untouched control', 'clip the gradients (1.0)')
    """
    return " and ".join(cure_in_words(cure) for cure in cures) or "untouched control"


def condition_in_words(condition: str) -> str:
    """Write a condition's name as people say it.

    Example:
        >>> condition_in_words("non_finite")
        'non finite'
    """
    return condition.replace("_", " ")


def worst_finding(diagnosis: Diagnosis) -> Finding | None:
    """The finding to speak of first, None where there is none."""
    return diagnosis.findings[0] if diagnosis.findings else None


def frontier_of(finding: Finding | None) -> str | None:
    """The layer at which a finding sets in, None where it names no layer."""
    return finding.layers[0] if finding is not None and finding.layers else None


def layers_in_words(layers: tuple[str, ...], *, shown_count: int = 3) -> str:
    """Name the frontier and count the rest.

    Example:
        >>> layers_in_words(("body.0",)), layers_in_words(("a", "b", "c", "d", "e"))
        ('body.0', 'a, b, c and 2 more')
    """
    if not layers:
        return "the whole network"
    rest_count = len(layers) - shown_count
    return ", ".join(layers[:shown_count]) + (f" and {rest_count} more" if rest_count > 0 else "")


def number_beside(text: str, value: float | None, unit: str) -> str:
    """A number with its unit, to stand beside the words on it; empty where the words name it already.

    So is one without a unit: behind a sentence nobody can tell what it counts.

    Example:
        >>> number_beside("level at the first layer", -142.5, "dB")
        '-142.5 dB'
        >>> number_beside("the level at body.0 is \u2212142.5 dB", -142.5, "dB")
        ''
    """
    if value is None or not unit:
        return ""
    said = [float(word) for word in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text.replace("\u2212", "-"))]
    # A share is often said in percent, and a said number is rounded.
    if any(math.isclose(abs(word), scale * abs(value), rel_tol=0.06) for word in said for scale in (1.0, 100.0)):
        return ""
    number = format_db(value) if unit == "dB" else f"{written(value)} {unit}"
    return "" if number in text else number


def written(value: float) -> str:
    """A number as people read it, infinity included.

    Example:
        >>> written(float("inf")), written(0.5)
        ('∞', '0.5')
    """
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return format_number(value)


def verdict_sentence(diagnosis: Diagnosis) -> str:
    """Say the verdict's meaning and what is too early to tell, or why there is none."""
    reason = sentence(diagnosis.reason)
    if diagnosis.verdict == "unknown" and reason:
        return reason
    return f"{VERDICT_WORDS[diagnosis.verdict][1]} {reason}".strip()


def sentence(words: str) -> str:
    """Give words a capital and a full stop.

    Example:
        >>> sentence("no full measurement was taken")
        'No full measurement was taken.'
    """
    text = words.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if re.search(r"[.!?]$", text) else ".")


def frozen_line(run: Run, *, shown_count: int = 3) -> str:
    """Which parameters are frozen, which nobody but the script's author can tell from a mistake; empty for none.

    Example:
        >>> frozen_line(Run())
        ''
    """
    frozen = [parameter.name for parameter in run.parameters if not parameter.is_trainable]
    if not frozen:
        return ""
    rest = f" and {len(frozen) - shown_count} more" if len(frozen) > shown_count else ""
    are = "is" if len(frozen) == 1 else "are"
    return (
        f"{len(frozen)} of {len(run.parameters)} parameters {are} frozen (requires_grad is False): "
        f"{', '.join(frozen[:shown_count])}{rest}"
    )


NO_SCRIPT = re.compile(r":\d+$|^interactive$|^lab ")
"""What stands in the script's stead of a run that was not begun by `gradiometer run`."""


def command_of(run: Run) -> str:
    """Script or `-m MODULE` with its arguments, as typed after `gradiometer run`; empty where none is known.

    What `gradiometer.watch` recorded has the place of a call in its script's stead, and can't be run by that.
    """
    script = run.facts.get("script")
    if not script or NO_SCRIPT.search(str(script)):
        return ""
    arguments = [str(argument) for argument in run.facts.get("arguments") or ()]
    words = ["-m", str(script)] if run.facts.get("is_module") else [str(script)]
    return shlex.join([*words, *arguments])


def way_out(run: Run, diagnosis: Diagnosis, command: str) -> str:
    """What to try where too little was seen: a command, or a line of the script where no command would show more."""
    if diagnosis.way_out == "open_compiled":
        return f"gradiometer run --open-compiled {command}"
    if diagnosis.way_out == "watch":
        return "gradiometer.watch(model, optimizer) around the training loop, in the script"
    if diagnosis.way_out == "more_steps" and run.facts.get("status") == "finished":
        return "more steps: the script itself ended here"
    return f"gradiometer run {command}"


def next_command(run: Run, diagnosis: Diagnosis, run_file: Path | None) -> str:
    """The command to try next; empty where there is nothing to type.

    A run with findings and a known script is worth a cure; one whose worst finding only the author of the script can
    mend, the page of its condition; one already cured, or healthy, a look at its report; one of which too little was
    seen, what would show more.
    """
    command = command_of(run)
    if command and diagnosis.verdict == "unknown":
        return way_out(run, diagnosis, command)
    # Trials run in one process each: what was trained by several is not cured as it was.
    is_alone = run.facts.get("process_count", 1) == 1
    worst = worst_finding(diagnosis)
    if diagnosis.verdict != "healthy" and worst is not None and not worst.cures:
        return f"gradiometer docs {worst.condition}"
    if command and diagnosis.verdict != "healthy" and run.outcome is None and is_alone:
        return f"gradiometer cure {command}"
    return f"gradiometer report {shlex.quote(str(run_file))}" if run_file is not None else ""
