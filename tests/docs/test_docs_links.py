from pathlib import Path

import pytest
from docs_links import check_links, main

WHOLE = """<h1 id="top">One</h1><a href="#top">up</a><a href="two.html#there">on</a><img src="picture.png">
<a href="https://example.org/page">elsewhere</a><a href="mailto:nobody@example.org">write</a>"""


def written(folder: Path, one: str) -> Path:
    (folder / "one.html").write_text(one, encoding="utf-8")
    (folder / "two.html").write_text('<p id="there">Two</p>', encoding="utf-8")
    (folder / "picture.png").write_bytes(b"")
    return folder


def test_follows_links_anchors_and_pictures(tmp_path: Path) -> None:
    found = check_links(written(tmp_path, WHOLE))
    assert (found.count, found.broken) == (3, [])
    assert found.external == {"https://example.org/page": {"one.html"}}


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("three.html", "no such file"),
        ("two.html#nowhere", "no such anchor"),
        ("#nowhere", "no such anchor"),
        ("../outside.html", "leads out of the site"),
    ],
)
def test_names_a_broken_link_and_its_page(tmp_path: Path, link: str, words: str) -> None:
    (tmp_path / "outside.html").write_text("", encoding="utf-8")
    (tmp_path / "site").mkdir()
    found = check_links(written(tmp_path / "site", f'<a href="{link}">there</a>'))
    assert len(found.broken) == 1
    assert found.broken[0].startswith(f"one.html: {link}: ")
    assert words in found.broken[0]


def test_ends_with_a_code_that_a_build_fails_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(written(tmp_path, WHOLE))]) == 0
    assert "elsewhere: https://example.org/page (one.html)" in capsys.readouterr().out
    assert main([str(written(tmp_path, '<a href="gone.html">there</a>'))]) == 1
    assert "broken: one.html: gone.html: there is no such file" in capsys.readouterr().err
