"""Requests to the pages that are served: other sites', other hosts', paths that lead out, bodies of any shape."""

import io
import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.fuzz.values import altered, damaged_bytes, hostile_text, hostile_value

Application = Callable[..., Iterable[bytes]]

HOST = "127.0.0.1:8050"

PATHS = (
    "/",
    "/run/",
    "/compare/a/b",
    "/marks/list",
    "/marks/a/b/c",
    "/report.css",
    "/_dash-layout",
    "/_dash-dependencies",
    "/_dash-update-component",
    "/_reload-hash",
    "/assets/dashboard.js",
    "/_favicon.ico",
)

LEADING_OUT = (
    "/../../../../etc/passwd",
    "/assets/../../../../../../etc/passwd",
    "/assets/..%2f..%2f..%2fapplication.py",
    "/assets/%2e%2e/application.py",
    "/assets/....//....//etc/passwd",
    "/assets//etc/passwd",
    "/assets/..\\..\\application.py",
    "/assets/\x00.js",
    "/_dash-component-suites/../../../etc/passwd",
    "/_dash-component-suites/dash/../dash.py",
    "/_dash-component-suites/os/__init__.py",
    "/run/../../../etc/passwd",
    "/run/%2e%2e%2f%2e%2e%2fthesis.txt",
    "/marks//etc/passwd",
    "//evil.example/",
    "/\\evil.example",
    "/run/" + "a" * 20_000,
)

HEADERS: Mapping[str, tuple[str, ...]] = {
    "HTTP_HOST": (
        HOST,
        "localhost:8050",
        "evil.example",
        "127.0.0.1.evil.example",
        "[::1]",
        "[",
        "",
        "a:b:c",
        "127.0.0.1\r\nX: y",
    ),
    "HTTP_ORIGIN": (f"http://{HOST}", "https://evil.example", "null", "file://", ""),
    "HTTP_SEC_FETCH_SITE": ("same-origin", "cross-site", "same-site", "none", "x"),
    "HTTP_COOKIE": ("a=b", "gradiometer-0=1; " * 200, "\xff", "=;=;"),
    "HTTP_X_FORWARDED_HOST": ("evil.example",),
    "HTTP_ACCEPT_ENCODING": ("gzip", "br, gzip, *;q=0"),
    "HTTP_IF_NONE_MATCH": ("*", "\x00"),
    "HTTP_RANGE": ("bytes=0-", "bytes=9999999999-"),
    "CONTENT_LENGTH": ("0", "5", "99999999999", "-1", "x", "1e3", "００"),
    "CONTENT_TYPE": ("application/json", "text/plain", "multipart/form-data; boundary=x", ""),
    "HTTP_TRANSFER_ENCODING": ("chunked",),
}

SECRETS = (b"root:x:0:", b"my thesis", b"from dash import", b"Traceback (most recent call last)")
"""What no answer may hold: files of the system and of ours, and what is for the programmer."""


@dataclass(frozen=True, slots=True)
class Callback:
    """What a page asks by Dash's own protocol.

    Attributes:
        output: What is asked for, as Dash names it.
        outputs: The same in parts.
        inputs: What is sent along.
        state: The same, which asks for nothing by itself.
    """

    output: str
    outputs: Any
    inputs: list[dict[str, Any]]
    state: list[dict[str, Any]]


def callbacks_of(application: Any) -> list[Callback]:
    """Every question that a page of a Dash application can ask."""
    known = {one["output"]: one for one in application._callback_list}
    return [
        Callback(output, parts_of(output), one["inputs"], one["state"])
        for output, one in sorted(known.items())
        if not one.get("clientside_function")
    ]


def parts_of(output: str) -> Any:
    """What is asked for, in parts: a list where it is several."""
    names = output.strip(".").split("...") if output.startswith("..") else [output]
    parts = [{"id": name.rpartition(".")[0], "property": name.rpartition(".")[2].partition("@")[0]} for name in names]
    return parts if output.startswith("..") else parts[0]


def question(source: random.Random, callback: Callback, keys: list[str], sound: Mapping[str, Any]) -> dict[str, Any]:
    """A body that a page could send, with values that it would not."""

    def given(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                **{name: part[name] for name in ("id", "property")},
                "value": value_for(source, str(part["id"]), keys, sound),
            }
            for part in parts
        ]

    inputs = given(callback.inputs)
    changed = [f"{inputs[0]['id']}.{inputs[0]['property']}"] if inputs else []
    return {
        "output": callback.output,
        "outputs": callback.outputs,
        "inputs": inputs,
        "state": given(callback.state),
        "changedPropIds": changed,
    }


def value_for(source: random.Random, name: str, keys: list[str], sound: Mapping[str, Any]) -> Any:
    """A value for one control or store: a sound one now and then, one that was altered, or anything."""
    if name in sound and source.random() < 0.8:
        return sound[name] if source.random() < 0.7 else altered(source, sound[name])
    if name == "key" and source.random() < 0.8:
        return source.choice(keys)
    if source.random() < 0.5:
        if name == "place":
            return source.choice(("/", f"/run/{source.choice(keys)}", f"/compare/{keys[0]}/{keys[-1]}", "/../x"))
        return source.choice([*keys, "", 0, 1, 3, "moment", None, "gain_db", [], {}])
    return hostile_value(source)


def hostile_request(
    source: random.Random, callbacks: list[Callback], keys: list[str], sound: Mapping[str, Any]
) -> dict[str, Any]:
    """A request as WSGI hands it over."""
    draw = source.random()
    method = source.choice(("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "", "G\x00T"))
    path, body = source.choice((*PATHS, *LEADING_OUT, f"/run/{keys[0]}", f"/marks/{keys[0]}")), b""
    if draw < 0.6 and callbacks:
        method, path = "POST", "/_dash-update-component"
        asked: Any = question(source, source.choice(callbacks), keys, sound)
        if source.random() < 0.3:
            asked = altered(source, asked)
        body = json.dumps(asked).encode("utf-8", "surrogatepass")
        if source.random() < 0.1:
            body = damaged_bytes(source, body)
    elif draw < 0.7:
        path = "/" + hostile_text(source)[:3000]
    environment: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode("utf-8", "replace").decode("latin-1"),
        "QUERY_STRING": source.choice(("", "", "a=b", "token=x", "m=" + "x" * 9000, "%ff%00=<script>", "&&=;")),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8050",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": HOST,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name in source.sample(list(HEADERS), source.choice((0, 0, 0, 1, 2, 4))):
        environment[name] = source.choice(HEADERS[name])
    return environment


def fault_of_answer(application: Application, environment: dict[str, Any]) -> str:
    """Ask, and say what is wrong with the answer; empty where nothing is."""
    told: dict[str, Any] = {}

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        told["status"], told["headers"] = int(status[:3]), {name.lower(): value for name, value in headers}

    answer = application(environment, start)
    try:
        body = b"".join(answer)
    finally:
        getattr(answer, "close", lambda: None)()
    return fault_in(environment, told["status"], told["headers"], body)


def fault_in(environment: Mapping[str, Any], status: int, headers: Mapping[str, str], body: bytes) -> str:
    """What is wrong with an answer; empty where nothing is."""
    if status >= 500:
        return f"{status} for {environment['REQUEST_METHOD']} {environment['PATH_INFO'][:60]!r}: {body[:200]!r}"
    leaked = [secret for secret in SECRETS if secret in body]
    if leaked:
        return f"{leaked} for {environment['PATH_INFO'][:60]!r}"
    if any(name.startswith("access-control-") for name in headers):
        return "another site is let in by CORS"
    if "default-src 'none'" not in headers.get("content-security-policy", ""):
        return "an answer without a content security policy"
    own = f"http://{environment['HTTP_HOST']}"
    is_foreign = environment.get("HTTP_ORIGIN", own) != own
    if is_foreign and environment["REQUEST_METHOD"] == "POST" and status < 400:
        return f"another site's POST was answered: {environment.get('HTTP_ORIGIN')!r}"
    name = environment["HTTP_HOST"].partition(":")[0]
    if name not in ("127.0.0.1", "localhost", "[", "[::1]") and status < 400:
        return f"a name of another host was answered: {environment['HTTP_HOST']!r}"
    place = headers.get("location", "")
    return f"sent away to {place!r}" if place and not is_own_place(place) else ""


def is_own_place(place: str) -> bool:
    """Whether an address leads back to this server."""
    return (place.startswith("/") and not place.startswith(("//", "/\\"))) or place.startswith(f"http://{HOST}/")
