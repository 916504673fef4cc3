import json
from pathlib import Path

import pytest

from browsing import assert_sound, browser, visit, wait_for_figures
from gradiometer.errors import SettingsError
from gradiometer.schema import Chart, ExperimentReport, HeatMap
from gradiometer.showing.lab_page import render_lab_index, render_lab_page, write_lab_page
from showing.made_experiment import HOSTILE, made_experiment
from showing.test_report import elements_of, text_of

__all__ = ["browser"]

QUESTION = "How much slower do early layers learn than late ones?"


def figure_count(report: ExperimentReport) -> int:
    return sum(isinstance(part, Chart | HeatMap) for section in report.sections for part in section.parts)


def test_shows_every_part_in_its_order() -> None:
    text = text_of(render_lab_page(made_experiment(), question=QUESTION))
    words = (
        "How much slower early layers learn",
        QUESTION,
        "84 times slower",
        "Of 4 published figures 3 were run: 2 within what is accepted, 1 outside.",
        "So it shrinks by a factor",
        "Speed of four layers",
        "Measured beside foretold",
        "1 value of 0 or below is not drawn: the axis is logarithmic. 1 value is infinite and not drawn.",
        "The way down",
        "Filters of the first layer",
        "unit 19",
        "4.612",
    )
    places = [text.index(said) for said in words]
    assert places == sorted(places)


def test_puts_published_beside_measured_with_verdict_and_reason() -> None:
    text = text_of(render_lab_page(made_experiment()))
    table = text[text.rindex("what is claimed") :]
    assert "about 100 seen in the source 30 to 300 84.2 41.2 to 123.4 over 3 seeds within" in table
    assert "95.42 % from memory: the source was not seen 94.7 to 95.8 % – not run needs MNIST" in table
    assert "13,002 computed, no source needed 13002 13002 within" in table
    assert "4.83 from runs of our own at least 3 points 2.1 points outside" in table
    assert "gradiometer report lab/learning-speeds/four-hidden-layers.db" in table


def test_draws_each_picture_as_pixels_in_the_page() -> None:
    pictures = [attributes for tag, attributes in elements_of(render_lab_page(made_experiment())) if tag == "img"]
    assert len(pictures) == 20
    assert all(str(picture["src"]).startswith("data:image/png;base64,") for picture in pictures)
    assert [picture["alt"] for picture in pictures][:2] == ["unit 0", "unit 1"]


def test_links_only_places_of_its_own_and_stays_small() -> None:
    page = render_lab_page(made_experiment(), question=QUESTION)
    tags = elements_of(page)
    links = [str(attributes["href"]) for tag, attributes in tags if tag == "a"]
    anchors = {f"#{attributes['id']}" for _, attributes in tags if "id" in attributes}
    assert links
    assert set(links) <= anchors
    assert [attributes["href"] for tag, attributes in tags if tag == "link"] == ["data:,"]
    assert len(page) < 6_000_000


def test_lets_no_text_become_an_element_or_end_a_script() -> None:
    page = render_lab_page(made_experiment(HOSTILE), question=HOSTILE)
    tags = elements_of(page)
    assert not [attributes for tag, attributes in tags if tag == "img" and "onerror" in attributes]
    assert not [attributes for tag, attributes in tags if tag == "a" and "javascript" in str(attributes.get("href"))]
    assert page.count("</script>") == 3
    data = json.loads(page.split('id="figure-data">')[1].split("</script>")[0])
    assert "<a href" not in json.dumps(data)


@pytest.mark.parametrize("report", [ExperimentReport("product", "Nothing", "", ()), made_experiment()])
def test_embeds_plotly_only_where_there_is_a_figure(report: ExperimentReport) -> None:
    page = render_lab_page(report)
    assert (len(page) > 1_000_000) == (figure_count(report) > 0)


def test_links_the_pages_of_an_index_and_says_what_failed() -> None:
    report = made_experiment()
    page = render_lab_index({"speeds & more.html": report}, {"faces": "needs <skimage>"}, {report.name: QUESTION})
    assert [attributes["href"] for tag, attributes in elements_of(page) if tag == "a"] == ["speeds & more.html"]
    text = text_of(page)
    assert f"{QUESTION} 2 1 1 12.3 s" in text
    assert "could not be run needs &lt;skimage&gt;" in text


def test_says_why_it_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match="choose another place with --output FILE or --folder DIR"):
        write_lab_page(made_experiment(), tmp_path / "file" / "page.html")


REPORTS = {
    "every noun": made_experiment(),
    "hostile": made_experiment(HOSTILE),
    "nothing": ExperimentReport("product", "Nothing", "", ()),
}


LOOKED_AT = [(name, *look) for name in REPORTS for look in ((390, "dark"), (1280, "light"), (390, "light"))]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "width", "scheme"), LOOKED_AT)
def test_draws_every_figure_in_a_browser_without_error_overflow_or_request(
    browser, tmp_path: Path, name: str, width: int, scheme: str
) -> None:
    path = write_lab_page(REPORTS[name], tmp_path / "page.html", question=QUESTION)
    with visit(browser, path.as_uri(), width=width, scheme=scheme) as seen:
        wait_for_figures(seen, figure_count(REPORTS[name]))
        assert seen.page.evaluate("[...document.images].every(image => image.naturalWidth === 8)")
        assert_sound(seen)
