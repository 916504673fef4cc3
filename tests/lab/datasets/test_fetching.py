import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gradiometer.errors import DataError
from gradiometer.lab.datasets.fetching import RemoteFile, fetch

CONTENT = bytes(range(256)) * 1000
FILE = RemoteFile("numbers.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@contextmanager
def mirror(content: bytes = CONTENT, *, breaks_off_after: int | None = None, knows_ranges: bool = True) -> Iterator:
    """A mirror on this machine; gives its address, and a list of the ranges that it was asked for."""
    asked: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Range"))
            begin = int(asked[-1].removeprefix("bytes=").removesuffix("-")) if asked[-1] and knows_ranges else 0
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - begin))
            self.end_headers()
            self.wfile.write(content[begin : begin + breaks_off_after if breaks_off_after else None])

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def dead_mirror() -> str:
    """The address of a mirror that has gone."""
    with mirror() as (address, _):
        pass
    return address


def test_fetches_a_file_once(tmp_path: Path) -> None:
    said: list[str] = []
    with mirror() as (address, asked):
        for _ in range(2):
            assert fetch(FILE, [address], tmp_path / "deep" / "cache", said.append).read_bytes() == CONTENT
    assert asked == [None]
    assert said == [f"Fetching numbers.bin (0.3 MB) from {address}"]
    assert [path.name for path in (tmp_path / "deep" / "cache").iterdir()] == ["numbers.bin"]


def test_takes_the_next_mirror_when_the_first_is_down(tmp_path: Path, dead_mirror: str) -> None:
    with mirror() as (address, _):
        path = fetch(FILE, [dead_mirror, address], tmp_path, lambda _: None)
    assert path.read_bytes() == CONTENT


def test_goes_on_where_a_mirror_broke_off(tmp_path: Path) -> None:
    with mirror(breaks_off_after=1000) as (broken, _), mirror() as (whole, asked):
        path = fetch(FILE, [broken, whole], tmp_path, lambda _: None)
    assert asked == ["bytes=1000-"]
    assert path.read_bytes() == CONTENT


def test_goes_on_with_what_an_earlier_call_left(tmp_path: Path) -> None:
    with mirror(breaks_off_after=1000) as (broken, asked):
        with pytest.raises(DataError, match="broke off after 1,000 of 256,000 bytes"):
            fetch(FILE, [broken], tmp_path, lambda _: None)
        with pytest.raises(DataError, match="broke off after 2,000 of 256,000 bytes"):
            fetch(FILE, [broken], tmp_path, lambda _: None)
    assert asked == [None, "bytes=1000-"]
    assert not (tmp_path / "numbers.bin").exists()


def test_starts_anew_where_a_server_sends_everything_again(tmp_path: Path) -> None:
    (tmp_path / "numbers.bin.part").write_bytes(b"x" * 5000)
    with mirror(knows_ranges=False) as (address, asked):
        path = fetch(FILE, [address], tmp_path, lambda _: None)
    assert asked == ["bytes=5000-"]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[::-1], CONTENT + b"more"], ids=["other", "longer"])
def test_refuses_a_file_with_another_hash(tmp_path: Path, content: bytes) -> None:
    with mirror(content) as (address, _), pytest.raises(DataError, match="its hash is wrong"):
        fetch(FILE, [address], tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_takes_a_whole_partial_file_without_asking_again(tmp_path: Path, dead_mirror: str) -> None:
    (tmp_path / "numbers.bin.part").write_bytes(CONTENT)
    assert fetch(FILE, [dead_mirror], tmp_path, lambda _: None).read_bytes() == CONTENT


def test_fetches_a_damaged_file_again(tmp_path: Path) -> None:
    (tmp_path / "numbers.bin").write_bytes(b"damaged")
    with mirror() as (address, _):
        assert fetch(FILE, [address], tmp_path, lambda _: None).read_bytes() == CONTENT


def test_says_why_each_mirror_failed(tmp_path: Path, dead_mirror: str) -> None:
    with pytest.raises(DataError) as raised:
        fetch(FILE, [dead_mirror, "http://name.invalid/"], tmp_path, lambda _: None)
    assert f"{dead_mirror}: " in str(raised.value)
    assert "http://name.invalid/: " in str(raised.value)


def test_says_that_a_folder_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(DataError, match="can't be written"):
        fetch(FILE, [], tmp_path / "taken", lambda _: None)
