"""What a served page may ask: the questions that it is made of, and nothing of another shape.

Dash looks a question up by what stands in it, and fails in its own words where that makes no sense. Here it is refused
before, by a sentence; what the values in it may be is for those to say who answer.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import Dash
from dash.exceptions import DependencyException
from flask import Request, Response, request

from gradiometer.errors import GradiometerError
from gradiometer.recording.plain_json import parse_json
from gradiometer.showing.printable import UNWRITABLE, encodable

PATH = "/_dash-update-component"
"""Where pages send their questions."""

PLACES = ("inputs", "state")
"""Where a question holds values of controls and stores."""


def refuse_strange_questions(application: Dash) -> None:
    """Answer only what a page of this application asks.

    Args:
        application: Its questions are known when the first request comes.
    """

    def refuse() -> Response | None:
        if request.path != PATH or is_question(body_of(request), application.callback_map):
            return None
        return said("No page of ours asks that.", 400)

    application.server.before_request(refuse)
    application.server.register_error_handler(GradiometerError, lambda fault: said(str(fault), 400))
    application.server.register_error_handler(DependencyException, lambda _: said("There is no such file.", 404))


def said(sentence: str, status: int) -> Response:
    """An answer of one sentence."""
    return Response(f"{encodable(sentence)}\n", status, mimetype="text/plain")


def body_of(asked: Request) -> Any:
    """What was sent, as JSON gives it; None where it is none, or holds halves of characters, which no answer can."""
    data = asked.get_data()
    try:
        body = parse_json(data.decode("utf-8"))
    except ValueError:
        return None
    if b"\\ud" in data.lower() and UNWRITABLE.search(json.dumps(body, ensure_ascii=False)):
        return None
    return body


def is_question(body: Any, known: Mapping[str, Any]) -> bool:
    """Whether a body has the shape of a question that is known.

    Args:
        body: What was sent, as JSON gives it; None where it is none.
        known: The questions by what they ask for, as Dash holds them.

    Example:
        >>> known = {"page.children": {"inputs": [{"id": "place", "property": "pathname"}], "state": []}}
        >>> given = [{"id": "place", "property": "pathname", "value": "/"}]
        >>> asked = {"output": "page.children", "outputs": {"id": "page", "property": "children"}, "inputs": given}
        >>> is_question(asked, known), is_question({**asked, "output": "other"}, known), is_question(None, known)
        (True, False, False)
    """
    if not isinstance(body, dict) or not isinstance(body.get("output"), str) or body["output"] not in known:
        return False
    question = known[body["output"]]
    changed = body.get("changedPropIds", [])
    return (
        all(has_parts(body.get(place, []), question[place]) for place in PLACES)
        and isinstance(changed, list)
        and all(isinstance(name, str) for name in changed)
        and has_outputs(body.get("outputs"), body["output"])
    )


def has_parts(given: Any, expected: Sequence[Mapping[str, Any]]) -> bool:
    """Whether values come from the controls and stores that are expected, in their order."""
    return (
        isinstance(given, list)
        and len(given) == len(expected)
        and all(
            isinstance(part, dict) and (part.get("id"), part.get("property")) == (one["id"], one["property"])
            for part, one in zip(given, expected, strict=True)
        )
    )


def has_outputs(given: Any, output: str) -> bool:
    """Whether what is asked for is said in parts as it is said in a word.

    Example:
        >>> has_outputs([{"id": "a", "property": "data"}, {"id": "b", "property": "max"}], "..a.data...b.max..")
        True
        >>> has_outputs([], "..a.data..."), has_outputs({"id": "a", "property": "data"}, "a.data@1f")
        (False, True)
    """
    parts = given if isinstance(given, list) else [given]
    names = output.removeprefix("..").removesuffix("..").split("...")
    return isinstance(given, list) == output.startswith("..") and [name_of(part) for part in parts] == [
        name.partition("@")[0] for name in names
    ]


def name_of(part: Any) -> str:
    """What one part asks for, as Dash names it; empty where it makes no sense."""
    return f"{part.get('id')}.{str(part.get('property')).partition('@')[0]}" if isinstance(part, dict) else ""
