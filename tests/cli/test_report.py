"""`report --figure` draws a figure for a paper, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny import copy_folder, invoke

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_folder(tiny, tmp_path_factory.mktemp("figures") / "study")
    answer = invoke("front", folder / "recipe.yaml", "--json")
    assert answer.code == 0, answer.err
    return folder / "recipe-run"


def test_a_figure_is_drawn_where_it_was_asked_for_and_the_page_is_left_alone(run: Path, tmp_path: Path) -> None:
    for ending in ("svg", "pdf", "png"):
        answer = invoke("report", run, "--figure", tmp_path / f"front.{ending}", "--width", "3.3", "--json")
        assert answer.json == {"figure": str(tmp_path / f"front.{ending}"), "page": None}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["front.pdf", "front.png", "front.svg"]
    assert not (run / "report.html").exists()
    assert 'width="237.6pt"' in (tmp_path / "front.svg").read_text("utf-8")


def test_people_are_told_what_to_open(run: Path, tmp_path: Path) -> None:
    answer = invoke("report", run, "--figure", tmp_path / "front.svg", "--kind", "parallel")
    assert answer.out.splitlines()[-1] == f"open {tmp_path / 'front.svg'}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--width", "3.3"), "--width says how a figure is drawn: add --figure FILE"),
        (("--figure", "front.jpg"), "cannot draw 'front.jpg': the name must end in .png, .svg or .pdf"),
        (("--figure", "front.svg", "--width", "0.1"), "give a width of 2 to 40 inches"),
        (("--figure", "front.svg", "--kind", "scater"), "unknown kind of figure 'scater' (did you mean 'scatter'?)"),
        (("--figure", "front.svg", "--metric", "bleu"), "no objective has the metric 'bleu'"),
    ],
)
def test_wishes_that_cannot_be_drawn_are_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = invoke("report", run, *options)
    assert answer.code == 2
    assert message in answer.err
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_made(run: Path, tmp_path: Path) -> None:
    assert invoke("report", run, "--figure", tmp_path / "figures" / "front.svg").code == 0
    assert (tmp_path / "figures" / "front.svg").is_file()
