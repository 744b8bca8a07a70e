"""Rows of checks, their errors, and warnings that become rows."""

from __future__ import annotations

import warnings

import pytest

from paretomerge.errors import DataError, InputError, MissingExtraError
from paretomerge.stages.checking.rows import CheckRow, Rows


def _raise(error: Exception) -> None:
    raise error


def test_an_error_of_one_check_does_not_stop_the_next() -> None:
    rows = Rows()
    assert rows.attempt("data", lambda: _raise(DataError("no examples"))) is None
    assert rows.attempt("front", lambda: 3) == 3
    rows.ok("front", "fine")
    assert rows.rows == [CheckRow("data", "error", "no examples"), CheckRow("front", "ok", "fine")]


def test_a_bug_is_no_row() -> None:
    with pytest.raises(ZeroDivisionError):
        Rows().attempt("data", lambda: 1 / 0)


def test_the_only_error_is_raised_as_it_was() -> None:
    rows = Rows()
    rows.raise_if_bad()
    error = MissingExtraError.of("datasets", "data")
    rows.fail("data", error)
    with pytest.raises(MissingExtraError) as raised:
        rows.raise_if_bad()
    assert raised.value is error


def test_several_errors_are_listed_with_their_checks() -> None:
    rows = Rows()
    rows.fail("data", DataError("no examples"))
    rows.warn("disk", "nearly full")
    rows.fail("front", DataError("no metric"))
    with pytest.raises(InputError, match=r"2 checks failed:\n  data: no examples\n  front: no metric$"):
        rows.raise_if_bad()


def test_warnings_of_a_check_are_rows_said_once_and_others_stay_out() -> None:
    rows = Rows()

    def work() -> None:
        for _ in range(2):
            warnings.warn("texts are cut", stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as caught:
        rows.attempt("data", work)
    assert rows.rows == [CheckRow("data", "warning", "texts are cut")]
    assert not caught
