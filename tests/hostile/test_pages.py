"""No page runs, links or loads what the texts of a run say: the same elements whatever a layer is called."""

import json
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from browsing import browser, visit
from gradiometer.comparing import compare
from gradiometer.diagnosing import diagnose
from gradiometer.recording.reader import read_run
from gradiometer.schema import Run
from gradiometer.showing.card import html_of_card
from gradiometer.showing.comparison_page import write_comparison_page
from gradiometer.showing.dashboard.application import dashboard_application
from gradiometer.showing.dashboard.shelf import Found, Shelf, key_of
from gradiometer.showing.export import export_run
from gradiometer.showing.notebook import card_of_diagnosis, card_of_run
from gradiometer.showing.report import write_report
from hostile.made_to_harm import HARM, write_harmful_run
from showing.dashboard.serving_dashboard import dashboard

__all__ = ["browser"]

PLAIN = "plain"

ADDRESSES = ("href", "src", "action", "formaction", "data", "xlink:href")


class Skeleton(HTMLParser):
    """What a page is made of: its elements and attributes, without their texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes |= {f"{tag}.{name}" for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name in ADDRESSES}


def report_of(run: Run, folder: Path) -> str:
    return write_report(run, diagnose(run), folder / "report.html").read_text(encoding="utf-8")


def comparison_of(run: Run, folder: Path) -> str:
    write_comparison_page(compare(run, run), run, run, folder / "compared.html", names=("a.db", "b.db"))
    return (folder / "compared.html").read_text(encoding="utf-8")


def cards_of(run: Run, _: Path) -> str:
    return html_of_card(card_of_run(run)) + html_of_card(card_of_diagnosis(diagnose(run)))


def figures_of(run: Run, folder: Path) -> str:
    files = export_run(run, diagnose(run), folder / "tables", "csv", figures="html")
    return "".join(file.read_text(encoding="utf-8") for file in files if file.suffix == ".html")


PAGES = {"report": report_of, "comparison": comparison_of, "notebook": cards_of, "figures": figures_of}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES.keys())
def test_makes_no_element_of_what_a_run_says(tmp_path: Path, page: Callable[[Run, Path], str]) -> None:
    skeletons = []
    for name, harm in (("plain", PLAIN), ("harmful", HARM)):
        folder = tmp_path / name
        folder.mkdir()
        run = read_run(write_harmful_run(folder / "run.db", harm))
        skeletons.append(Skeleton(page(run, folder)))
    plain, harmful = skeletons
    assert plain.elements
    assert set(harmful.elements) == set(plain.elements)
    assert harmful.elements["script"] == plain.elements["script"]
    assert harmful.attributes == plain.attributes
    assert harmful.addresses == plain.addresses


def answers(path: Path) -> list[Any]:
    """What the dashboard answers to every question that the pages of a run ask."""
    shelf, key = Shelf(lambda: [Found(path)], diagnose), key_of(path)
    application = dashboard_application(shelf, HARM)
    client = application.server.test_client()
    client.get("/")
    known = {"key": key, "before-key": key, "after-key": key, "place": f"/run/{key}", "search": "", "quantity": "gain"}
    found = []
    for question in application._callback_list:
        if question.get("clientside_function"):
            continue
        output = str(question["output"])
        parts = [name.rpartition(".") for name in output.strip(".").split("...")]
        outputs = [{"id": name, "property": kind} for name, _, kind in parts]
        given = {
            place: [
                {"id": one["id"], "property": one["property"], "value": known.get(one["id"], "x")}
                for one in question[place]
            ]
            for place in ("inputs", "state")
        }
        asked = {"output": output, "outputs": outputs if output.startswith("..") else outputs[0], **given}
        answer = client.post("/_dash-update-component", json=asked)
        assert answer.status_code == 200, output
        found.append(json.loads(answer.data))
    return found


def components(value: Any) -> list[dict[str, Any]]:
    """Every component in an answer."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, dict) and {"type", "namespace", "props"} <= value.keys() else []
    return own + [one for part in parts for one in components(part)]


def test_makes_only_plain_components_of_what_a_run_says(tmp_path: Path) -> None:
    told = answers(write_harmful_run(tmp_path / "run.db"))
    made = components(told)
    assert HARM in json.dumps(told, ensure_ascii=False).replace('\\"', '"')
    kinds = {(one["namespace"], one["type"]) for one in made}
    assert {name for name, _ in kinds} <= {"dash_html_components", "dash_core_components"}
    assert not {kind for _, kind in kinds} & {"Script", "Iframe", "Embed", "Object", "Base", "Link", "Markdown", "Img"}
    links = {str(one["props"]["href"]) for one in made if "href" in one["props"]}
    assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in links)


@pytest.mark.slow
def test_runs_nothing_in_a_browser_that_a_run_says(browser: Any, tmp_path: Path) -> None:
    path = write_harmful_run(tmp_path / "run.db")
    run = read_run(path)
    for page in (report_of, comparison_of):
        page(run, tmp_path)
    files = [(tmp_path / name).as_uri() for name in ("report.html", "compared.html")]
    with dashboard(tmp_path) as home:
        key = key_of(path)
        for address in (*files, home, f"{home}run/{key}", f"{home}compare/{key}/{key}"):
            with visit(browser, address) as seen:
                seen.page.locator("body", has_text="harmed").first.wait_for(timeout=120_000)
                seen.page.wait_for_timeout(1500)
                assert seen.page.evaluate("typeof window.harmed") == "undefined", address
                assert [words for words in seen.said if "dialog" in words or "harmed" in words] == [], address
                assert seen.asked_elsewhere == [], address
