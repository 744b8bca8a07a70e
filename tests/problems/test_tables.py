from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import DataError, StorageError
from paretomerge.problems.tables import read_table, table_of


def _file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_json_lines_are_rows_and_blank_lines_are_none(tmp_path: Path) -> None:
    table = read_table(_file(tmp_path, "a.jsonl", '{"text": "ä,\\n", "n": 1}\n\n  \n{"text": "b", "m": null}'))
    assert table.rows == ({"text": "ä,\n", "n": 1}, {"text": "b", "m": None})
    assert (table.place(0), table.place(1)) == (f"{tmp_path}/a.jsonl, line 1", f"{tmp_path}/a.jsonl, line 4")


def test_comma_separated_values_are_rows_of_text(tmp_path: Path) -> None:
    table = read_table(_file(tmp_path, "a.csv", 'text,label\n"one, two\nthree",1\n\n"say ""yes""",0\n'))
    assert table.rows == ({"text": "one, two\nthree", "label": "1"}, {"text": 'say "yes"', "label": "0"})
    assert table.place(1).endswith("line 5")


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    for name, content in (("a.csv", "text\nx\n"), ("a.jsonl", '{"text": "x"}\n')):
        assert read_table(_file(tmp_path, name, b"\xef\xbb\xbf" + content.encode())).texts("text", "text") == ["x"]


@given(st.lists(st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.none()), min_size=1, max_size=5))
def test_what_json_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    assert list(read_table(path).rows) == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', r"a\.jsonl, line 2: this is not JSON .*one object per line"),
        ("a.jsonl", '{"a": 1}\n\n[1, 2]\n', r"line 3: expected an object such as \{\.\.\.\}, got '\[1, 2\]' \(list\)"),
        ("a.jsonl", "null\n", r"line 1: expected an object .* got missing \(null\)"),
        ("a.jsonl", "[" * 100_000, r"line 1: this is not JSON"),
        ("a.jsonl", "\n \n", "a.jsonl: the file holds no examples"),
        ("a.jsonl", b"{}\n\xff\n", "is not UTF-8 text"),
        ("a.csv", "", "a.csv: the file holds no examples"),
        ("a.csv", "text,label\n", "a.csv: the file holds no examples"),
        ("a.csv", "text,label\nx,1\ny\n", r"line 3: 1 fields, but the header has 2 \(text, label\): .*double quotes"),
        ("a.csv", "text,label\nx,y,1\n", "line 2: 3 fields"),
        ("a.csv", "text,text\nx,y\n", "two columns are called 'text'"),
        ("a.csv", 'text\n"x\n', r"line 2: this is not CSV"),
        ("a.parquet", "x", r"examples are read from \.jsonl or \.csv files, not from \.parquet"),
        ("a", "x", r"examples are read from \.jsonl or \.csv files, not from"),
    ],
)
def test_broken_files_say_which_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(_file(tmp_path, name, content))


def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(StorageError, match=r"cannot read .*a\.jsonl"):
        read_table(tmp_path / "a.jsonl")


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
