"""The page is one file, loads nothing, and shows names as text."""

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from paretomerge.errors import StorageError
from paretomerge.reports import write_page
from paretomerge.reports.page import page_html


class Reader(HTMLParser):
    """Collects elements with their attributes, and the text of scripts, styles and cells."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        name = dict(attributes).get("id", tag)
        self.open = name if tag in ("script", "style", "td", "th", "h1", "li", "button", "dd", "dt") else None

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, text):
        if self.open:
            self.texts.setdefault(self.open, []).append(text)

    def document(self):
        return json.loads("".join(self.texts["data"]))


@pytest.fixture(params=[(2, False), (3, True), (5, True)], ids=["two", "three hostile", "five hostile"])
def data(request, make_data):
    tasks, hostile = request.param
    return make_data(tasks, hostile=hostile, full=True)


def test_nothing_points_outside(data):
    text = page_html(data)
    for tag, attributes in Reader(text).elements:
        assert tag not in ("iframe", "object", "embed", "base", "form", "img", "audio", "video", "source")
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "action", "srcset", "xlink:href"):
                assert value.startswith(("#", "data:,"))
    assert not re.search(r"https?://|url\((?!#)|@import|fetch\(|XMLHttpRequest|WebSocket|import\(", text)


def test_the_policy_allows_exactly_this_script_and_style(data):
    text = page_html(data)
    policy = next(a["content"] for tag, a in Reader(text).elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_embedded_numbers_are_the_same(data):
    document = Reader(page_html(data)).document()
    np.testing.assert_array_equal(document["points"]["values"], data.scores.values)
    np.testing.assert_array_equal(document["points"]["weights"], data.scores.weights)
    np.testing.assert_array_equal(document["points"]["stderr"], data.scores.stderr)


def test_hostile_names_stay_text(make_data, hostile_names):
    text = page_html(make_data(3, hostile=True, full=True))
    reader = Reader(text)
    tags = [tag for tag, _ in reader.elements]
    assert tags.count("script") == 2
    assert "img" not in tags
    assert "b" not in tags
    assert "hacked" not in "".join(f"{attributes}" for tag, attributes in reader.elements if tag != "button")
    assert "".join(reader.texts["h1"]) == f"Preview of {hostile_names[0]}"
    assert hostile_names[1] in "".join(reader.texts["li"])
    assert reader.document()["tasks"][0] == hostile_names[0]
    assert "{{ json }}" in reader.document()["tasks"][2]
    assert not re.search("[\x00\u202e\u2028]", text)


def test_method_and_ledger_numbers_are_in_the_tables(make_data):
    text = page_html(make_data(2))
    cells = Reader(text).texts["td"]
    for expected in ("averaging", "0.0451 ± 0.0061", "66", "146,250", "812.4"):
        assert expected in cells
    assert 'data-key="0.0451"' in text


def test_empty_parts_leave_no_headings(make_data):
    data = dataclasses.replace(make_data(2), methods=(), ledger={}, warnings=(), notes={})
    text = page_html(data)
    for heading in ("Methods", "Costs", "Warning<", "Notes", "Diagnoses", "Verification"):
        assert f">{heading}" not in text


def test_the_file_is_small_and_alone(data, tmp_path):
    path = write_page(str(tmp_path / "new" / "report.html"), data)
    assert 20_000 < path.stat().st_size < 1_000_000
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert [found.name for found in path.parent.iterdir()] == ["report.html"]


def test_methods_that_are_not_shown_are_counted(make_data):
    data = dataclasses.replace(make_data(2), methods=[{"method": f"m{i}"} for i in range(401)])
    assert "Of 401 methods the first 400 are shown." in page_html(data)


def test_lone_surrogates_do_not_stop_the_page(make_data, tmp_path):
    data = dataclasses.replace(make_data(2), title="bad \ud800 title")
    assert "bad   title" in write_page(tmp_path / "report.html", data).read_text("utf-8")


def test_an_unwritable_place_is_a_storage_error(make_data, tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        write_page(tmp_path / "report.html", make_data(2))
