"""Options of every verb, and what the library logs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.tiny import invoke

from paretomerge.cli.speaking import log_to_stderr, to_front


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["front", "r.yaml", "--quiet"], ["--quiet", "front", "r.yaml"]),
        (["front", "--progress", "json", "r"], ["--progress", "json", "front", "r"]),
        (["front", "r", "--progress=off"], ["--progress=off", "front", "r"]),
        (["front", "r", "--progress"], ["--progress", "front", "r"]),
        (["front", "--", "--quiet"], ["front", "--", "--quiet"]),
        (["check", "--quick"], ["check", "--quick"]),
        ([], []),
    ],
)
def test_options_of_every_verb_may_stand_anywhere(given: list[str], expected: list[str]) -> None:
    assert to_front(given) == expected


def test_verbose_says_which_stages_begin_and_end(own: Path) -> None:
    silent = invoke("front", own / "recipe.yaml", "--out", own / "a-run", "--evaluations", "3")
    told = invoke("front", own / "recipe.yaml", "--out", own / "b-run", "--evaluations", "3", "--verbose")
    assert (silent.code, told.code) == (0, 0)
    assert "fitting subspace posteriors of sums, signs, swaps" not in silent.err
    for line in (
        "fitting subspace posteriors of sums, signs, swaps",
        "fitted: ",
        "front by informed, at most 3",
        "front of ",
    ):
        assert line in told.err
    assert told.err.count("warning: ") == silent.err.count("warning: ")
    assert not [handler for handler in logging.getLogger("paretomerge").handlers if handler.level]


def test_verbose_lasts_for_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("paretomerge")
    log_to_stderr(True)
    log_to_stderr(True)
    logger.info("one")
    logger.warning("verbs say this themselves")
    log_to_stderr(False)
    logger.info("two")
    err = capsys.readouterr().err
    assert err.count("one") == 1
    assert "two" not in err
    assert "themselves" not in err


def test_a_library_is_silent_until_logging_is_configured(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    from paretomerge.stages.logs import log

    assert any(isinstance(handler, logging.NullHandler) for handler in log.handlers)
    with caplog.at_level(logging.INFO, logger="paretomerge"):
        log.info("fitting")
    assert caplog.messages == ["fitting"]
    assert capsys.readouterr() == ("", "")
