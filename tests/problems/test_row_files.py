from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import DataError, StorageError
from paretomerge.problems.split_files import read_table


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


def test_tab_separated_values_are_rows_of_text(tmp_path: Path) -> None:
    table = read_table(_file(tmp_path, "a.tsv", 'text\tlabel\none, two\t1\n\n"a\ttab"\t0\n'))
    assert table.rows == ({"text": "one, two", "label": "1"}, {"text": "a\ttab", "label": "0"})
    assert table.place(1).endswith("line 4")


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        (['"quoted"', "plain"], ["quoted", "plain"]),
        (['"good" film', "plain"], ['"good" film', "plain"]),
        (['"one', 'two"'], ['"one', 'two"']),  # not one row that goes over a line's end
        (['5" disk', "plain"], ['5" disk', "plain"]),
        (['"the ""best"""', "plain"], ['the "best"', "plain"]),
    ],
)
def test_quotation_marks_of_tab_separated_values_are_read_as_they_work_out(
    tmp_path: Path, lines: list[str], texts: list[str]
) -> None:
    content = "n\ttext\tlabel\n" + "".join(f"{n}\t{line}\t1\n" for n, line in enumerate(lines))
    assert read_table(_file(tmp_path, "a.tsv", content)).texts("text", "text") == texts


def test_quoted_line_breaks_of_tab_separated_values_are_read(tmp_path: Path) -> None:
    table = read_table(_file(tmp_path, "a.tsv", 'text\tlabel\n"one\ntwo"\t1\n'))
    assert table.texts("text", "text") == ["one\ntwo"]


def test_json_is_a_list_of_objects_or_one_per_line(tmp_path: Path) -> None:
    expected = ({"text": "x"}, {"text": "y", "n": 1})
    as_list = read_table(_file(tmp_path, "a.json", '\n[{"text": "x"},\n\n{"text": "y", "n": 1}]'))
    as_lines = read_table(_file(tmp_path, "b.json", '{"text": "x"}\n{"text": "y", "n": 1}\n'))
    assert as_list.rows == as_lines.rows == expected
    assert as_list.place(1).endswith("a.json, row 2")
    assert as_lines.place(1).endswith("b.json, line 2")


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    for name, content in (
        ("a.csv", "text\nx\n"),
        ("a.jsonl", '{"text": "x"}\n'),
        ("a.tsv", "text\nx\n"),
        ("a.json", '[{"text": "x"}]'),
    ):
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
        ("a.tsv", "text\tlabel\nx\n", r"line 2: 1 fields, but the header has 2 .*text with tabs or line breaks"),
        ("a.tsv", 'text\tn\na\t1\n"x\t1\ty\n', r"a\.tsv, line 3: this is not TSV"),
        ("a.json", '[{"a": 1}, 2]', r"a\.json, row 2: expected an object .* got '2' \(int\)"),
        ("a.json", '[{"a": 1}', r"a\.json: this is not JSON"),
        (
            "a.json",
            '{\n"a": 1}',
            r"a\.json, line 1: this is not JSON .*one object per line, or all of them as one list",
        ),
        ("a.json", "[]", "a.json: the file holds no examples"),
        ("a.json", "", "a.json: the file holds no examples"),
        ("a.json", b'[{"a": "\xff"}]', "is not UTF-8 text"),
        ("a.xlsx", "x", r"read from \.jsonl, \.csv, \.tsv, \.json or \.parquet files and .*, not from \.xlsx"),
        ("a", "x", r"read from \.jsonl.* and from folders that save_to_disk .*, not from"),
    ],
)
def test_broken_files_say_which_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(_file(tmp_path, name, content))


def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(StorageError, match=r"cannot read .*a\.jsonl"):
        read_table(tmp_path / "a.jsonl")
