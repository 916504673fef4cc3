"""Files fetched once over HTTP: from the first mirror that has them, resumed where it broke off, checked by hash."""

import hashlib
import http.client
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradiometer.errors import DataError

TIMEOUT_SECONDS = 30.0
"""How long a mirror may be silent; a guess of ours."""

BLOCK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that mirrors have under the same name.

    Attributes:
        name: Its name, behind a mirror's address.
        size_bytes: Its length.
        sha256: Hash of what it holds, in hexadecimal.
    """

    name: str
    size_bytes: int
    sha256: str


def fetch(file: RemoteFile, mirrors: Sequence[str], folder: Path, say: Callable[[str], None]) -> Path:
    """Bring a file into a folder, unless it is there.

    What has arrived is kept as `NAME.part`, so that the next mirror, or the next call, asks for the rest alone. The
    file gets its name only when its hash is right.

    Args:
        file: What to fetch.
        mirrors: Addresses that end in a slash, tried in turn.
        folder: Where it goes; made where it is missing.
        say: Told what is fetched from where.

    Returns:
        The file's path.

    Raises:
        DataError: No mirror gave it; the message names each with its reason.
    """
    target = folder / file.name
    if target.exists() and _hash_of(target) == file.sha256:
        return target
    partial = folder / f"{file.name}.part"
    reasons = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for mirror in mirrors:
            say(f"Fetching {file.name} ({file.size_bytes / 1e6:.1f} MB) from {mirror}")
            reason = _fetch_from(mirror, file, partial)
            if not reason:
                partial.replace(target)
                return target
            reasons.append(f"{mirror}: {reason}")
    except OSError as fault:
        raise DataError(f"{file.name} can't be written to {folder}: {fault}.") from fault
    raise DataError(f"{file.name} could not be fetched ({'; '.join(reasons)}).")


def _fetch_from(mirror: str, file: RemoteFile, partial: Path) -> str:
    """Bring the file, or what is missing of it; gives the reason where it did not come."""
    have = partial.stat().st_size if partial.exists() else 0
    if have < file.size_bytes:
        asked = urllib.request.Request(mirror + file.name, headers={"Accept-Encoding": "identity"})
        if have:
            asked.add_header("Range", f"bytes={have}-")
        try:
            with urllib.request.urlopen(asked, timeout=TIMEOUT_SECONDS) as answer:
                _append(answer, partial, _kept(answer, have), file.size_bytes)
        except (OSError, http.client.HTTPException) as fault:
            return str(fault) or type(fault).__name__
    if partial.stat().st_size < file.size_bytes:
        return f"broke off after {partial.stat().st_size:,} of {file.size_bytes:,} bytes"
    if _hash_of(partial) != file.sha256:
        partial.unlink()
        return "what came is another file: its hash is wrong"
    return ""


def _kept(answer: http.client.HTTPResponse, have: int) -> int:
    """How many of the bytes at hand the answer goes on behind: a server may send the whole file all the same."""
    goes_on = answer.status == http.client.PARTIAL_CONTENT
    return have if goes_on and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-") else 0


def _append(answer: http.client.HTTPResponse, partial: Path, kept: int, limit: int) -> None:
    """Write an answer behind the bytes that are kept; never more than one byte beyond the file's length."""
    with partial.open("r+b" if kept else "wb") as written:
        written.seek(kept)
        left = limit + 1 - kept
        while left > 0 and (block := answer.read(min(BLOCK_BYTES, left))):
            written.write(block)
            left -= len(block)


def _hash_of(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
