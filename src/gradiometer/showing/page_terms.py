"""The words that a page's reader can't be asked to know, each in a line: where it is first met, and all together."""

import html
from collections.abc import Iterable, Mapping

TERMS: dict[str, str] = {
    "gradient": "how the loss would change with each number in the network; training moves every weight against it, so "
    "a layer that receives no gradient learns nothing",
    "layer": "a part of the network that is measured as one: a module, named as in model.named_modules(), or a call of "
    "a function such as relu",
    "level": "how strong the gradient is at one point of the network, compared with the network's output",
    "gain": "by what one layer multiplies the gradient on its way back; the gains along the way make the level",
    "dB": "decibel, a count of ratios: 0 dB is unchanged, -6 dB a half, -20 dB a tenth, -40 dB a hundredth, +20 dB ten "
    "times as much; where ratios multiply, decibels add up",
    "critical scale": "the size of random first weights at which the gradient neither shrinks nor grows from layer to "
    "layer",
    "frontier": "the layer, counted from the loss, at which a fault sets in: there is the place to look",
    "update ratio": "by which share of its own size a step changes a layer's weights; about 0.001 is usual",
    "saturated": "a unit that sits where its activation is flat, so that it passes hardly any gradient on",
    "dead": "a unit that gives zero for every example, and so never learns",
    "control": "the same training without the change, from the same random numbers and the same batches",
    "race": "all cures that fit, each trained for a few steps; the best of them go on to trials in pairs",
    "trunk": "the way that every gradient takes from the loss to the input",
    "interval": "where the true difference lies, as far as so few trainings can tell; proved means that all of it lies "
    "on one side of zero",
}
"""Word to what it means."""

FIRST_MET: dict[str, tuple[str, ...]] = {
    "gain_ladder": ("gain", "level", "dB", "frontier"),
    "loss_and_updates": ("update ratio",),
    "unit_map": ("saturated", "dead"),
}
"""Figure to the words that its reader meets there first."""


def terms_line(names: Iterable[str], *, terms: Mapping[str, str] = TERMS) -> str:
    """Some words and what they mean, as a short quiet paragraph; empty without any."""
    said = " ".join(f"<b>{name}</b>: {html.escape(terms[name])}." for name in names)
    return f'<p class="how terms">{said}</p>' if said else ""


def terms_block() -> str:
    """All words and what they mean, folded away."""
    names = ", ".join(TERMS)
    rows = "".join(f"<dt>{name}</dt><dd>{html.escape(TERMS[name])}</dd>" for name in TERMS)
    return f"<details><summary>Words of this page: {names}</summary><dl>{rows}</dl></details>"
