from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.tiny import recipe_of, write_recipe

from paretomerge.errors import RecipeError
from paretomerge.stages import estimate_run_front, open_study


@pytest.mark.parametrize("workers", [1, 2])
def test_the_budget_is_spent_whoever_is_first(own: Path, workers: int) -> None:
    front = {"evaluations": 8, "points": 12, "asynchronous": True, "workers": workers}
    study = open_study(write_recipe(own, recipe_of(front=front)))
    estimated = estimate_run_front(study)
    assert len(estimated.scores) == 8
    assert len(np.unique(estimated.scores.weights.round(6), axis=0)) == 8
    with study.folder.open_journal() as journal:
        assert journal.count() == 8
        assert journal.ledger()["front"].evaluations == 8


def test_with_one_worker_it_is_reproducible_and_resumes(own: Path) -> None:
    front = {"evaluations": 6, "points": 12, "asynchronous": True}
    study = open_study(write_recipe(own, recipe_of(front=front)))
    first, again = estimate_run_front(study), estimate_run_front(study)
    np.testing.assert_array_equal(first.scores.weights, again.scores.weights)
    np.testing.assert_array_equal(first.front.values, again.front.values)
    with study.folder.open_journal() as journal:
        assert journal.count() == 6


@pytest.mark.parametrize("changes", [{"method": "map"}, {"racing": True}])
def test_what_needs_batches_cannot_be_asynchronous(own: Path, changes: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="asynchronous: only with method informed and without racing"):
        open_study(write_recipe(own, recipe_of(front={"asynchronous": True, **changes})))
