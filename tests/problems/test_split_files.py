from __future__ import annotations

from pathlib import Path

import pytest
from tests.problems.table_files import data_set, write_parquet
from tests.problems.tiny_models import write_jsonl

from paretomerge.errors import DataError
from paretomerge.problems.split_files import read_folder
from paretomerge.problems.splits import read_sample


def _touch(folder: Path, name: str, *numbers: int) -> Path:
    """A file of one column `n`, in the form that its name says."""
    path = folder / name
    if path.suffix == ".parquet":
        return write_parquet(path, {"n": list(numbers)})
    if path.suffix == ".jsonl":
        return write_jsonl(path, [{"n": n} for n in numbers])
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text("[" + ", ".join(f'{{"n": {n}}}' for n in numbers) + "]")
    else:
        path.write_text("n\n" + "".join(f"{n}\n" for n in numbers))
    return path


def _read(folder: Path) -> dict[str, list[int]]:
    tables = read_folder("a", folder)
    assert isinstance(tables, dict)
    return {split: [int(n) for n in table.column("n", "n")] for split, table in tables.items()}


def test_splits_may_come_in_different_forms(tmp_path: Path) -> None:
    for name, number in (("train.parquet", 1), ("dev.tsv", 2), ("test.json", 3), ("readme.csv", 4)):
        _touch(tmp_path, name, number)
    assert _read(tmp_path) == {"training": [1], "validation": [2], "test": [3]}


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet"),
        ("train-00000-of-00002-0123abcd.parquet", "train-00001-of-00002-4567ef01.parquet"),
        ("train_0.jsonl", "train_1.jsonl"),
        ("train-1.csv", "train-2.csv"),
        ("train/0000.parquet", "train/0001.parquet"),
        ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"),
        ("data/training/a.json", "data/training/b.json"),
    ],
)
def test_a_split_may_come_in_several_files(tmp_path: Path, names: tuple[str, str]) -> None:
    for number, name in enumerate(names):
        _touch(tmp_path, name, 2 * number, 2 * number + 1)
    assert _read(tmp_path) == {"training": [0, 1, 2, 3]}
    table = read_sample(tmp_path)
    assert table.place(2).endswith(f"{Path(names[0]).name} and 1 more, row 3")


def test_a_saved_set_may_lie_beside_files(tmp_path: Path) -> None:
    data_set({"n": [1]}).save_to_disk(tmp_path / "train")
    _touch(tmp_path, "test.csv", 2)
    assert _read(tmp_path) == {"training": [1], "test": [2]}


def test_a_folder_of_data_counts_only_where_nothing_is_beside_it(tmp_path: Path) -> None:
    _touch(tmp_path / "data", "train.csv", 1)
    _touch(tmp_path, "test.csv", 2)
    assert _read(tmp_path) == {"test": [2]}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train.csv", "training.csv"), r"in two files, training\.csv and train\.csv: keep one"),
        (("train.csv", "train.parquet"), r"in two files, train\.csv and train\.parquet"),
        (("train.csv", "train/0.csv"), r"training examples of task 'a' are in two files"),
        (("train-00000-of-00003.csv", "train-00002-of-00003.csv"), r"00002-of-00003\.csv are not the 3 parts of one"),
        (
            ("train-00000-of-00001.csv", "train-00000-of-00002.csv"),
            "are not the 2 parts of one split: copy the missing",
        ),
        (("train.csv", "train-00000-of-00001.csv"), "are not the 1 parts"),
        (("train.csv", "train_1.csv"), r"train\.csv lies beside 1 numbered part"),
        (("reviews.csv", "notes.txt"), r"holds notes\.txt, reviews\.csv; to have one .* own path, .*reviews\.csv$"),
        (("a.csv", "b.csv"), r"or \.parquet or a data set written by save_to_disk; the folder holds a\.csv, b\.csv$"),
        ((), r"expected training, validation and test, .* the folder holds nothing$"),
    ],
)
def test_folders_that_are_not_clear_are_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    for name in names:
        _touch(tmp_path, name, 1)
    with pytest.raises(DataError, match=message):
        read_folder("a", tmp_path)


def test_the_sample_is_of_the_first_split_there_is(tmp_path: Path) -> None:
    for name, number in (("test.csv", 3), ("valid.csv", 2)):
        _touch(tmp_path, name, number)
    assert read_sample(tmp_path).column("n", "n") == ["2"]
    assert read_sample(tmp_path / "test.csv").column("n", "n") == ["3"]
    assert read_sample([{"n": 1}]).column("n", "n") == [1]
