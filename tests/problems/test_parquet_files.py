from __future__ import annotations

import pickle
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.problems.table_files import data_set, pyarrow, write_parquet

from paretomerge.errors import DataError, MissingExtraError, StorageError
from paretomerge.problems.parquet_files import ParquetFiles, class_names_in, read_parquet
from paretomerge.problems.split_files import read_table
from paretomerge.problems.splits import Splitting, read_splits


def test_rows_are_read_with_their_types_and_counted_from_one(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"text": ["x", None], "n": [1, 2], "l": [["a"], []]})
    table = read_table(path)
    assert list(table.rows) == [{"text": "x", "n": 1, "l": ["a"]}, {"text": None, "n": 2, "l": []}]
    assert table.rows[1]["n"] == 2
    assert table.place(1) == f"{path}, row 2"
    assert table.names == ("text", "n", "l")
    with pytest.raises(DataError, match=r"a\.parquet, row 2: 'text' is missing"):
        table.texts("text", "text")
    with pytest.raises(DataError, match=r"a\.parquet: there is no column 'texts' \(did you mean 'text'\?\): it has"):
        table.texts("texts", "text")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.text(), st.integers(-100, 100)), min_size=1, max_size=12), st.data())
def test_what_arrow_writes_is_read_back_in_any_order(
    tmp_path: Path, rows: list[tuple[str, int]], data: st.DataObject
) -> None:
    columns = {"text": [text for text, _ in rows], "n": [n for _, n in rows]}
    table = read_table(write_parquet(tmp_path / "a.parquet", columns, row_group_size=3))
    order = data.draw(st.permutations(range(len(rows))))
    assert table.column("text", "text") == columns["text"]
    taken = table.take(order).take(range(len(rows) - 1, -1, -1))
    assert taken.column("n", "n") == [columns["n"][i] for i in reversed(order)]
    assert [taken.place(i).rsplit(" ", 1)[1] for i in range(len(rows))] == [str(i + 1) for i in reversed(order)]


def test_only_columns_that_are_asked_for_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    plain = ParquetFiles.column
    monkeypatch.setattr(ParquetFiles, "column", lambda self, name: read.append(name) or plain(self, name))
    write_parquet(tmp_path / "train.parquet", {"text": list("abc"), "n": [1, 2, 3], "other": [4, 5, 6]})
    table = read_splits("a", tmp_path, "text", "text", Splitting())["training"]
    assert read == ["text"]
    assert [table.column("text", "text"), table.take([1]).column("n", "n")] != []
    assert read == ["text", "n"]


def test_the_head_of_a_column_is_read_without_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write_parquet(tmp_path / f"{n}.parquet", {"n": [n, n + 10]}, row_group_size=1) for n in range(3)]
    table = read_parquet(paths, "mine")
    monkeypatch.setattr(ParquetFiles, "column", None)
    assert table.head("n", 3) == [0, 10, 1]
    assert table.head("n", 100) == [0, 10, 1, 11, 2, 12]
    monkeypatch.undo()
    assert table.take([5, 0, 1]).head("n", 2) == [12, 0]


def test_files_of_one_table_follow_each_other(tmp_path: Path) -> None:
    paths = [write_parquet(tmp_path / f"{n}.parquet", {"n": [n, n + 10]}) for n in range(3)]
    table = read_parquet(paths, "mine")
    assert table.column("n", "n") == [0, 10, 1, 11, 2, 12]
    assert table.place(4) == "mine, row 5"
    assert table.take([5, 0]).column("n", "n") == [12, 0]


def test_files_of_one_table_have_the_same_columns_and_types(tmp_path: Path) -> None:
    first = write_parquet(tmp_path / "a.parquet", {"n": [1]})
    other = write_parquet(tmp_path / "b.parquet", {"m": [1]})
    with pytest.raises(DataError, match=r"b\.parquet: it has the columns m, but a\.parquet beside it has n: files"):
        read_parquet([first, other], "mine").names  # noqa: B018
    text = write_parquet(tmp_path / "c.parquet", {"n": ["x"]})
    with pytest.raises(DataError, match="the column 'n' is of different types in the files of one split"):
        read_parquet([first, text], "mine").column("n", "n")


def test_the_numbers_of_rows_that_pandas_adds_are_no_column(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": list("abcd"), "kind": pandas.Categorical(list("xyxy"))})[1:3]
    frame.to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert list(table.rows) == [{"text": "b", "kind": "y"}, {"text": "c", "kind": "x"}]


def test_names_of_classes_come_from_what_hugging_face_writes(tmp_path: Path) -> None:
    data_set({"text": ["x", "y"], "label": [1, 0]}, label=("bad", "good")).to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert table.class_names("label") == ("bad", "good")
    assert table.class_names("text") is None
    assert table.column("label", "label") == [1, 0]


@pytest.mark.parametrize("written", [b"x", b"[]", b'{"info": 3}', b'{"info": {"features": {"a": [1], "b": {}}}}'])
def test_metadata_that_say_nothing_name_no_classes(written: bytes) -> None:
    assert class_names_in({b"huggingface": written}) == {}
    assert class_names_in({}) == {}


@pytest.mark.parametrize("content", [b"", b"PAR1", b"text,label\nx,1\n", b"PAR1" + b"\0" * 50 + b"PAR1"])
def test_files_that_are_broken_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet: this is no parquet file that can be read .*copied completely"):
        read_table(tmp_path / "a.parquet")


def test_a_file_with_a_broken_column_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"text": [str(n) * 50 for n in range(500)]}, compression="gzip")
    content = bytearray(path.read_bytes())
    content[100:900] = b"\x07" * 800
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet: this is no parquet file that can be read"):
        read_table(path).column("text", "text")


def test_files_without_rows_and_with_twice_a_column_are_refused(tmp_path: Path) -> None:
    from pyarrow import parquet

    with pytest.raises(DataError, match=r"a\.parquet: the file holds no examples"):
        read_table(write_parquet(tmp_path / "a.parquet", {"text": []}))
    parquet.write_table(pyarrow.Table.from_arrays([[1], [2]], names=["n", "n"]), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: two columns are called 'n'"):
        read_table(tmp_path / "b.parquet")


def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*a\.parquet: "):
        read_parquet([tmp_path / "a.parquet"], "mine")


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"text": ["x"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"'pyarrow'.*pip install 'paretomerge\[data\]'"):
        read_table(path)


def test_tables_travel_to_other_processes(tmp_path: Path) -> None:
    table = read_table(write_parquet(tmp_path / "a.parquet", {"n": [1, 2, 3]})).take([2, 0])
    table.column("n", "n")
    assert pickle.loads(pickle.dumps(table)).column("n", "n") == [3, 1]


def test_many_rows_are_sampled_in_seconds(tmp_path: Path) -> None:
    count = 200_000
    numbers = pyarrow.array(range(count))
    texts = pyarrow.compute.binary_join_element_wise("text", numbers.cast("string"), " ")
    heavy = pyarrow.array(["x" * 100] * count)
    write_parquet(tmp_path / "train.parquet", {"text": texts, "label": numbers, "heavy": heavy})
    start = time.perf_counter()
    table = read_splits("a", tmp_path, "text", "text", Splitting(examples=1000))["training"]
    chosen = table.column("label", "label")
    assert time.perf_counter() - start < 10
    assert len(set(chosen)) == 1000
    assert table.texts("text", "text") == [f"text {n}" for n in chosen]
