"""Colours and scales that every figure, page and terminal table shares.

One set of colours serves light and dark pages: each stands out from both grounds by a contrast of at least 3 to 1,
and the causes stay apart for red-blind and green-blind readers (both are tested). Nothing is told by colour alone:
figures also name, label or mark what they colour.

Source:
    Masataka Okabe and Kei Ito, "Color Universal Design", 2008, for the hues; lightness moved by us so that they can
    be read on dark pages too. Contrast: W3C, "Web Content Accessibility Guidelines 2.1", success criterion 1.4.11.
"""

LIGHT_GROUND = "#ffffff"
DARK_GROUND = "#15181d"

CAUSE_COLOURS: dict[str, str] = {
    "activation_slope": "#d55e00",
    "saturation": "#874ba5",
    "weights": "#005ae1",
    "normalisation": "#4ba569",
    "other": "#7f868f",
}
"""What a layer's gain comes from (`gradiometer.gain_budget.GainParts`, the rarer parts together) to its colour."""

CAUSE_WORDS: dict[str, str] = {
    "activation_slope": "activation's greatest slope",
    "saturation": "saturation",
    "weights": "weights",
    "normalisation": "normalisation",
    "other": "residual sums, pooling, output unit, others",
}
"""The same causes as a legend says them."""

SEVERITY_STYLES: dict[str, str] = {"critical": "bold red", "warning": "yellow", "info": "blue"}
"""Severity to its style on a terminal."""

VERDICT_STYLES: dict[str, str] = {"healthy": "green", "at_risk": "yellow", "broken": "red", "unknown": "cyan"}
"""Verdict to its style on a terminal."""

CONTROL_COLOUR = "#7f868f"
TREATED_COLOUR = "#2f83c7"
FRONTIER_COLOUR = "#d55e00"
MARK_COLOUR = "#c8466b"
TEXT_COLOUR = "#72777f"
GRID_COLOUR = "rgba(128,136,148,0.25)"
BAND_COLOUR = "rgba(0,158,115,0.16)"
FRONTIER_BAND_COLOUR = "rgba(213,94,0,0.16)"

LINE_COLOURS: tuple[str, ...] = ("#005ae1", "#d55e00", "#4ba569", "#874ba5", "#7f868f")
"""Lines of one chart, in their order; where there are more, marks tell those of one colour apart."""

LINE_DASHES: tuple[str, ...] = ("solid", "dash", "dot", "dashdot")
LINE_MARKS: tuple[str, ...] = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross")
"""Dashes and marks of lines in their order. Their counts share no factor with each other or with the colours: before a
line looks like another one in all three there are 140 of them."""

LEVEL_SCALE: list[tuple[float, str]] = [
    (0.0, "#08306b"),
    (0.25, "#2f7fbf"),
    (0.45, "#bcd7ea"),
    (0.5, "#f1f1ee"),
    (0.55, "#f6d2ae"),
    (0.75, "#dd7d1d"),
    (1.0, "#7a2d00"),
]
"""Levels: blue below the output's, orange above it, pale where they are equal."""

DEPTH_SCALE: list[tuple[float, str]] = [(0.0, "#2f83c7"), (0.5, "#8f7f9c"), (1.0, "#dd7300")]
"""Layers: blue at the input, orange at the output."""

SHARE_SCALE: list[tuple[float, str]] = [(0.0, "rgba(47,131,199,0.12)"), (0.4, "#2f83c7"), (1.0, "#dd7300")]
"""Shares of a whole: hardly a colour where there is little, blue, orange where most of it is."""

AMOUNT_SCALE: list[tuple[float, str]] = [
    (0.0, "#00224e"),
    (0.25, "#434e6c"),
    (0.5, "#7d7c78"),
    (0.75, "#bcae6c"),
    (1.0, "#fee838"),
]
"""Amounts: dark blue where there is little, bright yellow where there is much, evenly bright between; five stops of
cividis (J. R. Nuñez, C. R. Anderton, R. S. Renslow, "Optimizing colormaps with consideration for color vision
deficiency", PLOS ONE 2018)."""

SATURATED_SCALE: list[tuple[float, str]] = [(0.0, "rgba(128,136,148,0.14)"), (1.0, "#874ba5")]
DEAD_SCALE: list[tuple[float, str]] = [(0.0, "rgba(128,136,148,0.14)"), (1.0, "#d55e00")]
"""Shares of units that are saturated or dead; grey where none is."""

OUTPUT_COLOUR = "#2f83c7"
GRADIENT_COLOUR = "#d55e00"


def channels(colour: str) -> tuple[int, int, int]:
    """Read the red, green and blue of a `#rrggbb` colour, 0 to 255 each.

    Example:
        >>> channels("#ff8000")
        (255, 128, 0)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def depth_colour(fraction: float) -> str:
    """Colour of a layer at this fraction of the way from the input (0) to the output (1).

    Example:
        >>> depth_colour(0.0), depth_colour(0.25), depth_colour(1.0)
        ('#2f83c7', '#5f81b2', '#dd7300')
    """
    bounded = min(max(fraction, 0.0), 1.0)
    for (low, low_colour), (high, high_colour) in zip(DEPTH_SCALE, DEPTH_SCALE[1:], strict=False):
        if bounded <= high:
            share = (bounded - low) / (high - low)
            pairs = zip(channels(low_colour), channels(high_colour), strict=True)
            return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)
    return DEPTH_SCALE[-1][1]
