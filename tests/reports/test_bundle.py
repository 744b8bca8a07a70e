"""`report` writes page and picture, and the page alone when it must."""

import dataclasses
import sys

from paretomerge import reports
from paretomerge.reports import report


def test_a_report_is_a_page_and_a_picture(make_data, tmp_path):
    paths = report(make_data(2), tmp_path / "report")
    assert paths.page == tmp_path / "report" / "report.html"
    assert paths.figure == tmp_path / "report" / "front.png"
    assert paths.figure.read_bytes().startswith(b"\x89PNG")
    assert paths.missing == ""


def test_without_matplotlib_the_page_is_written_and_the_extra_named(make_data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    paths = report(make_data(2), str(tmp_path))
    assert paths.figure is None
    assert "paretomerge[report]" in paths.missing
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]


def test_without_scores_there_is_a_page_without_a_picture(make_data, tmp_path):
    data = make_data(2)
    empty = dataclasses.replace(data, scores=data.scores.take([]), front=None, choice=None)
    paths = report(empty, tmp_path)
    assert paths.page.is_file()
    assert paths.figure is None
    assert "at least two objectives" in paths.missing


def test_the_room_exports_what_it_names():
    assert reports.__all__ == sorted(reports.__all__)
    assert all(hasattr(reports, name) for name in reports.__all__)
