from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import DataError
from paretomerge.problems.splits import Splitting, read_splits


def _rows(count: int) -> list[dict[str, Any]]:
    return [{"text": f"text {number}", "n": number} for number in range(count)]


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text,n\n" + "".join(f"{row['text']},{row['n']}\n" for row in rows))
    return path


def _read(source: Any, **how: Any) -> dict[str, list[int]]:
    tables = read_splits("a", source, "text", "text", Splitting(**how))
    return {split: [int(row["n"]) for row in table.rows] for split, table in tables.items()}


def test_a_file_per_split_holds_the_split(tmp_path: Path) -> None:
    for name, rows in (("training.csv", _rows(5)), ("validation.csv", _rows(3)), ("test.csv", _rows(2))):
        _write(tmp_path / name, rows)
    found = _read(str(tmp_path))
    assert {split: sorted(numbers) for split, numbers in found.items()} == {
        "training": [0, 1, 2, 3, 4],
        "validation": [0, 1, 2],
        "test": [0, 1],
    }


@pytest.mark.parametrize("names", [("train", "valid"), ("training", "dev"), ("train", "val")])
def test_usual_names_of_splits_are_known_and_splits_may_be_absent(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        _write(tmp_path / f"{name}.csv", _rows(2))
    assert list(_read(tmp_path)) == ["training", "validation"]


def test_shares_are_exact_and_splits_apart() -> None:
    found = _read(_rows(200), shares=(0.7, 0.1, 0.2))
    assert {split: len(numbers) for split, numbers in found.items()} == {
        "training": 140,
        "validation": 20,
        "test": 40,
    }
    assert sorted(number for numbers in found.values() for number in numbers) == list(range(200))


def test_shares_are_random_and_depend_on_the_seed() -> None:
    first, again, other = (_read(_rows(200), seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert set(first["test"]) != set(other["test"])
    assert abs(sum(first["test"]) / 20 - 99.5) < 50  # not one end of the file


@given(st.permutations(range(12)))
def test_the_order_of_the_file_changes_nothing(order: list[int]) -> None:
    rows = _rows(12)
    assert _read([rows[i] for i in order]) == _read(rows)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=30, max_size=60))
def test_equal_texts_stay_in_one_split(texts: list[str]) -> None:
    rows = [{"text": text, "n": number} for number, text in enumerate(texts)]
    if len(set(texts)) < 3:
        return
    found = _read(rows, shares=(0.5, 0.25, 0.25))
    homes = Counter(text for numbers in found.values() for text in {texts[n] for n in numbers})
    assert set(homes.values()) == {1}
    assert sum(map(len, found.values())) == len(texts)
    assert all(found.values())


def test_a_share_of_zero_is_no_split() -> None:
    assert list(_read(_rows(10), shares=(0.9, 0.1, 0.0))) == ["training", "validation"]


def test_a_number_of_examples_takes_a_random_sample_of_every_split(tmp_path: Path) -> None:
    _write(tmp_path / "training.csv", _rows(100))
    _write(tmp_path / "test.csv", _rows(3))
    whole, some = _read(tmp_path), _read(tmp_path, examples=10)
    assert some["training"] == whole["training"][:10]
    assert sorted(some["training"]) != list(range(10))
    assert len(some["test"]) == 3


def test_splits_may_be_given_one_by_one(tmp_path: Path) -> None:
    path = _write(tmp_path / "mine.csv", _rows(4))
    found = _read({"training": path, "test": _rows(2)})
    assert {split: sorted(numbers) for split, numbers in found.items()} == {"training": [0, 1, 2, 3], "test": [0, 1]}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"train": []}, r"data of task 'a' have the split 'train' \(did you mean 'training'\?\)"),
        ({}, "data of task 'a' have no splits: give training, validation, test"),
        ([], "the rows of task 'a': the list is empty"),
        ({"test": []}, "the test rows of task 'a': the list is empty"),
        (7, "the rows of task 'a': expected a path or a list of rows, got int"),
        (_rows(2), "the rows of task 'a': 2 different examples are too few for training and validation and test"),
        ([{"text": 3}] * 5, "row 1: 'text' is '3'"),
        ([{"texts": "x"}] * 5, r"did you mean 'texts'\?"),
    ],
)
def test_sources_that_cannot_be_used_are_named(source: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _read(source)


def test_paths_that_are_not_there_name_the_nearest(tmp_path: Path) -> None:
    _write(tmp_path / "movies.csv", _rows(3))
    with pytest.raises(DataError, match=r"there is no file or folder .*movie\.csv \(did you mean 'movies\.csv'\?\)"):
        _read(tmp_path / "movie.csv")
    with pytest.raises(DataError, match="there is no file or folder"):
        _read("/nowhere/at/all.csv")


def test_folders_without_examples_say_what_they_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected training, validation and test, .* the folder holds nothing"):
        _read(tmp_path)
    (tmp_path / "train.xlsx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"each as \.jsonl, \.csv, .* save_to_disk; the folder holds train\.xlsx"):
        _read(tmp_path)


def test_a_split_in_two_files_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "train.csv", _rows(3))
    _write(tmp_path / "training.csv", _rows(3))
    with pytest.raises(
        DataError, match=r"training examples of task 'a' are in two files, training\.csv and train\.csv"
    ):
        _read(tmp_path)


@pytest.mark.parametrize("shares", [(0.5, 0.2, 0.2), (1.1, -0.1, 0.0), (float("nan"), 0.5, 0.5), (0.5, 0.5)])
def test_shares_that_are_none_are_refused(shares: Any) -> None:
    with pytest.raises(DataError, match=r"shares: .* three numbers of at least 0 that sum to 1"):
        Splitting(shares)


def test_a_number_of_examples_is_positive() -> None:
    with pytest.raises(DataError, match="examples: at least one per split is needed, got 0"):
        Splitting(examples=0)
