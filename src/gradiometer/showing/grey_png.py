"""Grey pictures as PNG, written with what Python brings: for pages that load nothing.

Source:
    W3C, "Portable Network Graphics (PNG) Specification (Third Edition)", 2025: chunks (5.3), grey with alpha (6.1),
    filter type 0 (9.2).
"""

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from gradiometer.schema import FloatArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY_WITH_ALPHA = 4


def grey_png(pixels: FloatArray) -> bytes:
    """Write a grey picture.

    Args:
        pixels: Brightness [height width]; the least finite one becomes black, the greatest white, one that is not
            finite transparent. Where all are equal they become middle grey.

    Returns:
        The file's bytes, one pixel for one number.

    Raises:
        ValueError: It is no table of numbers, or has no pixels.
    """
    values = np.asarray(pixels, dtype=float)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"a picture has a height and a width, and this one has the shape {values.shape}")
    height, width = values.shape
    samples = np.stack([levels_of(values), np.where(np.isfinite(values), 255, 0).astype(np.uint8)], axis=-1)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), samples.reshape(height, 2 * width)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, GREY_WITH_ALPHA, 0, 0, 0)
    body = zlib.compress(rows.tobytes(), level=9)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def levels_of(values: FloatArray) -> NDArray[np.uint8]:
    """Brightness as whole numbers from 0 to 255.

    Example:
        >>> levels_of(np.array([[-1.0, 0.0, 1.0]])).tolist(), levels_of(np.array([[3.0, np.nan]])).tolist()
        ([[0, 128, 255]], [[128, 0]])
    """
    is_finite = np.isfinite(values)
    finite = values[is_finite]
    least, greatest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    known = np.where(is_finite, values, least)
    shares = (known - least) / (greatest - least) if greatest > least else np.full(values.shape, 0.5)
    return np.where(is_finite, np.rint(255.0 * shares), 0.0).astype(np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk: length, kind, body, checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def picture_address(pixels: FloatArray) -> str:
    """The picture as an address that holds all of it; arguments and errors as for `grey_png`."""
    return f"data:image/png;base64,{base64.b64encode(grey_png(pixels)).decode('ascii')}"
