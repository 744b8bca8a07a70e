from __future__ import annotations

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.surrogates import Fitted, Quadratic, fit_surrogate, simplex_design
from paretomerge.surrogates.base import require_scores


def test_too_few_scores_are_refused(scores_at):
    scores = scores_at(simplex_design(2, 2), np.zeros((2, 2)))
    require_scores(scores, 2, "it")
    with pytest.raises(DataError, match="it needs at least 3 scored points, got 2: evaluate more"):
        require_scores(scores, 3, "it")


def test_what_is_fitted_obeys_the_protocol(scores_at):
    weights = simplex_design(2, 4)
    assert isinstance(fit_surrogate(scores_at(weights, weights), Quadratic()), Fitted)
