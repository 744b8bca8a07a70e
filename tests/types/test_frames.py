"""Scores and fronts as tables of pandas, and back."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from paretomerge.errors import DataError, MissingExtraError
from paretomerge.types import Front, Objective, Scores

pd = pytest.importorskip("pandas")

OBJECTIVES = (Objective("a loss", unit="nats"), Objective("a", "maximise"))


def make(count: int = 3, origin="merged") -> Scores:
    generator = np.random.default_rng(count)
    return Scores(
        ("a", "b] c"),
        generator.normal(size=(count, 2)),
        generator.normal(size=(count, 2)),
        generator.uniform(size=(count, 2)),
        OBJECTIVES,
        origin,
    )


def test_a_table_has_a_row_per_model_and_names_what_every_column_is():
    scores = make(origin=("merged", "predicted", "trained"))
    frame = scores.to_pandas()
    assert list(frame.columns) == [
        "weight[a]",
        "weight[b] c]",
        "value[a loss]",
        "stderr[a loss]",
        "value[a]",
        "stderr[a]",
        "origin",
    ]
    assert frame.index.name == "model"
    assert frame["weight[b] c]"].tolist() == scores.weights[:, 1].tolist()
    assert frame["value[a]"].tolist() == scores.values[:, 1].tolist()
    assert frame["stderr[a loss]"].tolist() == scores.stderr[:, 0].tolist()
    assert frame["origin"].tolist() == ["merged", "predicted", "trained"]
    assert list(frame["origin"].cat.categories) == ["predicted", "merged", "trained"]


def test_a_table_is_a_copy():
    scores = make()
    before = scores.values.copy()
    frame = scores.to_pandas()
    frame.loc[0, "value[a]"] = 99.0
    assert (scores.values == before).all()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_scores_survive_the_way_to_a_table_and_back(count):
    scores = make(count)
    again = Scores.from_pandas(scores.to_pandas(), OBJECTIVES)
    for name in ("weights", "values", "stderr"):
        assert np.array_equal(getattr(again, name), getattr(scores, name))
    assert (again.tasks, again.objectives, again.origin) == (scores.tasks, scores.objectives, scores.origin)


def test_rows_and_objectives_may_be_taken_in_between():
    scores = make(5)
    frame = scores.to_pandas().assign(comment="mine")
    kept = frame[frame["value[a]"] > 0]
    again = Scores.from_pandas(kept.drop(columns="stderr[a]"), OBJECTIVES[1:])
    wanted = scores.values[:, 1] > 0
    assert 0 < wanted.sum() < 5
    assert again.values[:, 0].tolist() == scores.values[wanted, 1].tolist()
    assert not again.stderr.any()


def test_a_front_counts_its_points_and_gives_its_deviations():
    front = Front(("a", "b"), np.eye(2), [[0.0, 0.1], [1.0, 0.9]], np.full((2, 2), 0.2), OBJECTIVES, [1, 0], "trained")
    frame = front.to_pandas()
    assert frame.index.name == "point"
    assert frame["stderr[a]"].tolist() == [0.2, 0.2]
    assert [point.id for point in front] == frame.index.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda frame: frame.drop(columns="value[a]"),
            r"the table lacks the column 'value\[a\]': it has weight\[a\], ",
        ),
        (lambda frame: frame.drop(columns="origin"), "the table lacks the column 'origin'"),
        (
            lambda frame: frame[["value[a]", "value[a loss]", "origin"]],
            r"the table lacks the column 'weight\[TASK\]'.*`Scores.to_pandas` shows how columns are named",
        ),
        (
            lambda frame: frame.assign(**{"value[a]": "high"}),
            r"the column 'value\[a\]' .* one number per row: could not",
        ),
        (lambda frame: frame.assign(origin="guessed"), "origin must be one of predicted, merged, trained"),
        (lambda frame: frame.assign(**{"weight[a]": np.nan}), "weights contain nan"),
    ],
)
def test_a_table_that_holds_no_scores_says_why(change, message):
    with pytest.raises(DataError, match=message):
        Scores.from_pandas(change(make().to_pandas()), OBJECTIVES)


def test_objectives_of_one_name_cannot_be_told_apart():
    scores = make()
    twice = Scores(scores.tasks, scores.weights, scores.values, scores.stderr, (OBJECTIVES[0],) * 2, "merged")
    with pytest.raises(DataError, match="objective names repeat: a loss, a loss"):
        twice.to_pandas()


def test_without_pandas_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'paretomerge\[pandas\]'"):
        make().to_pandas()
