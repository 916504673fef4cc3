"""A served page under fire: paths that lead out, other sites, floods, and a token that nobody else learns."""

import http.client
import inspect
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from gradiometer.diagnosing import diagnose
from gradiometer.showing import serving
from gradiometer.showing.dashboard.application import dashboard_application
from gradiometer.showing.dashboard.shelf import Found, Shelf, key_of
from gradiometer.showing.page_questions import PATH
from gradiometer.showing.served_frame import script_hashes
from gradiometer.showing.serving import MAX_BODY_BYTES, MAX_HEADER_BYTES, listening
from showing.dashboard.made_files import write_run

TOKEN = "a token of many letters"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "run.db", hidden_count=2, step_count=8)


@pytest.fixture(scope="module")
def served(path: Path) -> Iterator[int]:
    """The port of a dashboard."""
    application = dashboard_application(Shelf(lambda: [Found(path)], diagnose), ".")
    with listening(application.server, script_hashes=script_hashes(application)) as listener:
        threading.Thread(target=listener.run, daemon=True).start()
        yield urlsplit(listener.url).port or 0


def ask(
    port: int, place: str, method: str = "GET", body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(method, place, skip_host="Host" in headers)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "place",
    [
        "/../../../../../../etc/passwd",
        "/assets/../../../application.py",
        "/assets/..%2f..%2fapplication.py",
        "/assets/%2e%2e/%2e%2e/application.py",
        "/assets/..%5c..%5capplication.py",
        "/assets//etc/passwd",
        "/assets/%00",
        "/_dash-component-suites/dash/../dash.py",
        "/_dash-component-suites/dash/%2e%2e/%2e%2e/flask/app.py",
        "/_dash-component-suites/os/__init__.py",
        "/_dash-component-suites/gradiometer/errors.py",
        "/marks/..%2f..%2f..%2fetc%2fpasswd",
        "/run/..%2f..%2frun.db",
    ],
)
def test_leads_nobody_out_of_its_pages(served: int, place: str) -> None:
    status, headers, body = ask(served, place)
    assert status in {200, 400, 404}
    for secret in (b"root:x:0", b"import ", b"SQLite format 3"):
        assert secret not in body
    assert status != 200 or headers["content-type"].startswith(("text/html", "application/json"))


def test_gives_no_file_for_a_path_of_a_run(served: int, path: Path) -> None:
    for place in (str(path), quote(str(path), safe=""), f"/assets/{path}", f"/run/{path}", f"/marks/{path}"):
        assert b"SQLite format 3" not in ask(served, f"/{place.lstrip('/')}")[2]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
    ],
    ids=str,
)
def test_answers_no_question_of_another_site(served: int, headers: dict[str, str]) -> None:
    status, told, _ = ask(served, PATH, "POST", b"{}", Content_Type="application/json", **headers)
    assert status == 403
    assert not [name for name in told if name.startswith("access-control-")]


def test_lets_no_other_site_in_however_it_asks_first(served: int) -> None:
    asked = {"Origin": "https://evil.example", "Access_Control_Request_Method": "POST"}
    status, told, _ = ask(served, PATH, "OPTIONS", **asked)
    assert status == 405
    assert not [name for name in told if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'"x"',
        b"[" * 100_000,
        b'{"output": 2}',
        b'{"output": "page.children"}',
        b'{"output": "page.children", "outputs": [], "inputs": [3]}',
        b'{"output": "__import__(\'os\')", "inputs": [], "state": []}',
        b'{"output": "page.children", "outputs": {"id": "page", "property": "children"}, '
        b'"inputs": [{"id": "place", "property": "pathname", "value": "\\ud800"}]}',
    ],
    ids=lambda body: body[:40].decode(),
)
def test_refuses_by_a_sentence_what_no_page_asks(served: int, body: bytes) -> None:
    status, headers, told = ask(served, PATH, "POST", body, Content_Type="application/json")
    assert (status, told) == (400, b"No page of ours asks that.\n")
    assert headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    "strange",
    [
        {"outputs": {"id": "other", "property": "children"}},
        {"outputs": [{"id": "page", "property": "children"}]},
        {"outputs": None},
        {"inputs": [{"id": "other", "property": "pathname", "value": "/"}]},
        {"inputs": [{"id": "place", "property": "search", "value": "/"}]},
        {"inputs": []},
        {"state": [{"id": "key", "property": "data", "value": "x"}]},
        {"changedPropIds": [3]},
        {"changedPropIds": "place.pathname"},
    ],
    ids=str,
)
def test_refuses_a_page_s_question_in_another_shape(served: int, strange: dict[str, Any]) -> None:
    given = [{"id": "place", "property": "pathname", "value": "/"}]
    asked = {"output": "page.children", "outputs": {"id": "page", "property": "children"}, "inputs": given}
    statuses = [
        ask(served, PATH, "POST", json.dumps(body).encode(), Content_Type="application/json")[0]
        for body in (asked, {**asked, **strange})
    ]
    assert statuses == [200, 400]


@pytest.mark.parametrize("value", [None, 3, [], {}, True, "/run/" + "x" * 9000, "/compare/a/b/c", "<script>"])
def test_shows_a_page_for_any_address(served: int, value: Any) -> None:
    given = [{"id": "place", "property": "pathname", "value": value}]
    asked = {"output": "page.children", "outputs": {"id": "page", "property": "children"}, "inputs": given}
    status, _, told = ask(served, PATH, "POST", json.dumps(asked).encode(), Content_Type="application/json")
    assert status == 200
    assert b"<script>" not in told


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ({"X-Long": "x" * (MAX_HEADER_BYTES + 1)}, {431}),
        ({"Content_Length": str(MAX_BODY_BYTES + 1)}, {413}),
        ({"Content_Length": "-1"}, {400}),
        ({"Content_Length": "1e3"}, {400}),
        ({"Transfer_Encoding": "gzip"}, {501, 400}),
    ],
    ids=["headers", "body", "negative", "no number", "encoding"],
)
def test_reads_no_request_that_is_too_large(served: int, headers: dict[str, str], statuses: set[int]) -> None:
    assert ask(served, PATH, "POST", **headers)[0] in statuses


def test_reads_no_address_that_is_too_long(served: int) -> None:
    assert ask(served, "/" + "x" * (MAX_HEADER_BYTES + 1))[0] in {400, 414, 431}


def test_ends_a_body_without_end(served: int) -> None:
    with socket.create_connection(("127.0.0.1", served), timeout=60) as connection:
        connection.sendall(b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 2**16 + b"\r\n"
        sent = 0
        with suppress(BrokenPipeError, ConnectionResetError):  # it hangs up, as it should
            while sent < 64 * MAX_BODY_BYTES:
                connection.sendall(chunk)
                sent += len(chunk)
        assert sent < 64 * MAX_BODY_BYTES


def test_answers_while_others_never_finish_asking(served: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", served), timeout=60) for _ in range(40)]
    for connection in idle:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    begun = time.monotonic()
    status = ask(served, "/marks/list")[0]
    for connection in idle:
        connection.close()
    assert status == 200
    assert time.monotonic() - begun < 20.0


def test_tells_nobody_its_token(
    path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    application = dashboard_application(Shelf(lambda: [Found(path)], diagnose), ".")
    with listening(application.server, token=TOKEN, script_hashes=script_hashes(application)) as listener:
        threading.Thread(target=listener.run, daemon=True).start()
        port = urlsplit(listener.url).port or 0
        assert ask(port, "/")[0] == 401
        assert ask(port, f"/?token={quote(TOKEN[:-1])}")[0] == 401
        assert ask(port, "/", Cookie=f"{serving.cookie_name(TOKEN)}={quote(TOKEN[:-1])}")[0] == 401
        status, headers, body = ask(port, f"/run/{key_of(path)}?token={quote(TOKEN)}")
        assert (status, headers["location"]) == (303, f"/run/{key_of(path)}")
        cookie = headers["set-cookie"]
        assert cookie.endswith("HttpOnly; SameSite=Strict")
        status, headers, page = ask(port, "/", Cookie=cookie.partition(";")[0])
        assert status == 200
        assert headers["referrer-policy"] == "no-referrer"
        assert TOKEN.encode() not in body + page
        assert TOKEN not in caplog.text + "".join(capfd.readouterr())


def test_compares_tokens_in_a_time_that_tells_nothing() -> None:
    # A watch on the clock would test the machine: what is compared with is looked at instead.
    for function in (serving.knows, serving.is_handing_in):
        assert "secrets.compare_digest(" in inspect.getsource(function)
