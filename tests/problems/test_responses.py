from __future__ import annotations

from typing import Any

import pytest

from paretomerge.errors import DataError
from paretomerge.problems.responses import ResponseColumns
from paretomerge.problems.tables import Table, table_of

COLUMNS = ResponseColumns(choices="choices")


def _table(*rows: Any) -> Table:
    return table_of([{"prompt": "film ?", "choices": ["good", "bad", "fine"], "answer": row} for row in rows], "mine")


@pytest.mark.parametrize(
    ("answer", "right"), [("fine", 2), (1, 1), (0.0, 0), ("1", 1), (" 2 ", 2), ("B", 1), ("good", 0)]
)
def test_the_right_choice_is_named_by_its_text_its_place_or_its_letter(answer: Any, right: int) -> None:
    assert COLUMNS.options(_table(answer)) == ([["good", "bad", "fine"]], [right])
    assert COLUMNS.responses(_table(answer)) == [["good", "bad", "fine"][right]]


def test_a_text_that_is_a_choice_is_that_choice_even_if_it_reads_like_a_place() -> None:
    table = table_of(
        [{"prompt": "1 + 1", "choices": ["3", "2", "B"], "answer": answer} for answer in ("2", 2, "B")], "x"
    )
    assert COLUMNS.options(table)[1] == [1, 2, 2]


@pytest.mark.parametrize("answer", [3, -1, "D", "b", True, 0.5, None, ["good"], "", "-1", "²"])
def test_answers_that_are_no_choice_are_refused_with_the_row(answer: Any) -> None:
    with pytest.raises(DataError, match=r"mine, row 2: the answer .* is none of the 3 choices.*its place from 0 to 2"):
        COLUMNS.options(_table("good", answer))


def test_a_mistyped_choice_is_guessed() -> None:
    with pytest.raises(DataError, match=r"the answer 'goood' \(did you mean 'good'\?\) is none"):
        COLUMNS.options(_table("goood"))


@pytest.mark.parametrize(("choices", "what"), [(["one"], "1 choice"), (["one", " "], "a choice is empty")])
def test_a_question_needs_two_choices_with_a_text_each(choices: list[str], what: str) -> None:
    table = table_of([{"prompt": "x", "choices": choices, "answer": 0}], "mine")
    with pytest.raises(DataError, match=f"mine, row 1: {what}: a question needs two choices or more"):
        COLUMNS.options(table)


def test_choices_need_a_prompt() -> None:
    with pytest.raises(DataError, match="choices: they answer a prompt, and prompt is null"):
        ResponseColumns(prompt=None, choices="choices")


def test_without_a_column_of_choices_there_are_none() -> None:
    table = table_of([{"prompt": "x", "response": "y"}], "mine")
    assert ResponseColumns().options(table) == ([[]], [0])
    assert ResponseColumns().responses(table) == ["y"]
    assert ResponseColumns(prompt=None).prompts(table) == [""]
