"""Decibels, seconds, bytes and shares: converted and written, here and nowhere else."""

import math


def decibels(ratio: float) -> float:
    """Convert a ratio of two norms to decibels.

    Args:
        ratio: A non-negative ratio of norms (amplitudes, not powers).

    Returns:
        20·log10 of the ratio, dB; -inf for zero, inf for infinity, nan for nan and for what is below zero, which is
        no ratio of norms.

    Example:
        >>> decibels(0.25)
        -12.041199826559248
        >>> decibels(0.0)
        -inf
    """
    if ratio == 0.0:
        return -math.inf
    return 20.0 * math.log10(ratio) if not ratio < 0.0 else math.nan


def ratio_of(level_db: float) -> float:
    """Convert decibels back to a ratio of norms.

    Example:
        >>> ratio_of(-20.0), ratio_of(7000.0)
        (0.1, inf)
    """
    try:
        return float(10.0 ** (level_db / 20.0))
    except OverflowError:
        return math.inf


def format_db(level_db: float | None) -> str:
    """Write a level or gain as people read it.

    Example:
        >>> format_db(-12.04), format_db(3.0), format_db(None), format_db(float("-inf"))
        ('-12.0 dB', '+3.0 dB', '–', '-∞ dB')
    """
    if level_db is None or math.isnan(level_db):
        return "–"
    if math.isinf(level_db):
        return "-∞ dB" if level_db < 0 else "+∞ dB"
    return f"{level_db:+.1f} dB"


def format_seconds(elapsed_seconds: float) -> str:
    """Write a duration with a unit that suits its size.

    Example:
        >>> format_seconds(0.0000042), format_seconds(0.25), format_seconds(75.0), format_seconds(7320.0)
        ('4.2 µs', '250 ms', '1 min 15 s', '2 h 2 min')
    """
    if elapsed_seconds < 1e-3:
        return f"{elapsed_seconds * 1e6:.3g} µs"
    if elapsed_seconds < 1.0:
        return f"{elapsed_seconds * 1e3:.3g} ms"
    if elapsed_seconds < 60.0:
        return f"{elapsed_seconds:.3g} s"
    if elapsed_seconds < 3600.0:
        minutes, seconds = divmod(round(elapsed_seconds), 60)
        return f"{minutes} min {seconds} s"
    hours, seconds = divmod(round(elapsed_seconds), 3600)
    return f"{hours} h {seconds // 60} min"


def format_bytes(size_bytes: float) -> str:
    """Write a size in binary units.

    Example:
        >>> format_bytes(512), format_bytes(1536), format_bytes(256 * 2**20)
        ('512 B', '1.5 KiB', '256 MiB')
    """
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024.0 or unit == "GiB":
            return f"{size:.3g} {unit}" if size >= 1000.0 else f"{size:.4g} {unit}"
        size /= 1024.0
    raise AssertionError("unreachable: the last unit always returns")


def format_share(fraction: float | None) -> str:
    """Write a fraction as a percentage.

    Example:
        >>> format_share(0.0123), format_share(0.5), format_share(None)
        ('1.2 %', '50 %', '–')
    """
    if fraction is None or math.isnan(fraction):
        return "–"
    percent = 100.0 * fraction
    return f"{percent:.2g} %" if abs(percent) < 10.0 else f"{percent:.0f} %"


def format_setting(value: float) -> str:
    """Write a number as a setting of a cure, without the plus sign that joins cures.

    Example:
        >>> format_setting(0.1), format_setting(1e6)
        ('0.1', '1e06')
    """
    return f"{value:g}".replace("e+", "e")


def format_number(value: float | None) -> str:
    """Write a bare number with three significant digits.

    Example:
        >>> format_number(0.00012345), format_number(2.3026), format_number(None)
        ('1.23e-04', '2.3', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    if value != 0.0 and (abs(value) < 1e-3 or abs(value) >= 1e5):
        return f"{value:.2e}"
    return f"{value:.3g}"
