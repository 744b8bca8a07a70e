"""The band between two attainment surfaces."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.fronts.uncertainty.attainment import AttainmentSurface
from paretomerge.reports.band import band_of, staircase
from paretomerge.types import Objective

CORNER = np.array([2.0, 3.0])


def holds(outline: np.ndarray, point: np.ndarray) -> bool:
    """Whether a polygon contains a point, by counting crossings of a ray."""
    inside = False
    for (x1, y1), (x2, y2) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if (y1 > point[1]) != (y2 > point[1]) and point[0] < (x2 - x1) * (point[1] - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside


def attains(points: np.ndarray, point: np.ndarray) -> bool:
    return bool((points <= point).all(axis=1).any())


def surfaces(best, worst):
    return (AttainmentSurface(5.0, np.array(best)), AttainmentSurface(95.0, np.array(worst).reshape(-1, 2)))


def test_a_staircase_runs_through_its_points_to_the_reference_point():
    found = staircase(np.array([[1.0, 0.5], [0.5, 1.0]]), CORNER)
    assert found.tolist() == [[0.5, 3.0], [0.5, 1.0], [1.0, 1.0], [1.0, 0.5], [2.0, 0.5]]
    assert staircase(np.zeros((0, 2)), CORNER).tolist() == [[2.0, 3.0]]


@given(seed=st.integers(0, 500), flip=st.booleans(), swap=st.booleans())
def test_the_band_holds_what_some_fronts_attain_and_nearly_none_do_not(make_spread, seed, flip, swap):
    generator = np.random.default_rng(seed)
    best = np.sort(generator.uniform(0.1, 0.6, (4, 2)), axis=0) * [1, 1]
    best[:, 1] = best[::-1, 1]
    worst = best + generator.uniform(0.05, 0.3, 2)
    sign = -1.0 if flip else 1.0
    objectives = [Objective("a"), Objective("b", "maximise" if flip else "minimise")]
    turn = np.array([1.0, sign])
    spread = make_spread(objectives, surfaces(best * turn, worst * turn))
    wanted = objectives[::-1] if swap else objectives
    band = band_of(spread, CORNER * turn, wanted)
    outline = (band.outline[:, ::-1] if swap else band.outline) * turn
    assert band.share == 90.0
    for point in generator.uniform(0.0, 1.5, (40, 2)):
        assert holds(outline, point) == (attains(best, point) and not attains(worst, point))


def test_a_front_that_few_draws_attain_has_a_band_up_to_the_reference_point(make_spread):
    objectives = [Objective("a"), Objective("b")]
    band = band_of(make_spread(objectives, surfaces([[0.5, 0.5]], [])), CORNER, objectives)
    assert holds(band.outline, np.array([1.9, 2.9]))
    assert not holds(band.outline, np.array([0.4, 2.0]))


def test_other_objectives_have_no_band(make_spread):
    objectives = [Objective("a"), Objective("b")]
    spread = make_spread(objectives, surfaces([[0.5, 0.5]], [[0.6, 0.6]]))
    assert band_of(spread, CORNER, [Objective("a"), Objective("c")]) is None
    assert band_of(spread, CORNER, [*objectives, Objective("c")]) is None
    assert band_of(make_spread(objectives, surfaces([[0.5, 0.5]], [])[:1]), CORNER, objectives) is None


@pytest.fixture(scope="module")
def make_spread():
    from paretomerge.fronts import front_uncertainty
    from paretomerge.types import Front

    def make(objectives, attainment):
        front = Front(("a", "b"), [[0.5, 0.5]], [[1.0, 1.0]], [[0.1, 0.1]], tuple(objectives), CORNER, "merged")
        spread = front_uncertainty(front.scores, front, draws=40)
        return dataclasses.replace(spread, attainment=attainment)

    return make
