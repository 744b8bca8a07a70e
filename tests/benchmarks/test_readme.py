"""The page of the benchmarks is generated, and nothing else."""

from __future__ import annotations

import re

import pytest
from benchmarks.suite.results import FOLDER

from benchmarks import readme


def test_the_page_is_what_committed_results_give():
    assert readme.PAGE.read_text(encoding="utf-8") == readme.text(), "run  python -m benchmarks.readme"


def test_every_table_of_results_has_a_place():
    places = [name for file in readme.PAGES.glob("*.md") for name in readme.PLACE.findall(file.read_text())]
    assert sorted(places) == sorted(readme.all_sections())


def test_pictures_and_links_of_the_page_are_there():
    linked = re.findall(r"\]\((\.\./[^)#]+)", readme.PAGE.read_text())
    assert linked
    assert [path for path in linked if not (readme.HERE / path).exists()] == []


def test_a_place_that_nothing_is_known_for_is_refused():
    with pytest.raises(KeyError, match="unheard of"):
        readme.filled("<!-- unheard of: generated -->\n<!-- unheard of: end -->", {})


def test_what_stood_in_a_place_is_replaced():
    page = "a\n<!-- x: generated -->\nold\n\nlines\n<!-- x: end -->\nb\n<!-- y: generated -->\n<!-- y: end -->"
    assert readme.filled(page, {"x": lambda: "1", "y": lambda: "2"}) == (
        "a\n<!-- x: generated -->\n1\n<!-- x: end -->\nb\n<!-- y: generated -->\n2\n<!-- y: end -->"
    )


def test_results_of_a_setting_are_compact():
    assert [file.name for file in FOLDER.glob("*.json") if file.stat().st_size > 300_000] == []
