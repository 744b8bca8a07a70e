from __future__ import annotations

from typing import Any

import pytest

from paretomerge.errors import DataError
from paretomerge.problems.labels import first_places, label_numbers
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
        ([None], NAMED, None, "row 1: a label is missing"),
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
