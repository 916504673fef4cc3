"""The IDX format, in which MNIST was published: a head with the kind of number and the shape, then the numbers.

Source:
    Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998, "file formats".
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradiometer.errors import DataError

UNSIGNED_BYTES = 0x08
"""The head's third byte where the numbers are unsigned bytes, the only kind that MNIST has."""

GZIP_HEAD = b"\x1f\x8b"


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an array of unsigned bytes, compressed by gzip or not.

    Raises:
        DataError: The file can't be read, or is no IDX file of unsigned bytes with as many numbers as its head says.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(GZIP_HEAD) else content
    except (OSError, EOFError, zlib.error) as fault:
        raise DataError(f"{path} can't be read: {fault}.") from fault
    axes = content[3] if len(content) >= 4 else 0
    head = 4 + 4 * axes
    if content[:2] != b"\0\0" or content[2:3] != bytes([UNSIGNED_BYTES]) or len(content) < head:
        raise DataError(f"{path} is no IDX file of unsigned bytes.")
    shape = struct.unpack(f">{axes}I", content[4:head])
    numbers = np.frombuffer(content, np.uint8, offset=head)
    if len(numbers) != np.prod(shape, dtype=np.int64):
        raise DataError(f"{path} holds {len(numbers):,} numbers, where its head says {' x '.join(map(str, shape))}.")
    return numbers.reshape(shape)
