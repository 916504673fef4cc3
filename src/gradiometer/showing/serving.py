"""Serves a page that stays open, to browsers that may see it and to nobody else.

On loopback nothing is asked of a browser, but a name that only points there (DNS rebinding) is refused, and so is
what another site's page sends. On any other host, or where a token is given, the first address carries a token, which
is then kept in a cookie. No page may load anything from elsewhere, or be framed by another.
"""

import errno
import hashlib
import ipaddress
import logging
import re
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from gradiometer.errors import SettingsError

Environment = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environment, StartResponse], Iterable[bytes]]
"""A WSGI application (PEP 3333), such as the `server` of a Dash application."""

LOOPBACK = "127.0.0.1"
TOKEN_WORD = "token"  # noqa: S105 - the name of a parameter, no secret
LEAST_TOKEN_LETTERS = 16
"""Fewer letters could be guessed by trying; those made here have 43."""

MAX_BODY_BYTES = 2**20
MAX_HEADER_BYTES = 2**16
"""Largest request that is read: what a page sends are numbers and names."""

THREADS = 8
"""Requests answered at once; ten browsers that poll once a second each are answered in turn."""

PACKAGES = ("dash", "waitress")

SAFE_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What every answer says beside its content security policy."""

BIND_FAULTS: Mapping[int, str] = {
    errno.EADDRINUSE: "is in use by another program: choose another port with --port, or 0 for any that is free",
    errno.EACCES: "may not be bound by this user: choose a port above 1023 with --port, or 0 for any that is free",
    errno.EADDRNOTAVAIL: "is no address of this machine: name one with --host, or leave it out for this machine alone",
}


def require_packages() -> None:
    """Make sure that what pages are served with is installed.

    Raises:
        SettingsError: A package is missing; the message says how to install it.
    """
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise SettingsError(
            f"A live page needs {' and '.join(missing)}, not installed here. "
            "Install it: pip install 'gradiometer[dashboard]'"
        )


def serve(
    application: Application,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    token: str | None = None,
    script_hashes: Iterable[str] = (),
    on_ready: Callable[[str], None],
) -> None:
    """Serve an application until Ctrl-C or SIGTERM.

    Args:
        application: A WSGI application.
        host: Name or address to listen on; only this machine reaches loopback.
        port: Port to listen on; 0 for any that is free.
        token: What a browser must know, at least 16 letters; off loopback one is made where None is given.
        script_hashes: Hashes of the scripts that stand in a page itself, as a content security policy writes them.
        on_ready: Called once with the address to open, token included, when connections are taken.

    Raises:
        SettingsError: The address can't be listened on, the token is too short, or a package is missing.
    """
    with listening(application, host=host, port=port, token=token, script_hashes=script_hashes) as listener:
        on_ready(listener.url)
        with ended_by_signals():
            listener.run()


@dataclass(frozen=True, slots=True)
class Listener:
    """A server that takes connections and answers them while it runs.

    Attributes:
        url: The address to open, token included.
        server: waitress's server.
        is_closed: Set once it is being closed.
    """

    url: str
    server: Any
    is_closed: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Answer until it is interrupted, or closed by another thread."""
        try:
            self.server.run()
        except OSError:
            # Its sockets were closed while it waited for them.
            if not self.is_closed.is_set():
                raise


@contextmanager
def listening(
    application: Application,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    token: str | None = None,
    script_hashes: Iterable[str] = (),
) -> Iterator[Listener]:
    """Listen for an application that is guarded; arguments and errors as those of `serve`."""
    require_packages()
    from waitress.server import create_server
    from waitress.wasyncore import close_all

    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe()
    guard = guarded(application, token=token, script_hashes=script_hashes)
    # Its warnings on a queue of requests would stand amid a training's own words.
    logging.getLogger("waitress").setLevel(logging.ERROR)
    with bound_socket(host, port) as bound:
        connections: dict[int, Any] = {}
        server = create_server(
            guard,
            map=connections,
            sockets=[bound],
            threads=THREADS,
            ident=None,
            max_request_body_size=MAX_BODY_BYTES,
            max_request_header_size=MAX_HEADER_BYTES,
        )
        listener = Listener(address_of(host, bound.getsockname()[1], token), server)
        try:
            yield listener
        finally:
            listener.is_closed.set()
            server.task_dispatcher.shutdown()
            server.close()
            close_all(connections, ignore_all=True)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end what runs here, and have those behind it wait until it is tidied up.

    In other threads than the first, signals are not ours.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ending = (signal.SIGINT, signal.SIGTERM)

    def interrupt(*_: object) -> None:
        for number in ending:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = [signal.signal(number, interrupt) for number in ending]
    try:
        yield
    finally:
        for number, handler in zip(ending, before, strict=True):
            signal.signal(number, handler)


def bound_socket(host: str, port: int) -> socket.socket:
    """Bind a socket.

    Raises:
        SettingsError: It can't be bound; the message says why and which option names another.
    """
    if not 0 <= port <= 65535:
        raise SettingsError(f"{port} is no port: give one between 1 and 65535, or 0 for any that is free.")
    try:
        # One family: a free port of the one may be taken in the other.
        family, kind, protocol, _, address = socket.getaddrinfo(
            LOOPBACK if host == "localhost" else host, port, type=socket.SOCK_STREAM
        )[0]
    except (socket.gaierror, UnicodeError):
        raise SettingsError(
            f"{host!r} is no address of this machine: name one with --host, or leave it out for this machine alone."
        ) from None
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen()
    except OSError as fault:
        bound.close()
        reason = BIND_FAULTS.get(fault.errno or 0, f"can't be listened on ({fault.strerror})")
        raise SettingsError(f"{host}:{port} {reason}.") from fault
    return bound


def is_loopback(host: str) -> bool:
    """Whether a name or address is one that only this machine reaches.

    Example:
        >>> is_loopback("localhost"), is_loopback("127.0.0.9"), is_loopback("::1"), is_loopback("0.0.0.0")
        (True, True, True, False)
        >>> is_loopback("localhost.example.org")
        False
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(host: str, port: int, token: str | None) -> str:
    """The address to open in a browser.

    Example:
        >>> address_of("127.0.0.1", 8050, None), address_of("::1", 8050, "a b")
        ('http://127.0.0.1:8050/', 'http://[::1]:8050/?token=a%20b')
    """
    name = socket.gethostname() if host in {"", "0.0.0.0", "::"} else host  # noqa: S104 - read, not bound
    shown = f"[{name}]" if ":" in name else name
    query = f"?{TOKEN_WORD}={quote(token, safe='')}" if token else ""
    return f"http://{shown}:{port}/{query}"


def guarded(application: Application, *, token: str | None = None, script_hashes: Iterable[str] = ()) -> Application:
    """Put the guard before an application.

    Args:
        application: A WSGI application.
        token: What a browser must know; None where only this machine's own browsers come, by a name of loopback.
        script_hashes: As for `serve`.

    Raises:
        SettingsError: The token is too short.
    """
    if token is not None and len(token) < LEAST_TOKEN_LETTERS:
        raise SettingsError(
            f"The token has {len(token)} letters: give at least {LEAST_TOKEN_LETTERS}, or leave --token out where "
            "only this machine is served."
        )
    headers = [("Content-Security-Policy", policy_of(script_hashes)), *SAFE_HEADERS.items()]

    def answer(environment: Environment, start_response: StartResponse) -> Iterable[bytes]:
        start = partial(start_with, start_response, headers)
        fault = fault_of(environment, is_open=token is None)
        if fault is not None:
            return refuse(start, *fault)
        if token is None or knows(environment, token):
            return application(environment, start)
        if is_handing_in(environment, token):
            return hand_over(environment, start, token)
        return refuse(start, "401 Unauthorized", "Open the address that the command said, with its token.")

    return answer


def policy_of(script_hashes: Iterable[str]) -> str:
    """The content security policy: everything from this server alone; plotly.js writes styles of its own.

    Example:
        >>> policy_of(["'sha256-abc='"]).split("; ")[1]
        "script-src 'self' 'sha256-abc='"
    """
    scripts = " ".join(["'self'", *script_hashes])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def start_with(
    start_response: StartResponse,
    headers: list[tuple[str, str]],
    status: str,
    own: list[tuple[str, str]],
    *details: Any,
) -> Any:
    """Start an answer with headers put before its own; what is not said to be kept is not to be stored."""
    is_kept = any(name.lower() == "cache-control" for name, _ in own)
    storing = [] if is_kept else [("Cache-Control", "no-store")]
    return start_response(status, [*headers, *storing, *own], *details)


def fault_of(environment: Environment, *, is_open: bool) -> tuple[str, str] | None:
    """What speaks against a request, as status and sentence; None where nothing does."""
    host = str(environment.get("HTTP_HOST", ""))
    if is_open and not is_loopback(name_in(host)):
        return "403 Forbidden", "This page is served to this machine alone: open it as http://127.0.0.1."
    method = environment.get("REQUEST_METHOD")
    if method not in {"GET", "HEAD", "POST"}:
        return "405 Method Not Allowed", "Pages are read here, nothing else."
    if method == "POST" and not is_same_origin(environment, host):
        return "403 Forbidden", "This came from a page of another site."
    length = str(environment.get("CONTENT_LENGTH") or "0")
    if not re.fullmatch(r"[0-9]{1,18}", length) or int(length) > MAX_BODY_BYTES:
        return "413 Content Too Large", f"More than {MAX_BODY_BYTES} bytes in one request."
    return None


def name_in(host: str) -> str:
    """The name in a Host header, without its port; empty where it makes no sense.

    Example:
        >>> name_in("localhost:8050"), name_in("[::1]:80"), name_in("[oh")
        ('localhost', '::1', '')
    """
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_same_origin(environment: Environment, host: str) -> bool:
    """Whether a request comes from a page that was served here, or from no page at all.

    Every browser names the origin of what a page posts; a program that is no browser may leave it out.
    """
    own = f"{environment.get('wsgi.url_scheme', 'http')}://{host}"
    is_own = environment.get("HTTP_ORIGIN", own) == own
    return bool(is_own and environment.get("HTTP_SEC_FETCH_SITE", "same-origin") == "same-origin")


def cookie_name(token: str) -> str:
    """Name of the cookie of one token: ports of a host share their cookies, so each server has a name of its own."""
    return f"gradiometer-{hashlib.sha256(token.encode('utf-8')).hexdigest()[:12]}"


def knows(environment: Environment, token: str) -> bool:
    """Whether a request's cookie holds the token."""
    expected = f"{cookie_name(token)}={quote(token, safe='')}"
    held = (part.strip() for part in str(environment.get("HTTP_COOKIE", "")).split(";"))
    return any(secrets.compare_digest(part.encode("utf-8"), expected.encode("utf-8")) for part in held)


def is_handing_in(environment: Environment, token: str) -> bool:
    """Whether a request hands the token in by its address."""
    given = dict(parse_qsl(str(environment.get("QUERY_STRING", "")))).get(TOKEN_WORD, "")
    is_right = secrets.compare_digest(given.encode("utf-8"), token.encode("utf-8"))
    return is_right and environment.get("REQUEST_METHOD") == "GET"


def hand_over(environment: Environment, start: StartResponse, token: str) -> list[bytes]:
    """Give the browser the token as a cookie and send it to the same page without it, so that no history holds it."""
    rest = [pair for pair in parse_qsl(str(environment.get("QUERY_STRING", ""))) if pair[0] != TOKEN_WORD]
    # A path that began with two strokes would name another host.
    path = "/" + quote(str(environment.get("PATH_INFO", "/")), safe="/", encoding="latin-1").lstrip("/")
    cookie = f"{cookie_name(token)}={quote(token, safe='')}; Path=/; HttpOnly; SameSite=Strict"
    place = path + (f"?{urlencode(rest)}" if rest else "")
    start("303 See Other", [("Location", place), ("Set-Cookie", cookie), ("Content-Length", "0")])
    return []


def refuse(start: StartResponse, status: str, text: str) -> list[bytes]:
    """Answer with a sentence only."""
    body = f"{text}\n".encode()
    start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
