from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.problems.table_files import data_set, datasets

from paretomerge.errors import DataError, MissingExtraError
from paretomerge.problems.split_files import read_table
from paretomerge.problems.splits import Splitting, read_splits


def _read(source: Any, **how: Any) -> dict[str, list[Any]]:
    tables = read_splits("a", source, "text", "text", Splitting(**how))
    return {split: sorted(table.column("n", "n")) for split, table in tables.items()}


def _rows(count: int, start: int = 0) -> dict[str, list[Any]]:
    numbers = list(range(start, start + count))
    return {"text": [f"text {n}" for n in numbers], "n": numbers}


def test_a_saved_set_is_a_table(tmp_path: Path) -> None:
    data_set({"text": ["x", "y"], "label": [1, 0]}, label=("bad", "good")).save_to_disk(tmp_path / "a")
    table = read_table(tmp_path / "a")
    assert list(table.rows) == [{"text": "x", "label": 1}, {"text": "y", "label": 0}]
    assert table.class_names("label") == ("bad", "good")
    assert table.place(0) == f"{tmp_path}/a, row 1"
    assert table.names == ("text", "label")


def test_a_saved_set_is_shared_out(tmp_path: Path) -> None:
    data_set(_rows(40)).save_to_disk(tmp_path / "a")
    found = _read(tmp_path / "a", shares=(0.5, 0.25, 0.25))
    assert [len(numbers) for numbers in found.values()] == [20, 10, 10]
    assert sorted(n for numbers in found.values() for n in numbers) == list(range(40))


def test_chosen_and_shuffled_rows_are_read_as_they_were_saved(tmp_path: Path) -> None:
    shuffled = data_set(_rows(30)).shuffle(seed=1).select(range(5))
    shuffled.save_to_disk(tmp_path / "a")
    assert read_table(tmp_path / "a").column("n", "n") == list(shuffled["n"])


def test_several_files_of_a_saved_set_are_one_table(tmp_path: Path) -> None:
    data_set(_rows(10)).save_to_disk(tmp_path / "a", num_shards=3)
    table = read_table(tmp_path / "a")
    assert table.column("n", "n") == list(range(10))
    assert table.head("n", 4) == [0, 1, 2, 3]
    assert table.head("n", 99) == list(range(10))
    assert table.take([9, 0]).texts("text", "text") == ["text 9", "text 0"]


def test_a_saved_set_per_split_is_read_and_other_splits_are_left_out(tmp_path: Path) -> None:
    splits = {"train": data_set(_rows(4)), "test": data_set(_rows(2, 4)), "unsupervised": data_set(_rows(3, 6))}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "a")
    assert _read(tmp_path / "a") == {"training": [0, 1, 2, 3], "test": [4, 5]}
    assert _read({"training": tmp_path / "a" / "test"}) == {"training": [4, 5]}


def test_images_stay_encoded(tmp_path: Path) -> None:
    numpy, image = pytest.importorskip("numpy"), pytest.importorskip("PIL.Image")
    picture = image.fromarray(numpy.zeros((2, 2), dtype="uint8"))
    found = datasets.Dataset.from_dict({"image": [picture]}).cast_column("image", datasets.Image())
    found.save_to_disk(tmp_path / "a")
    (value,) = read_table(tmp_path / "a").column("image", "image")
    assert value["bytes"].startswith(b"\x89PNG")


def test_the_form_in_which_a_set_was_saved_changes_nothing(tmp_path: Path) -> None:
    data_set(_rows(3)).with_format("numpy").save_to_disk(tmp_path / "a")
    (value, *_) = read_table(tmp_path / "a").column("n", "n")
    assert type(value) is int


def test_folders_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    data_set(_rows(3)).save_to_disk(tmp_path / "a")
    file = next((tmp_path / "a").glob("*.arrow"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match=r"/a: datasets cannot read this folder \(.*copied completely"):
        read_table(tmp_path / "a")
    file.unlink()
    with pytest.raises(DataError, match=r"/a: there is no \.arrow file beside state\.json: the data set is empty, or"):
        read_table(tmp_path / "a")
    data_set(_rows(3)).filter(lambda row: False).save_to_disk(tmp_path / "b")
    with pytest.raises(DataError, match="/b: the data set holds no examples"):
        read_table(tmp_path / "b")
    with pytest.raises(DataError, match=r"read from \.jsonl.*, not from"):
        read_table(tmp_path)


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_set(_rows(3)).save_to_disk(tmp_path / "a")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"'datasets'.*pip install 'paretomerge\[data\]'"):
        read_table(tmp_path / "a")


def test_tables_travel_to_other_processes(tmp_path: Path) -> None:
    data_set(_rows(4)).save_to_disk(tmp_path / "a")
    table = read_table(tmp_path / "a").take([2, 0])
    assert pickle.loads(pickle.dumps(table)).column("n", "n") == [2, 0]
