from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from paretomerge.errors import DataError, WeightsError
from paretomerge.surrogates import PosteriorInformed, Quadratic, choose_surrogate, fit_surrogate, simplex_design
from paretomerge.types import Box, Simplex

QUADRATIC = Quadratic(links="identity")


def wavy(weights):
    return np.sin(6 * weights)


def predicted(weights):
    return wavy(weights) / 2


def test_the_domain_is_the_simplex_unless_another_is_given(scores_at):
    weights = simplex_design(2, 4)
    assert fit_surrogate(scores_at(weights, weights), QUADRATIC).domain == Simplex(("a", "b"))
    boxed = fit_surrogate(scores_at(Box(("a", "b")).spread(8), np.zeros((8, 2))), QUADRATIC, Box(("a", "b")))
    assert boxed.tasks == ("a", "b")
    assert boxed.predict([[1.0, 1.0]])[0].shape == (1, 2)


def test_scores_of_another_domain_are_refused(scores_at):
    scores = scores_at(np.array([[0.9, 0.9]]), [[1.0, 1.0]])
    with pytest.raises(DataError, match="the scores are at coordinates a, b, the domain has x, y"):
        fit_surrogate(scores, QUADRATIC, Box(("x", "y")))
    with pytest.raises(WeightsError, match=r"weights sum to 1\.8"):
        fit_surrogate(scores, QUADRATIC)


def test_the_surrogate_that_predicts_left_out_scores_best_is_kept(scores_at):
    weights = simplex_design(2, 17)
    informed = PosteriorInformed(predicted, ("a", "b"), residual=False)
    found = choose_surrogate(scores_at(weights, wavy(weights), metric="loss"), (QUADRATIC, informed))
    assert found.surrogate == informed
    (note,) = found.warnings
    assert note.startswith("Quadratic was dropped for PosteriorInformed: leave-one-out error")
    linear = choose_surrogate(scores_at(weights, weights, metric="loss"), (informed, QUADRATIC))
    assert linear.surrogate == QUADRATIC


def test_candidates_that_need_more_scores_are_left_out(scores_at):
    scores = scores_at(simplex_design(2, 2), np.eye(2), metric="loss")
    informed = PosteriorInformed(predicted, ("a", "b"))
    found = choose_surrogate(scores, (QUADRATIC, informed))
    assert found.surrogate == informed
    assert found.warnings[-1].startswith("Quadratic was left out: a quadratic in 2 coordinates has 3 coefficients")
    with pytest.raises(DataError, match=r"Quadratic was left out: .* it needs at least 3 scored points, got 2"):
        choose_surrogate(scores, (QUADRATIC,))
    with pytest.raises(DataError, match="no surrogates to choose from"):
        choose_surrogate(scores, ())


def test_with_too_few_scores_to_compare_the_first_is_kept(scores_at):
    scores = scores_at(np.zeros((0, 2)), np.zeros((0, 2)), metric="loss")
    informed = PosteriorInformed(predicted, ("a", "b"))
    loose = Quadratic(allow_underdetermined=True)
    assert choose_surrogate(scores, (informed, loose)).surrogate == informed
    assert choose_surrogate(scores, (loose, informed)).surrogate == loose


def test_an_objective_that_does_not_vary_does_not_count(scores_at):
    weights = simplex_design(2, 17)
    values = np.stack([wavy(weights)[:, 0], np.ones(17)], 1)
    informed = PosteriorInformed(predicted, ("a", "b"), residual=False)
    assert choose_surrogate(scores_at(weights, values, metric="loss"), (QUADRATIC, informed)).surrogate == informed


def test_surrogates_of_others_are_fitted_too(scores_at):
    @dataclass(frozen=True)
    class Own:
        def fit(self, scores, domain):
            return (scores, domain)

    scores = scores_at(simplex_design(2, 3), np.zeros((3, 2)))
    assert fit_surrogate(scores, Own()) == (scores, Simplex(("a", "b")))
