"""The guard before a page that stays open, and the server behind it."""

import http.client
import socket
import threading
from urllib.parse import urlsplit

import pytest

from gradiometer.errors import SettingsError
from gradiometer.showing.serving import cookie_name, guarded, listening

TOKEN = "a token of many letters"


def page(environment, start_response):
    """A page that says how it was asked."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environment["REQUEST_METHOD"].encode()]


def asked(application, *, host="127.0.0.1:8050", method="GET", path="/", query="", **headers):
    """Ask an application; gives status, headers and body."""
    told = {}
    environment = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "HTTP_HOST": host,
        "wsgi.url_scheme": "http",
        **{f"HTTP_{name.upper()}": value for name, value in headers.items() if name != "length"},
        **({"CONTENT_LENGTH": headers["length"]} if "length" in headers else {}),
    }

    def start(status, fields, *_):
        told["status"], told["headers"] = int(status[:3]), dict(fields)

    body = b"".join(application(environment, start))
    return told["status"], told["headers"], body.decode()


@pytest.mark.parametrize("host", ["127.0.0.1:8050", "localhost:8050", "[::1]:8050", "127.0.0.1"])
def test_answers_by_a_name_of_this_machine(host: str) -> None:
    assert asked(guarded(page), host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example:8050", "127.0.0.1.evil.example", "", "192.168.0.2", "[oh"])
def test_refuses_names_that_only_point_here(host: str) -> None:
    assert asked(guarded(page), host=host)[0] == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:8050"}, 200),
        ({"origin": "http://127.0.0.1:8051"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "same-origin"}, 200),
    ],
)
def test_refuses_what_the_page_of_another_site_sends(headers: dict[str, str], status: int) -> None:
    assert asked(guarded(page), method="POST", length="2", **headers)[0] == status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE"])
def test_only_reads(method: str) -> None:
    assert asked(guarded(page), method=method)[0] == 405


@pytest.mark.parametrize("length", ["1048577", "9" * 30, "-1", "many"])
def test_refuses_requests_too_large_to_come_from_its_pages(length: str) -> None:
    assert asked(guarded(page), method="POST", length=length)[0] == 413


def test_lets_its_pages_load_nothing_from_elsewhere() -> None:
    headers = asked(guarded(page, script_hashes=["'sha256-abc='"]))[1]
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["script-src"] == "'self' 'sha256-abc='"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_takes_the_token_once_and_then_a_cookie_that_no_script_reads() -> None:
    guard = guarded(page, token=TOKEN)
    assert asked(guard, host="example.org")[0] == 401
    assert asked(guard, query="token=another+token+of+letters")[0] == 401
    status, headers, _ = asked(guard, path="/run/1", query="token=a+token+of+many+letters&a=b")
    assert (status, headers["Location"]) == (303, "/run/1?a=b")
    assert headers["Set-Cookie"].endswith("; Path=/; HttpOnly; SameSite=Strict")
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert asked(guard, host="example.org", cookie=f"other=1; {cookie}")[0] == 200
    assert asked(guard, cookie=f"{cookie_name(TOKEN)}=guessed")[0] == 401


def test_sends_nobody_to_another_host_for_the_token() -> None:
    status, headers, _ = asked(
        guarded(page, token=TOKEN), path="//evil.example/", query="token=a+token+of+many+letters"
    )
    assert (status, headers["Location"]) == (303, "/evil.example/")


def test_wants_a_token_that_cannot_be_guessed() -> None:
    with pytest.raises(SettingsError, match="16"):
        guarded(page, token="short")


def test_makes_a_token_where_others_can_reach_it() -> None:
    with listening(page, host="0.0.0.0") as listener:
        assert len(urlsplit(listener.url).query) > len("token=") + 40
    with listening(page) as listener:
        assert urlsplit(listener.url).query == ""


def test_says_what_to_do_about_an_address_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match="--port"), listening(page, port=port):
            pass


@pytest.mark.parametrize(("host", "port", "words"), [("127.0.0.1", 70_000, "no port"), ("no such name", 0, "--host")])
def test_says_what_is_wrong_with_an_address(host: str, port: int, words: str) -> None:
    with pytest.raises(SettingsError, match=words), listening(page, host=host, port=port):
        pass


def test_answers_over_a_socket_with_the_same_guard() -> None:
    with listening(page) as listener:
        threading.Thread(target=listener.run, daemon=True).start()
        place = urlsplit(listener.url)
        connection = http.client.HTTPConnection("127.0.0.1", place.port or 0, timeout=30)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"GET"
        connection.request("GET", "/", headers={"Host": "evil.example"})
        assert connection.getresponse().status == 403
        connection.close()
