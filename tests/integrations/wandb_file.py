"""Reads the file that an offline run of W&B leaves; wandb's own reader is in its compiled core.

The file is a LevelDB log ("LevelDB log format", github.com/google/leveldb/blob/main/doc/log_format.md) behind seven
bytes of W&B's, and its records are protocol buffers whose classes come with wandb.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK_BYTES = 32768
HEADER_BYTES = 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records_in(path: Path) -> Iterator[Record]:
    """All records of a run, in order."""
    content = path.read_bytes()
    assert content[:4] == b":W&B"
    place, parts = HEADER_BYTES, b""
    while place + HEADER_BYTES <= len(content):
        left = BLOCK_BYTES - place % BLOCK_BYTES
        if left < HEADER_BYTES:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        if kind not in {FULL, FIRST, MIDDLE, LAST}:
            return
        piece = content[place + HEADER_BYTES : place + HEADER_BYTES + length]
        parts = piece if kind in {FULL, FIRST} else parts + piece
        if kind in {FULL, LAST}:
            record = Record()
            record.ParseFromString(parts)
            yield record
        place += HEADER_BYTES + length


def key_of(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


def rows_in(path: Path) -> list[dict[str, Any]]:
    """Rows that were logged, as they are to be charted."""
    return [
        {key_of(item): json.loads(item.value_json) for item in record.history.item}
        for record in records_in(path)
        if record.WhichOneof("record_type") == "history"
    ]


def summary_in(path: Path) -> dict[str, Any]:
    """What the run's summary was set to."""
    return {
        key_of(item): json.loads(item.value_json)
        for record in records_in(path)
        if record.WhichOneof("record_type") == "summary"
        for item in record.summary.update
    }


def file_in(folder: Path) -> Path:
    """The file of the offline run whose folder this is."""
    (found,) = folder.glob("run-*.wandb")
    return found
