from __future__ import annotations

from typing import Any

import pytest

from paretomerge.errors import DataError
from paretomerge.problems.tables import table_of


def test_a_missing_column_names_the_nearest_and_the_setting() -> None:
    table = table_of([{"text": "x", "label": 1}, {"texts": "y", "label": 0}], "mine")
    with pytest.raises(
        DataError, match=r"mine, row 2: there is no column 'text' \(did you mean 'texts'\?\): it has 't"
    ):
        table.column("text", "text")
    with pytest.raises(DataError, match=r"row 1: there is no column 'category': .* by the setting 'label'"):
        table.column("category", "label")
    with pytest.raises(DataError, match="it has no columns"):
        table_of([{}], "mine").column("text", "text")


@pytest.mark.parametrize(
    ("value", "what"), [(3.5, r"'3\.5' \(float\)"), (None, r"missing \(null\)"), ([1], r"'\[1\]' \(list\)")]
)
def test_what_is_no_text_is_refused_with_its_row(value: Any, what: str) -> None:
    with pytest.raises(DataError, match=rf"row 2: 'text' is {what}, not text"):
        table_of([{"text": "x"}, {"text": value}], "mine").texts("text", "text")


def test_empty_texts_are_counted_and_the_first_is_named() -> None:
    table = table_of([{"text": text} for text in ("x", " ", "y", "")], "mine")
    with pytest.raises(DataError, match="row 2: 'text' is empty, as it is in 2 of 4 rows: remove these rows"):
        table.texts("text", "text")
    assert table.texts("text", "text", may_be_empty=True) == ["x", " ", "y", ""]


def test_rows_that_are_no_mappings_are_refused() -> None:
    with pytest.raises(DataError, match=r"mine, row 2: expected a mapping of columns to values, got '\(1, 2\)'"):
        table_of([{"text": "x"}, (1, 2)], "mine")  # type: ignore[list-item]


def test_chosen_rows_keep_their_places() -> None:
    table = table_of([{"n": n} for n in range(4)], "mine").take([3, 1])
    assert [row["n"] for row in table.rows] == [3, 1]
    assert [table.place(row) for row in range(2)] == ["mine, row 4", "mine, row 2"]


def test_complaints_name_the_row_that_comes_first_in_the_source() -> None:
    shuffled = table_of([{"x": 1}, {"y": 2}, {"x": ""}, {"z": 3}, {"x": ""}], "mine").take([4, 3, 2, 1, 0])
    with pytest.raises(DataError, match="mine, row 2: there is no column 'x'"):
        shuffled.column("x", "x")
    with pytest.raises(DataError, match="mine, row 1: 'x' is '1'"):
        shuffled.take([4, 2, 0]).texts("x", "x")
    with pytest.raises(DataError, match="mine, row 3: 'x' is empty"):
        shuffled.take([0, 2]).texts("x", "x")


def test_columns_are_those_of_any_row_and_lacking_values_are_none() -> None:
    table = table_of([{"a": 1}, {"b": 2, "a": 3}, {"c": 4}], "mine")
    assert table.names == ("a", "b", "c")
    assert table.values("a", [2, 1]) == [None, 3]
    assert table.head("a", 2) == [1, 3]
    assert table.class_names("a") is None


def test_lists_of_texts_are_lists_or_spelled_as_json() -> None:
    table = table_of([{"x": ["a", "b"]}, {"x": ' ["c"]'}], "mine")
    assert table.lists("x", "choices") == [["a", "b"], ["c"]]


@pytest.mark.parametrize("value", ["a", "[a]", [], ["a", 1], {"text": ["a"]}, None, 3, '["a", 1]', "[" * 100_000])
def test_what_is_no_list_of_texts_is_refused_with_its_row(value: Any) -> None:
    with pytest.raises(DataError, match=r"mine, row 2: 'x' is .*, not a list of one or more texts such as \[\"yes"):
        table_of([{"x": ["a"]}, {"x": value}], "mine").lists("x", "choices")
    with pytest.raises(DataError, match=r"no column 'y'.* the setting 'choices'"):
        table_of([{"x": value}], "mine").lists("y", "choices")
