from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from paretomerge.errors import DataError
from paretomerge.problems.label_columns import first_places
from paretomerge.problems.labels import label_numbers, read_labels
from paretomerge.problems.split_files import read_table
from paretomerge.problems.tables import table_of

NAMED = ("negative", "neutral", "positive")
UNNAMED = ("LABEL_0", "LABEL_1", "LABEL_2")


def _numbers(values: list[Any], head: Any = NAMED, labels: Any = None) -> dict[Any, int]:
    return label_numbers(first_places([table_of([{"y": value} for value in values], "mine")], "y"), head, labels)


@pytest.mark.parametrize(
    ("values", "head", "labels", "expected"),
    [
        (["positive", "negative"], NAMED, None, {"positive": 2, "negative": 0}),
        (["LABEL_2", "LABEL_0"], UNNAMED, None, {"LABEL_2": 2, "LABEL_0": 0}),
        ([2, 0], NAMED, None, {2: 2, 0: 0}),
        (["2", "0"], UNNAMED, None, {"2": 2, "0": 0}),
        ([True, False, 2.0], UNNAMED, None, {True: 1, False: 0, 2: 2}),
        ([1, 2, 3], ("1", "2", "3"), None, {1: 0, 2: 1, 3: 2}),
        (["b", "c", "a"], UNNAMED, None, {"a": 0, "b": 1, "c": 2}),
        (["b", "a"], UNNAMED, ("b", "x", "a"), {"b": 0, "a": 2}),
        ([1, 2, 3], UNNAMED, (3, 2, 1), {1: 2, 2: 1, 3: 0}),
        (["Positive", "NEGATIVE"], NAMED, None, {"Positive": 2, "NEGATIVE": 0}),
        (["a", "A"], ("A", "a", "b"), None, {"a": 1, "A": 0}),
        (["positive"], NAMED, ("positive", "negative", "neutral"), {"positive": 0}),
    ],
)
def test_labels_are_names_else_indices_else_in_order(values: Any, head: Any, labels: Any, expected: Any) -> None:
    assert _numbers(values, head, labels) == expected


@pytest.mark.parametrize(
    ("values", "head", "labels", "message"),
    [
        (["positive", "negativ"], NAMED, None, r"mine, row 2: the label 'negativ' .* \(did you mean 'negative'\?\)"),
        (["a", "b", "c"], NAMED, None, "row 1: the label 'a' is none of the head's: negative, neutral, positive"),
        ([0, 3], UNNAMED, None, r"row 2: the label 3 is no output of the head, whose 3 outputs are 0 to 2"),
        ([-1], UNNAMED, None, "row 1: the label -1 is no output"),
        (["a", "b"], UNNAMED, None, r"the data have 2 labels \(a, b\) and the head has 3 outputs without names"),
        (["a", "b", "c", "d"], UNNAMED, None, "the data have 4 labels"),
        (["LABEL_1", "b", "c"], UNNAMED, None, "row 2: the label 'b' is none of the head's"),
        ([None], NAMED, None, "row 1: a label is missing, as it is in 1 of 1 rows: a split whose labels are kept"),
        ([1.0, float("nan")], NAMED, None, "row 2: a label is missing, as it is in 1 of 2 rows: remove these rows"),
        (["x", "B"], ("b", "B", "x"), ("b", "B", "y"), "row 1: the label 'x' is none"),
        (["positive", ""], NAMED, None, "row 2: a label is missing"),
        ([0.5], NAMED, None, r"the label 0\.5 is no class but a number: regressions"),
        ([["positive"]], NAMED, None, r"\(list\) is no label"),
        (["a"], UNNAMED, ("a", "b"), "the head has 3 outputs, so name 3 different labels in their order; got a, b"),
        (["a"], UNNAMED, ("a", "b", "a"), "name 3 different labels"),
        ([0, 1], UNNAMED, ("a", "b", "c"), "the label 0 is none of the head's: a, b, c"),
    ],
)
def test_labels_that_the_head_lacks_are_refused(values: Any, head: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _numbers(values, head, labels)


def test_all_tables_share_the_labels_and_the_first_place_is_kept() -> None:
    tables = [table_of([{"y": "b"}], "one"), table_of([{"y": "a"}, {"y": "b"}], "two")]
    assert first_places(tables, "y") == {"b": "one, row 1", "a": "two, row 1"}
    rows = table_of([{"y": value} for value in "abba"], "mine").take([3, 2, 1, 0])
    assert first_places([rows], "y") == {"a": "mine, row 1", "b": "mine, row 2"}


def _labels(tables: Any, head: Any = NAMED, labels: Any = None, column: str = "y") -> Any:
    """`tables`: task → labels of its training rows, or a table."""
    made = {
        task: {"training": table_of([{"y": value} for value in rows], task) if isinstance(rows, list) else rows}
        for task, rows in tables.items()
    }
    return [read_labels(made, column, head, labels).outputs(splits["training"]) for splits in made.values()]


def test_a_column_of_texts_is_no_column_of_labels() -> None:
    rows = [{"y": f"a film of {n} minutes", "n": n, "stars": n % 3, "kind": "ab"[n % 2]} for n in range(20)]
    message = r"row 1: 'y' holds texts \(20 different ones in 20 rows, such as 'a film of 0 minutes'\), not labels: "
    with pytest.raises(DataError, match=message + r"'kind' and 'stars' look more like it\. Name .* setting 'label'"):
        _labels({"a": table_of(rows, "mine")})
    two = [{name: row[name] for name in ("y", "stars")} for row in rows]
    with pytest.raises(DataError, match="not labels: 'stars' looks more like it"):
        _labels({"a": table_of(two, "mine")})
    with pytest.raises(DataError, match="not labels: the columns are 'y'"):
        _labels({"a": table_of([{"y": row["y"]} for row in rows], "mine")})


def test_labels_of_several_words_are_labels_where_the_head_knows_them() -> None:
    names = [f"kind number {n}" for n in range(10)]
    assert _labels({"a": names}, names) == [list(range(10))]
    with pytest.raises(DataError, match="the label 'kind number 9' is none of the head's"):
        _labels({"a": [*names * 3]}, names[:9])


def test_a_task_with_one_class_in_training_is_warned_of() -> None:
    message = "task 'b': all 3 training examples have the label 'negative': nothing can be learnt .* is 'y' the right"
    with pytest.warns(UserWarning, match=message.replace("is 'y'", "Is 'y'")):
        assert _labels({"a": ["positive", "negative"], "b": ["negative"] * 3}) == [[2, 0], [0, 0, 0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _labels({"a": ["positive", "negative"], "b": ["negative"]})
        read_labels({"a": {"test": table_of([{"y": 1}] * 3, "mine")}}, "y", NAMED, None)


class TestNamedClasses:
    """Numbers that stand for classes with names, as Hugging Face writes them."""

    @staticmethod
    def _table(folder: Path, name: str, numbers: list[int], classes: tuple[str, ...]) -> Any:
        pytest.importorskip("datasets", reason="the optional extra data is not installed")
        from tests.problems.table_files import data_set

        data_set({"y": numbers}, y=classes).save_to_disk(folder / name)
        return read_table(folder / name)

    def test_they_count_by_name_where_the_head_knows_all_names(self, tmp_path: Path) -> None:
        one = self._table(tmp_path, "one", [0, 1], ("positive", "negative"))
        other = self._table(tmp_path, "other", [1, 0], ("Negative", "Positive"))
        assert _labels({"a": one, "b": other, "c": ["neutral", "positive"]}) == [[2, 0], [2, 0], [1, 2]]
        assert _labels({"a": one}, ("LABEL_0", "LABEL_1"), ("negative", "positive")) == [[1, 0]]

    def test_they_count_by_number_where_the_head_has_no_names(self, tmp_path: Path) -> None:
        one = self._table(tmp_path, "one", [0, 1], ("bad", "good"))
        other = self._table(tmp_path, "other", [1, 0], ("spam", "ham"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert _labels({"a": one, "b": other}, UNNAMED[:2]) == [[0, 1], [1, 0]]

    def test_numbers_under_other_names_of_the_head_are_warned_of(self, tmp_path: Path) -> None:
        one = self._table(tmp_path, "one", [0, 1], ("bad", "good"))
        message = "does not know the classes bad, good, so their numbers count: 'bad' is 'no', 'good' is 'yes'"
        tables = {"a": {"training": one, "validation": one.take([1])}, "b": {"training": one}}
        with pytest.warns(UserWarning, match=message) as said:
            found = read_labels(tables, "y", ("no", "yes"), None)
        assert found.outputs(one) == [0, 1]
        assert len(said) == 1

    def test_the_same_classes_in_another_order_are_refused(self, tmp_path: Path) -> None:
        one = self._table(tmp_path, "one", [0, 1], ("bad", "good"))
        other = self._table(tmp_path, "other", [1, 0], ("good", "bad"))
        with pytest.raises(
            DataError, match=r"/other: the numbers of 'y' stand for good, bad, but in .*/one for bad, g"
        ):
            _labels({"a": one, "b": other}, UNNAMED[:2])

    def test_labels_that_are_kept_secret_are_missing(self, tmp_path: Path) -> None:
        table = self._table(tmp_path, "one", [-1, -1, -1], ("bad", "good"))
        with pytest.raises(DataError, match="row 1: a label is missing, as it is in 3 of 3 rows: a split whose labels"):
            _labels({"a": table}, ("bad", "good"))
