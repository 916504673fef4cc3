"""Where a function is smooth, found by splitting, and its slope on every piece.

An activation that is given as a Python function brings neither its kinks nor its slope. Both are read off it: an
interval on which a polynomial of degree 16 does not reproduce the function at other places is halved, again and again.
What stays unlike a polynomial down to 1e-10 is a kink or a jump; the search then starts afresh with an edge there. The
slope is that of the polynomials, so on either side of a kink it is the slope of that side, and a jump adds nothing to
it, as in autograd.

Source:
    Pachón, Platte, Trefethen, "Piecewise-smooth chebfuns", IMA Journal of Numerical Analysis 2010, for the splitting.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradiometer.activations import SEARCHED_TO
from gradiometer.errors import SettingsError
from gradiometer.schema import FloatArray

DEGREE = 16
FIRST_EDGES = (-SEARCHED_TO, -28.0, -16.0, -8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 28.0, SEARCHED_TO)
"""Pieces to begin with: fine near zero, where a network's signals are."""

EXACT, SINGLE = 1e-12, 1e-5
"""What a polynomial has to agree with the function to, of its size: for results in float64, and in less."""

NARROWEST, SINGLE_NARROWEST = 1e-10, 1e-4
"""Pieces are halved down to this width, of 1 or of their distance from zero: for float64, and for less."""

JUMP = 1e-3
"""Function or slope jumps where it differs by more than this between two sides, of 1 or of its size."""

MOST_PIECES = 4000
"""A function that needs more is noise, or turns over more often than any activation."""

_NODES = np.cos(np.pi * (np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1))
_CHECKS = np.concatenate([[-1.0 + 1e-6, 1.0 - 1e-6], np.sin(1.7 * np.arange(1, 25))])
_TO_COEFFICIENTS = np.linalg.inv(np.polynomial.chebyshev.chebvander(_NODES, DEGREE))
_AT_CHECKS = np.polynomial.chebyshev.chebvander(_CHECKS, DEGREE)

BoolArray = NDArray[np.bool_]

Intervals = tuple[FloatArray, FloatArray]
"""Left and right ends [piece]."""


@dataclass(frozen=True, slots=True)
class SmoothPieces:
    """A function between -40 and 40 as polynomials that agree with it to rounding.

    Attributes:
        edges: Where pieces meet, ascending [piece + 1].
        kinks: Those edges at which function or slope jumps.
        coefficients: Chebyshev coefficients of each piece [piece degree].
    """

    edges: FloatArray
    kinks: tuple[float, ...]
    coefficients: FloatArray

    def slope(self, x: FloatArray) -> FloatArray:
        """Derivative of the piece that each x lies in; x within -40 and 40, any shape."""
        piece = np.clip(np.searchsorted(self.edges, x, side="right") - 1, 0, len(self.coefficients) - 1)
        left, right = self.edges[piece], self.edges[piece + 1]
        place = (2.0 * x - left - right) / (right - left)
        derived = np.polynomial.chebyshev.chebder(self.coefficients, axis=1)
        later, latest = np.zeros_like(place), np.zeros_like(place)
        for degree in range(DEGREE - 1, 0, -1):
            later, latest = derived[piece, degree] + 2.0 * place * later - latest, later
        return np.asarray((derived[piece, 0] + place * later - latest) * 2.0 / (right - left))


def find_pieces(function: Callable[[FloatArray], FloatArray], name: str, *, is_single: bool = False) -> SmoothPieces:
    """Split a function into smooth pieces.

    Args:
        function: Function of a float64 array of any shape.
        name: What to call it in an error.
        is_single: It computes in float32 or less, so that its last digits are noise.

    Returns:
        Its pieces between -40 and 40.

    Raises:
        SettingsError: It fails or gives NaN or infinity there, or has too many kinks to be integrated.

    Example:
        >>> find_pieces(lambda x: np.clip(x, -0.3, 0.7), "clip").kinks
        (-0.3, 0.7)
    """
    splitter = _Splitter(function, name, *((SINGLE, SINGLE_NARROWEST) if is_single else (EXACT, NARROWEST)))
    first = np.array(FIRST_EDGES)
    lefts, rights = splitter.split(first[:-1], first[1:])
    kinks = splitter.kinks_between(lefts, rights)
    edges = np.unique(np.concatenate([first, kinks]))
    lefts, rights = splitter.split(edges[:-1], edges[1:])
    order = np.argsort(lefts)
    edges = np.append(lefts[order], SEARCHED_TO)
    coefficients = splitter.values(edges[:-1], edges[1:], _NODES) @ _TO_COEFFICIENTS.T
    return SmoothPieces(edges, _jumps(edges, coefficients), coefficients)


def _jumps(edges: FloatArray, coefficients: FloatArray) -> tuple[float, ...]:
    """The edges at which the polynomials on either side differ in value or in slope."""
    derived = np.polynomial.chebyshev.chebder(coefficients, axis=1) * (2.0 / np.diff(edges))[:, None]
    is_jump = np.zeros(len(edges) - 2, dtype=bool)
    for polynomials in (coefficients, derived):
        signs = (-1.0) ** np.arange(polynomials.shape[1])
        before, after = polynomials[:-1].sum(axis=1), polynomials[1:] @ signs
        is_jump |= np.abs(after - before) > JUMP * np.maximum(1.0, np.abs(before))
    return tuple(edges[1:-1][is_jump].tolist())


@dataclass(frozen=True, slots=True)
class _Splitter:
    """Halves intervals until each is smooth.

    Attributes:
        function: What is looked at.
        name: What to call it in an error.
        tolerance: Agreement with a polynomial, of the function's size.
        narrowest: Width below which an interval is not halved, of 1 or of its distance from zero.
    """

    function: Callable[[FloatArray], FloatArray]
    name: str
    tolerance: float
    narrowest: float

    def values(self, lefts: FloatArray, rights: FloatArray, places: FloatArray) -> FloatArray:
        """The function at places between -1 and 1 of each interval [interval place]."""
        x = 0.5 * ((lefts + rights)[:, None] + (rights - lefts)[:, None] * places)
        try:
            with np.errstate(all="ignore"):
                y = self.function(x)
        except (ArithmeticError, TypeError, ValueError) as fault:
            raise SettingsError(
                f"{self.name} fails somewhere from {-SEARCHED_TO:g} to {SEARCHED_TO:g} ({fault}); "
                "theory needs a number everywhere"
            ) from fault
        if not np.isfinite(y).all():
            worst = float(x[~np.isfinite(y)][0])
            raise SettingsError(f"{self.name} gives NaN or infinity at {worst:g}; theory needs a number everywhere")
        return y

    def split(self, lefts: FloatArray, rights: FloatArray) -> Intervals:
        """Halve intervals until each is smooth or as narrow as may be."""
        done: list[Intervals] = []
        while len(lefts):
            if len(lefts) > MOST_PIECES:
                raise SettingsError(f"{self.name} has too many kinks or turns to be integrated: is it random?")
            is_done = self.are_smooth(lefts, rights) | self.are_narrow(lefts, rights)
            done.append((lefts[is_done], rights[is_done]))
            lefts, rights = lefts[~is_done], rights[~is_done]
            middles = 0.5 * (lefts + rights)
            lefts, rights = np.concatenate([lefts, middles]), np.concatenate([middles, rights])
        return np.concatenate([left for left, _ in done]), np.concatenate([right for _, right in done])

    def are_smooth(self, lefts: FloatArray, rights: FloatArray) -> BoolArray:
        """Whether a polynomial through some values of each interval foretells the others."""
        known, others = self.values(lefts, rights, _NODES), self.values(lefts, rights, _CHECKS)
        coefficients = known @ _TO_COEFFICIENTS.T
        missed = np.abs(coefficients @ _AT_CHECKS.T - others).max(axis=1)
        size = np.maximum(np.abs(known).max(axis=1), np.abs(others).max(axis=1))
        # Of a small difference of large numbers, as in a remainder, the last digits are noise.
        reach = np.maximum(1.0, np.abs(lefts))
        tail = np.abs(coefficients[:, -2:]).max(axis=1)
        return np.asarray(np.maximum(missed, tail) <= self.tolerance * np.maximum(size, 0.1 * reach))

    def are_narrow(self, lefts: FloatArray, rights: FloatArray) -> BoolArray:
        """Whether each interval is as narrow as may be."""
        return np.asarray(rights - lefts <= self.narrowest * np.maximum(1.0, np.abs(lefts)))

    def kinks_between(self, lefts: FloatArray, rights: FloatArray) -> FloatArray:
        """Where halving went on to the end: the middle of the narrowest interval of each such place, ascending."""
        widths = rights - lefts
        narrow = np.flatnonzero(widths <= 64.0 * self.narrowest * np.maximum(1.0, np.abs(lefts)))
        narrow = narrow[np.argsort(lefts[narrow])]
        starts = np.flatnonzero(np.diff(lefts[narrow], prepend=-np.inf) > 1e4 * self.narrowest)
        places = []
        for group in np.split(narrow, starts[1:]) if len(narrow) else []:
            narrowest = group[widths[group] == widths[group].min()]
            middle = 0.5 * float(lefts[narrowest].min() + rights[narrowest].max())
            places.append(float(f"{middle:.9g}"))
        return np.array(places, dtype=np.float64)
