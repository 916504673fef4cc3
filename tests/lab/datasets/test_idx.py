import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from gradiometer.errors import DataError
from gradiometer.lab.datasets.idx import read_idx

PICTURES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
WHOLE = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4) + PICTURES.tobytes()


@pytest.mark.parametrize("content", [WHOLE, gzip.compress(WHOLE)], ids=["bare", "compressed"])
def test_reads_an_array_with_its_shape(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "some-idx3-ubyte").write_bytes(content)
    assert np.array_equal(read_idx(tmp_path / "some-idx3-ubyte"), PICTURES)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no IDX file"),
        (b"<html>not found</html>", "no IDX file"),
        (struct.pack(">BBBBI", 0, 0, 13, 1, 1) + b"\0\0\0\0", "no IDX file of unsigned bytes"),
        (WHOLE[:9], "no IDX file"),
        (WHOLE[:-1], "holds 23 numbers, where its head says 2 x 3 x 4"),
        (WHOLE + b"\0", "holds 25 numbers"),
        (gzip.compress(WHOLE)[:-4], "can't be read"),
        (b"\x1f\x8bnonsense", "can't be read"),
    ],
    ids=["empty", "page", "floats", "half a head", "short", "long", "torn", "nonsense"],
)
def test_refuses_what_is_no_whole_idx_file(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_idx(tmp_path / "file")


def test_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent"):
        read_idx(tmp_path / "absent")
