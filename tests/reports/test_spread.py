"""What the charts draw of a front's uncertainty is the uncertainty's own numbers."""

import dataclasses

import numpy as np

from paretomerge.fronts import front_uncertainty
from paretomerge.reports.embed import payload
from paretomerge.reports.spread import bands_of, short_numbers, spread_of


def test_intervals_stand_at_the_rows_of_their_points(make_data):
    data = make_data(2, full=True)
    document = payload(data)
    spread = document["spread"]
    assert spread["rows"] == document["front"]
    assert (spread["level"], spread["columns"]) == (data.uncertainty.level, [0, 1])
    np.testing.assert_allclose(spread["lower"], data.uncertainty.lower, rtol=1e-5)
    np.testing.assert_allclose(spread["upper"], data.uncertainty.upper, rtol=1e-5)


def test_points_that_the_page_leaves_out_have_no_interval(make_data):
    data = make_data(2, full=True)
    rows = [None if i % 2 else i for i in range(len(data.front))]
    spread = spread_of(data, rows)
    assert spread["rows"] == [row for row in rows if row is not None]
    np.testing.assert_allclose(spread["lower"], data.uncertainty.lower[::2], rtol=1e-5)


def test_columns_are_those_of_the_page_and_not_of_the_front(make_data):
    data = make_data(2, accuracy=True, full=True)
    scores = data.scores
    turned = dataclasses.replace(
        scores,
        values=scores.values[:, ::-1],
        stderr=scores.stderr[:, ::-1],
        objectives=scores.objectives[::-1],
    )
    moved = dataclasses.replace(data, scores=turned, verification=None, landscape=None)
    assert spread_of(moved, range(len(data.front)))["columns"] == [3, 2]
    assert bands_of(moved)[0]["columns"] == [3, 2]


def test_without_an_uncertainty_there_is_nothing_to_draw(make_data):
    data = make_data(2)
    assert spread_of(data, range(len(data.front))) is None
    assert bands_of(data) == []
    assert payload(data)["bands"] == []


def test_a_band_goes_as_far_as_the_intervals_of_its_front(make_data):
    data = make_data(2, full=True)
    (band,) = bands_of(data)
    assert (band["origin"], band["share"]) == ("predicted", 90.0)
    lower, upper = data.uncertainty.lower.min(axis=0), data.uncertainty.upper.max(axis=0)
    np.testing.assert_allclose(np.array(band["reach"]).T, [lower, upper], rtol=1e-5)
    np.testing.assert_allclose(band["line"], data.front.values[np.argsort(data.front.values[:, 0])], rtol=1e-5)
    corners = np.array(band["outline"])
    assert (corners <= data.front.reference + 1e-6).all()
    assert (corners.min(axis=0) < data.front.values.min(axis=0)).all()


def test_the_joint_front_has_a_band_of_its_own(make_data):
    data = make_data(2, full=True)
    joint = data.joint_front
    spread = front_uncertainty(joint.scores, joint, draws=60)
    bands = bands_of(dataclasses.replace(data, joint_uncertainty=spread))
    assert [band["origin"] for band in bands] == ["predicted", "trained"]


def test_three_objectives_have_no_band(make_data):
    assert bands_of(make_data(3, full=True)) == []


def test_numbers_that_are_not_finite_are_null():
    assert short_numbers(np.array([1.23456789, np.nan, np.inf])) == [1.23457, None, None]
