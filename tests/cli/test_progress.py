from __future__ import annotations

import pytest

from paretomerge.cli import progress
from paretomerge.cli.progress import counted, shown_progress


class _Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


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


def test_quiet_shows_nothing(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(quiet=True) as show:
        clock.now += 100
        show("step")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_live_line_in_which_brackets_are_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with shown_progress() as show:
        show("loss[a] [red]")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("evaluation 3 of 7", (3, 7)),
        ("joint grid: training 12 of 29 done", (12, 29)),
        ("gradient of tweets", (0, None)),
        ("step 9 of 8", (8, 8)),
        ("point 0 of 0", (0, None)),
    ],
)
def test_messages_that_count_move_the_bar(message: str, expected: tuple[int, int | None]) -> None:
    assert counted(message) == expected
