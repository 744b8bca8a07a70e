from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.fronts.methods.together import FittedTogether
from paretomerge.surrogates import Fitted, Quadratic, fit_surrogate
from paretomerge.testing.landscapes import SigmoidQuadratic


@pytest.fixture(scope="module")
def pieces():
    """Two objectives, each measured at points of its own and at three common ones."""
    land = SigmoidQuadratic.random(2, "mild", np.random.default_rng(1))
    rng = np.random.default_rng(2)
    points = land.domain.spread(19, 1)
    rows = ([*range(8), 16, 17, 18], [*range(8, 19)])
    measured = land.measure(points, rng)
    parts = tuple(
        fit_surrogate(measured.take(row).columns([n]), Quadratic(), land.domain) for n, row in enumerate(rows)
    )
    return parts, measured.take([16, 17, 18]), points


def test_everything_is_what_the_parts_say(pieces):
    parts, common, points = pieces
    both = FittedTogether(parts, common)
    assert isinstance(both, Fitted)
    assert both.domain == parts[0].domain
    assert both.tasks == common.tasks
    assert both.objectives == common.objectives
    mean, stdev = both.predict(points)
    draws = both.sample(points, 3, np.random.default_rng(0))
    assert draws.shape == (3, 19, 2)
    generator = np.random.default_rng(0)
    for n, part in enumerate(parts):
        assert np.array_equal(mean[:, [n]], part.predict(points)[0])
        assert np.array_equal(stdev[:, [n]], part.predict(points)[1])
        assert np.array_equal(draws[:, :, [n]], part.sample(points, 3, generator))
        assert both.fit_quality[n] == part.fit_quality[0]
    far = parts[0].extrapolates(points) | parts[1].extrapolates(points)
    assert np.array_equal(both.extrapolates(points), far)
    for ours, one, other in zip(both.quadratics(), *(part.quadratics() for part in parts), strict=True):
        assert np.array_equal(ours, np.concatenate([one, other]))


def test_the_response_is_to_the_common_scores(pieces):
    parts, common, points = pieces
    response = FittedTogether(parts, common).response(points)
    assert response.shape == (2, 19, 3)
    assert np.array_equal(response[0], parts[0].response(points)[0][:, 8:])
    assert np.array_equal(response[1], parts[1].response(points)[0][:, 8:])
    first = parts[0].scores.weights[:1]
    assert np.abs(FittedTogether(parts, common.take([0])).response(first)).shape == (2, 1, 1)


def test_a_row_that_a_part_does_not_know_moves_nothing(pieces):
    parts, _, points = pieces
    land = SigmoidQuadratic.random(2, "mild", np.random.default_rng(1))
    strange = land.measure(np.array([[0.111, 0.222]]), np.random.default_rng(0))
    assert not FittedTogether(parts, strange).response(points).any()


def test_a_part_without_quadratics_leaves_none(pieces):
    parts, common, _ = pieces

    class Opaque:
        def __init__(self, part):
            self.domain, self.tasks, self.objectives = part.domain, part.tasks, part.objectives

    assert FittedTogether((parts[0], Opaque(parts[1])), common).quadratics() is None


def test_warnings_are_said_once(pieces):
    parts, common, _ = pieces
    loud = [replace(part, warnings=("too few", f"part {n}")) for n, part in enumerate(parts)]
    assert FittedTogether(tuple(loud), common).warnings == ("too few", "part 0", "part 1")


def test_parts_that_do_not_fit_are_refused(pieces):
    parts, common, _ = pieces
    with pytest.raises(DataError, match="over one domain"):
        FittedTogether((), common)
    other = SigmoidQuadratic.random(2, "mild", np.random.default_rng(1))
    wide = replace(other.domain, upper=2.0)
    moved = fit_surrogate(parts[1].scores, Quadratic(), wide)
    with pytest.raises(DataError, match="over one domain"):
        FittedTogether((parts[0], moved), common)
    with pytest.raises(DataError, match="other objectives or coordinates"):
        FittedTogether(parts[::-1], common)
