"""The page's JSON holds the same numbers, cannot break out of its element, and stays small."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.reports import ReportData
from paretomerge.reports.embed import payload, points_that_fit, take, to_script_json
from paretomerge.reports.points import points_of
from paretomerge.types import Objective, Scores


@given(st.text())
def test_any_text_survives_and_holds_no_markup(text):
    written = to_script_json({"name": text})
    assert json.loads(written) == {"name": text}
    assert not set("<>&\u2028\u2029") & set(written)
    assert written.isascii()


def test_numbers_are_exact(make_data):
    data = make_data(3, accuracy=True)
    document = json.loads(to_script_json(payload(data)))
    np.testing.assert_array_equal(document["points"]["values"], data.scores.values)
    np.testing.assert_array_equal(document["points"]["stderr"], data.scores.stderr)
    np.testing.assert_array_equal(document["points"]["weights"], data.scores.weights)
    assert document["points"]["origin"] == list(data.scores.origin)
    assert document["left_out"] == 0


def test_unknown_values_are_null(make_data):
    data = make_data(2, accuracy=True)
    document = payload(dataclasses.replace(data, scores=data.scores.take([])))
    assert document["points"]["values"][0][2:] == [None, None]
    json.loads(to_script_json(document))


def test_each_metric_is_a_view(make_data):
    document = payload(make_data(3, accuracy=True))
    assert [(view["label"], view["columns"]) for view in document["views"]] == [
        ("loss", [0, 1, 2]),
        ("accuracy", [3, 4, 5]),
    ]


def test_too_many_points_lose_predicted_ones_first_and_evenly(make_data):
    points = points_of(make_data(3))
    everything = points_that_fit(points, 10**6)
    assert everything == list(range(len(points)))
    kept = take(points, points_that_fit(points, 5_000))
    assert kept.chosen is not None
    for origin in ("merged", "trained"):
        assert len(kept.rows(origin)) == len(points.rows(origin)) > 0
    assert 1 < len(kept.rows("predicted")) < len(points.rows("predicted"))
    np.testing.assert_array_equal(kept.values[kept.chosen], points.values[points.chosen])
    for row in kept.front:
        assert kept.origin[row] == "predicted"


@pytest.mark.parametrize(("count", "tasks"), [(6000, 3), (3000, 12)])
def test_a_large_run_stays_small_and_says_what_is_left_out(count, tasks):
    generator = np.random.default_rng(0)
    names = tuple(f"task {t}" for t in range(tasks))
    scores = Scores(
        names,
        generator.dirichlet(np.ones(tasks), count),
        generator.normal(size=(count, tasks)),
        generator.random((count, tasks)),
        tuple(Objective(name) for name in names),
        "predicted",
    )
    document = payload(ReportData.of_scores(scores))
    assert len(to_script_json(document)) < 900_000
    assert document["left_out"] == count - len(document["points"]["origin"]) > 0
