from __future__ import annotations

import pytest
import torch

from paretomerge.posteriors import Dense, PredictedLoss, Subspace, predicted_at


def test_it_equals_the_measured_loss_where_it_was_anchored_and_is_quadratic_around():
    curvature = Dense({"w": torch.tensor([1.0, 2.0]).double()}, torch.diag(torch.tensor([2.0, 4.0])))
    loss = PredictedLoss.anchored(curvature, curvature.mean, 0.7, examples=9)
    assert loss.at(curvature.mean) == pytest.approx(0.7)
    assert loss.at({"w": torch.tensor([2.0, 2.5]).double()}) == pytest.approx(0.7 + 0.5 * (2.0 + 4.0 * 0.25))
    assert loss.examples == 9


def test_it_may_be_anchored_away_from_the_mean():
    curvature = Dense({"w": torch.tensor([0.0]).double()}, torch.tensor([[2.0]]))
    loss = PredictedLoss.anchored(curvature, {"w": torch.tensor([3.0]).double()}, 10.0)
    assert loss.at(curvature.mean) == pytest.approx(1.0)


def test_coordinates_and_parameters_agree(known):
    given = known("subspace")
    assert isinstance(given.posterior, Subspace)
    loss = PredictedLoss(given.posterior, 0.3)
    points = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = [loss.at(given.at(point)) for point in points]
    assert loss.at_coordinates(points).tolist() == pytest.approx(expected, rel=1e-9)


def test_several_tasks_at_one_point_agree_with_each_by_itself_and_project_once(known, monkeypatch):
    given = known("subspace")
    first = given.posterior
    other = Subspace(first.origin, first.basis, 2 * first.precision, first.precision_mean)
    losses = [PredictedLoss(first, 0.3), PredictedLoss(other, 0.1)]
    point = given.at(torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64))
    expected = [loss.at(point) for loss in losses]
    projections = []
    project = Subspace.project
    monkeypatch.setattr(Subspace, "project", lambda self, params: projections.append(1) or project(self, params))
    assert predicted_at(losses, point) == pytest.approx(expected, rel=1e-12)
    assert len(projections) == 1
    dense = PredictedLoss(Dense({"w": torch.zeros(1).double()}, torch.ones(1, 1)), 0.0)
    assert predicted_at([dense, dense], {"w": torch.tensor([2.0]).double()}) == [2.0, 2.0]
