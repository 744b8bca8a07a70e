from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tiny import invoke

from paretomerge.cli import progress
from paretomerge.cli.progress import VARIABLE, choose_mode, mode_of, shown_progress
from paretomerge.errors import InputError


class _Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _nobody_chose(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(VARIABLE, raising=False)
    choose_mode(None)
    yield
    monkeypatch.delenv(VARIABLE, raising=False)
    choose_mode(None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_log_gets_a_line_every_few_seconds(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as show:
        for second in range(13):
            clock.now = 100.0 + second
            show(f"step {second}")
    captured = capsys.readouterr()
    assert captured.err == "[     5 s] step 5\n[    10 s] step 10\n"
    assert captured.out == ""


def test_a_log_says_what_remains(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as show:
        for number in range(1, 5):
            clock.now = 100.0 + 6 * number
            show(f"evaluation {number} of at most 9")
    assert capsys.readouterr().err.splitlines() == [
        "[     6 s] evaluation 1 of at most 9",
        "[    12 s] evaluation 2 of at most 9",
        "[    18 s] evaluation 3 of at most 9, at most 45 s left",
        "[    24 s] evaluation 4 of at most 9, at most 40 s left",
    ]


def test_quiet_shows_nothing(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(quiet=True) as show:
        clock.now += 100
        show("step")
    assert capsys.readouterr() == ("", "")


def test_programs_get_json_lines(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    choose_mode("json")
    with shown_progress(quiet=True) as show:
        for number in range(1, 5):
            show(f"évaluation {number} of at most 4")
            clock.now += 10
        show("done")
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [json.loads(line) for line in captured.err.splitlines()]
    assert [line.keys() for line in lines] == [
        {"time", "stage", "message", "done", "total", "at_most", "remaining_s"}
    ] * 5
    assert [line["remaining_s"] for line in lines] == [None, None, 20.0, 10.0, None]
    assert lines[2]["message"] == "évaluation 3 of at most 4"
    assert (lines[2]["done"], lines[2]["total"], lines[2]["at_most"]) == (2, 4, True)
    assert lines[0]["time"].endswith("+00:00")


def test_json_lines_do_not_flood(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    choose_mode("json")
    with shown_progress() as show:
        for number in range(1, 101):
            clock.now += 0.01
            show(f"{number} of 100 MiB")
        show("something else")
    shown = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert len(shown) < 10
    assert shown[-2:] == ["100 of 100 MiB", "something else"]


@pytest.mark.parametrize("how", ["terminal", "asked"])
def test_a_terminal_gets_a_live_line_in_which_brackets_are_text(
    how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if how == "terminal":
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    else:
        choose_mode("bar")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with shown_progress() as show:
        show("loss[a] [red]")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "loss[a] [red]" in captured.err


def test_the_live_line_says_what_remains_and_counts_down(
    clock: _Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    choose_mode("bar")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with shown_progress() as show:
        for number in range(1, 4):
            show(f"evaluation {number} of 9")
            clock.now += 10
    assert "about 1.0 min left" in capsys.readouterr().err  # drawn last when ten of 70 seconds had passed


def test_who_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (mode_of(), mode_of(quiet=True)) == ("lines", "off")
    monkeypatch.setenv(VARIABLE, "json")
    choose_mode(None)
    assert (mode_of(), mode_of(quiet=True)) == ("json", "json")
    choose_mode("auto")
    assert mode_of(quiet=True) == "lines"
    choose_mode("lines")
    assert mode_of() == "lines"
    choose_mode("lines", quiet=True)
    assert mode_of() == "off"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    choose_mode("auto")
    assert mode_of() == "bar"


@pytest.mark.parametrize("source", ["--progress", VARIABLE])
def test_an_unknown_mode_names_the_known_ones(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "jsno" if source == VARIABLE else "")
    with pytest.raises(InputError, match=rf"{source} 'jsno' \(did you mean 'json'\?\): one of auto, bar, lines, json"):
        choose_mode(None if source == VARIABLE else "jsno")


def test_options_are_taken_before_and_behind_the_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr("paretomerge.runs.list_runs", lambda directory: seen.append(mode_of()) or [])
    for arguments in (["--quiet", "runs"], ["runs", "--quiet"], ["runs", tmp_path, "--progress=json"], ["runs"]):
        assert invoke(*arguments).code == 0
    assert seen == ["off", "off", "json", "lines"]
    refused = invoke("runs", "--progress", "fancy")
    assert (refused.code, refused.out) == (2, "")
    assert "--progress 'fancy': one of auto" in refused.err
