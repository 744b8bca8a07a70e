from __future__ import annotations

import pytest
import torch

from paretomerge.curvature.points import average, curvature_points, posterior_points
from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Diagonal


def test_curvature_points_run_from_the_finetune_to_the_centre():
    tune, centre = {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor(4)}, {"w": torch.tensor([4.0, 4.0])}
    found = [point["w"].tolist() for point in curvature_points(tune, centre, "segment")]
    assert found == [[0.0, 2.0], [2.0, 3.0], [4.0, 4.0]]
    assert curvature_points(tune, centre, "average")[0]["n"].item() == 4
    assert curvature_points(tune, centre, "posterior")[0]["w"].tolist() == [0.0, 2.0]


def test_the_average_keeps_dtypes_and_copies_integers():
    found = average(
        {t: {"w": torch.tensor([v], dtype=torch.bfloat16), "n": torch.tensor(7)} for t, v in (("a", 1.0), ("b", 2.0))}
    )
    assert found["w"].dtype == torch.bfloat16
    assert found["w"].item() == 1.5
    assert found["n"].item() == 7


def test_draws_have_the_posteriors_mean_and_variance():
    """`1 / (N (h + λ))` with `λ` relative to the mean of `h`; budget 4000 draws, five standard errors."""
    mean = {"w": torch.tensor([1.0, -2.0], dtype=torch.float64)}
    curvature = Diagonal(mean, {"w": torch.tensor([1.0, 3.0], dtype=torch.float64)})
    finetune = {**mean, "n": torch.tensor(3), "frozen": torch.tensor([5.0])}
    points = posterior_points(finetune, curvature, 0.5, 10, 4000, torch.Generator().manual_seed(0))
    drawn = torch.stack([point["w"] for point in points])
    variance = 1 / (10 * (torch.tensor([1.0, 3.0]) + 0.5 * 2.0))
    assert ((drawn.mean(0) - mean["w"]).abs() < 5 * (variance / 4000).sqrt()).all()
    assert ((drawn.var(0) / variance - 1).abs() < 5 * (2 / 4000) ** 0.5).all()
    assert all(point["n"].item() == 3 and point["frozen"].item() == 5.0 for point in points)


def test_a_posterior_without_prior_cannot_be_drawn_from_where_it_is_flat():
    mean = {"w": torch.zeros(2)}
    with pytest.raises(PosteriorError, match="damp the posterior before sampling"):
        posterior_points(mean, Diagonal(mean, {"w": torch.tensor([1.0, 0.0])}), 0.0, 5, 1, torch.Generator())
