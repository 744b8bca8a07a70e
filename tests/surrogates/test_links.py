from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.surrogates import identity_link, link_of, sigmoid_link, softplus_link
from paretomerge.surrogates.links import arcsine_link, exponential_link
from paretomerge.types import Objective

LINKS = (identity_link(), sigmoid_link(), sigmoid_link(-2.0, 5.0), softplus_link(), softplus_link(1.5))


@given(eta=st.floats(-6, 6), index=st.integers(0, len(LINKS) - 1))
def test_slopes_are_derivatives_and_inverses_invert(eta, index):
    link, point = LINKS[index], np.array([eta])
    step = 1e-5
    expected = (link.value(point + step) - link.value(point - step)) / (2 * step)
    assert link.slope(point) == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert (link.slope(point) > 0).all()
    assert link.inverse(link.value(point)) == pytest.approx(point, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("link", "bounds"), [(LINKS[2], (-2.0, 5.0)), (LINKS[4], (1.5, np.inf))])
def test_values_stay_within_the_bounds_and_inverses_of_the_bounds_are_finite(link, bounds):
    values = link.value(np.array([-1000.0, -3.0, 3.0, 1000.0]))
    assert (values >= bounds[0]).all()
    assert (values <= bounds[1]).all()
    assert np.isfinite(link.inverse(np.array([bounds[0], min(bounds[1], 9.0)]))).all()


def test_objectives_choose_their_link_by_their_bounds():
    assert link_of(Objective("x", bounds=(0.0, 1.0))).name == "sigmoid"
    assert link_of(Objective("x", bounds=(0.0, None))).name == "softplus"
    assert link_of(Objective("x")).name == "identity"
    assert link_of(Objective("x", bounds=(0.0, 100.0))).value(np.array([0.0])) == pytest.approx([50.0])


def test_differences_of_exponential_etas_are_ratios_above_the_bound():
    link = exponential_link(1.0)
    assert link.inverse(np.array([4.0])) - link.inverse(np.array([2.5])) == pytest.approx([np.log(3.0 / 1.5)])
    assert link.value(np.array([-1000.0, 1000.0]))[0] == 1.0
    assert np.isfinite(link.value(np.array([1000.0]))).all()
    assert np.isfinite(link.inverse(np.array([1.0]))).all()


@given(eta=st.floats(0.05, 3.0))
def test_arcsine_shares_and_their_slopes(eta):
    link, point, step = arcsine_link(-1.0, 3.0), np.array([eta]), 1e-6
    assert link.inverse(link.value(point)) == pytest.approx(point, abs=1e-9)
    expected = (link.value(point + step) - link.value(point - step)) / (2 * step)
    assert link.slope(point) == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_the_error_of_a_share_is_the_same_everywhere_on_the_arcsine_scale():
    """A share of n has standard error √(p (1 - p) / n), and 2 arcsin √p has 1 / √n."""
    link, shares = arcsine_link(), np.array([0.1, 0.5, 0.97])
    assert np.sqrt(shares * (1 - shares)) / link.slope(link.inverse(shares)) == pytest.approx(np.ones(3))
    assert link.value(np.array([-0.4, 4.0])).tolist() == [0.0, 1.0]
    assert link.inverse(np.array([0.0, 1.0])) == pytest.approx([0.0, np.pi])
