import base64
import json
import re
import zlib
from pathlib import Path

import pytest

from browsing import assert_sound, browser, controls_out_of_reach, visit, wait_for_figures  # noqa: F401 - a fixture
from gradiometer.showing.block_rows import MOST_TABLE_ROWS, rows_or_blocks
from gradiometer.showing.figures.layer_tree import layer_tree, openness_for, rows_at, values_of
from gradiometer.showing.layer_rows import rows_of_run
from gradiometer.showing.report import render_report, write_report
from gradiometer.showing.report_details import HEAT_MAPS, closed_blocks, detail_figures, details_of
from showing.made_run import made_diagnosis, made_run
from showing.made_turns import measured_fully

TITLES = {name: name for name in ("gain_ladder", *HEAT_MAPS, "trial_pairs")}
HOSTILE = 'a.</script><img src=x onerror="alert(1)">.'


def unpacked(html: str) -> dict[str, dict[str, object]]:
    (data,) = re.findall(r'id="detail-data">([^<]+)</script>', html)
    return json.loads(zlib.decompress(base64.b64decode(data)))  # type: ignore[no-any-return]


def test_looks_into_every_closed_block_of_every_figure() -> None:
    run, diagnosis = made_run(60), made_diagnosis("body.33")
    blocks = closed_blocks(run, diagnosis)
    details = detail_figures(run, diagnosis, TITLES, blocks)
    assert {name.partition("/")[0] for name in details} == set(TITLES) - {"trial_pairs"}
    for rank, block in enumerate(blocks):
        names = [run.layers[column].name for column in block.columns]
        assert details[f"layer_heatmap/{rank}"]["data"][0]["y"] == names  # type: ignore[index]
        assert names[0] in str(details[f"gain_ladder/{rank}"]["layout"])
        assert block.name in str(details[f"layer_heatmap/{rank}"]["words"])


def test_offers_each_block_once_and_packs_what_it_offers() -> None:
    run, diagnosis = made_run(60), made_diagnosis("body.33")
    choices, packed = details_of(run, diagnosis, TITLES)
    assert choices["trial_pairs"] == ""
    offered = [value for choice in choices.values() for value in re.findall(r'value="([^"]+/\d+)"', choice)]
    assert sorted(offered) == sorted(unpacked(packed))
    assert all(choice.count("<label for=") == 1 for choice in choices.values() if choice)


def test_has_nothing_to_look_into_where_all_layers_are_shown() -> None:
    choices, packed = details_of(made_run(10), made_diagnosis(), TITLES)
    assert (set(choices.values()), packed) == ({""}, "")


def test_lets_no_layer_name_out_of_the_choice() -> None:
    page = render_report(made_run(60, prefix=HOSTILE), made_diagnosis(HOSTILE + "1"))
    assert "<img" not in page[: page.index('<script type="application/json"')]


def test_lists_a_deep_network_by_blocks_in_the_table() -> None:
    run = made_run(250)
    rows = rows_or_blocks(run, 4, "body.77")
    assert len(rows) <= MOST_TABLE_ROWS + 30
    assert next(row for row in rows if row.name == "body.77") == rows_of_run(run, 4)[77]
    tree = layer_tree(run.layers)
    blocks = {row.name: row for row in rows_at(tree, openness_for(run, tree, "body.77", most_rows=MOST_TABLE_ROWS))}
    row = next(row for row in rows if row.name == "body.110 … 119")
    block = blocks[row.name]
    assert (row.kind, row.slope, row.call_site) == ("10 layers", None, None)
    assert row.gain_db == pytest.approx(values_of(run, [block], "gain_db", [4])[0, 0])
    assert rows_or_blocks(made_run(10), 4) == rows_of_run(made_run(10), 4)


@pytest.mark.slow
def test_keeps_the_page_of_five_thousand_layers_under_six_megabytes(tmp_path: Path) -> None:
    prefix = "model.blocks.transformer."
    run, diagnosis = measured_fully(made_run(2500, prefix=prefix)), made_diagnosis(prefix + "33")
    path = write_report(run, diagnosis, tmp_path / "page.html")
    assert path.stat().st_size < 6_000_000
    assert len(unpacked(path.read_text(encoding="utf-8"))) > 100


@pytest.mark.slow
def test_opens_a_block_in_a_browser_by_keyboard(browser, tmp_path: Path) -> None:  # noqa: F811
    path = write_report(made_run(60, prefix=HOSTILE), made_diagnosis(HOSTILE + "33"), tmp_path / "page.html")
    with visit(browser, path.as_uri(), width=390, scheme="dark") as seen:
        wait_for_figures(seen)
        page = seen.page
        choice = page.locator("select[data-into=layer_heatmap]")
        before = page.locator("#layer_heatmap").get_attribute("aria-label")
        choice.focus()
        page.keyboard.press("End")
        page.locator("#layer_heatmap[data-figure='layer_heatmap/0']").wait_for()
        for _ in range(100):
            if page.locator("#layer_heatmap g.ytick").count() == 10:
                break
            page.wait_for_timeout(100)
        assert page.locator("#layer_heatmap g.ytick").count() == 10
        after = page.locator("#layer_heatmap").get_attribute("aria-label")
        assert after != before
        page.keyboard.press("Home")
        page.locator("#layer_heatmap[data-figure='layer_heatmap']").wait_for()
        assert page.locator("#layer_heatmap").get_attribute("aria-label") == before
        assert controls_out_of_reach(page) == []
        assert_sound(seen)
