from __future__ import annotations

import pytest
import torch
from tests.cases import CASES, Setting

from paretomerge.errors import WeightsError
from paretomerge.merging import merge, merge_coordinates

SUBSPACES = [case for case in CASES if case.name.startswith("subspace")]


@pytest.mark.parametrize("case", SUBSPACES, ids=lambda case: case.name)
def test_coordinates_are_those_of_the_merged_model_and_follow_the_formula(case):
    setting = Setting.random({"blocks.0.weight": (3, 3), "embed.weight": (9,)}, torch.float64, 3, seed=1)
    posteriors = case.give(setting).posteriors
    found = merge_coordinates(posteriors, setting.weights)
    for row, weights, merged in zip(found, setting.weights, merge(posteriors, setting.weights), strict=True):
        total = sum(w * p.precision for w, p in zip(weights, posteriors.values(), strict=True))
        linear = sum(w * p.precision_mean for w, p in zip(weights, posteriors.values(), strict=True))
        for w, posterior in zip(weights, posteriors.values(), strict=True):
            if posterior.lent is None:
                continue
            # The ridge on what a task lends is λ/(T α) in all.
            extra = posterior.lent.strength * (1 / (len(posteriors) * w) - 1)
            total, linear = total + torch.diag(extra), linear + w * extra * posterior.lent.centre
        assert torch.allclose(row, torch.linalg.solve(total, linear), rtol=1e-8)
        at = posteriors["a"].at(row)
        assert all(torch.allclose(at[name], merged[name]) for name in merged)


def test_weights_must_be_on_the_simplex():
    setting = Setting.random({}, torch.float64, 2, seed=1)
    with pytest.raises(WeightsError, match=r"weights sum to 0\.5"):
        merge_coordinates(SUBSPACES[0].give(setting).posteriors, [0.25, 0.25])
