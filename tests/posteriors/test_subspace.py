from __future__ import annotations

import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Basis, Subspace, task_vector_basis

ORIGIN = {"w": torch.zeros(2, dtype=torch.float64), "b": torch.ones(1, dtype=torch.float64), "n": torch.tensor(5)}
V = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], dtype=torch.float64)
EYE = torch.eye(2, dtype=torch.float64)


def make(precision=EYE, linear=(0.0, 0.0), origin=ORIGIN, basis=V):
    return Subspace(origin, basis, precision, torch.tensor(linear, dtype=torch.float64))


def test_points_are_origin_plus_directions():
    posterior = make(linear=(3.0, 4.0))
    found = posterior.mean
    assert found["w"].tolist() == [3.0, 8.0]
    assert found["b"].tolist() == [1.0]
    assert found["n"].item() == 5
    assert list(found) == list(ORIGIN)


def test_a_singular_precision_has_an_energy_but_no_mean():
    posterior = make(torch.diag(torch.tensor([1.0, 0.0])), (1.0, 0.0))
    assert float(posterior.energy_at(torch.tensor([1.0, 9.0], dtype=torch.float64))) == -0.5
    with pytest.raises(PosteriorError, match="the precision of the subspace is not positive definite"):
        _ = posterior.mean


def test_shapes_must_agree():
    with pytest.raises(PosteriorError, match=r"precision_mean has shape \[3\], expected \[2\]"):
        make(linear=(0.0, 0.0, 0.0))
    with pytest.raises(PosteriorError, match=r"the basis has shape \[2, 2\], expected \[3, D\]"):
        make(basis=EYE)
    with pytest.raises(PosteriorError, match=r"the precision has shape \[3, 3\], expected \[2, 2\]"):
        make(torch.eye(3))
    with pytest.raises(PosteriorError, match="precision_mean has 1 NaN"):
        make(linear=(0.0, float("nan")))


def test_coordinates_mean_the_same_only_with_the_same_origin_and_basis():
    one = make()
    one.require_same_kind(make())
    other_basis, other_origin = make(basis=2 * V), {**ORIGIN, "b": torch.zeros(1, dtype=torch.float64)}
    shared = Subspace(other_origin, one.basis, EYE, torch.zeros(2))
    for other in (other_basis, make(origin=other_origin), shared):
        with pytest.raises(PosteriorError, match="different origins or bases cannot be merged"):
            one.require_same_kind(other)


def test_the_ridge_adds_a_prior_around_its_centre():
    centre = torch.tensor([2.0, -1.0], dtype=torch.float64)
    found = make(linear=(1.0, 1.0)).with_ridge(torch.tensor([3.0, 0.0]), centre)
    assert found.precision.tolist() == [[4.0, 0.0], [0.0, 1.0]]
    assert found.precision_mean.tolist() == [7.0, 1.0]
    assert torch.allclose(make().with_ridge(1e12, centre).coordinates, centre)
    with pytest.raises(PosteriorError, match=r"the ridge must be >= 0, got -1\.0"):
        make().with_ridge(-1.0, centre)


def test_projection_finds_coordinates_and_refuses_what_lies_outside():
    posterior = make()
    c = torch.tensor([0.3, -2.0], dtype=torch.float64)
    assert torch.allclose(posterior.project(posterior.at(c)), c)
    assert not posterior.project(ORIGIN).any()
    outside = {**posterior.at(c), "b": torch.full((1,), 1.5, dtype=torch.float64)}
    with pytest.raises(PosteriorError, match=r"lie outside the subspace \(by 0\.12 of their distance"):
        posterior.project(outside)


def test_a_basis_with_collinear_directions_still_projects():
    basis = torch.stack([V[:, 0], V[:, 0]], 1)
    c = make(basis=basis).project({**ORIGIN, "w": torch.tensor([2.0, 0.0], dtype=torch.float64)})
    assert float(c.sum()) == pytest.approx(2.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_points_have_the_origins_dtypes_and_finetunes_their_corners(dtype, generator):
    base, *tunes = ({"w": torch.randn(3, 4, generator=generator).to(dtype)} for _ in range(3))
    basis = task_vector_basis(base, dict(zip("ab", tunes, strict=True)), "model")
    posterior = Subspace(base, basis, EYE, torch.zeros(2))
    for task, tune in zip("ab", tunes, strict=True):
        found = posterior.at(basis.corner(task))
        assert found["w"].dtype == dtype
        assert torch.equal(found["w"], tune["w"]) or dtype == torch.float32
        assert torch.allclose(posterior.project(tune), basis.corner(task), atol=1e-4)


def test_energy_of_many_coordinates_at_once(generator):
    posterior = make(torch.tensor([[2.0, 0.5], [0.5, 1.0]]), (1.0, -1.0))
    points = torch.randn(2, 3, 2, generator=generator, dtype=torch.float64)
    found = posterior.energy_at(points)
    assert found.shape == (2, 3)
    c = points[1, 2]
    expected = 0.5 * c @ posterior.precision @ c - posterior.precision_mean @ c
    assert float(found[1, 2]) == pytest.approx(float(expected))
    assert posterior.energy(posterior.at(c)) == pytest.approx(float(expected), rel=1e-9)


def test_a_sequence_of_partial_parameters_is_a_basis():
    directions = [{"w": torch.tensor([1.0, 0.0])}, {"b": torch.tensor([1.0])}]
    posterior = Subspace(ORIGIN, directions, EYE, torch.tensor([2.0, 3.0]))
    assert isinstance(posterior.basis, Basis)
    assert posterior.mean["w"].tolist() == [2.0, 0.0]
    assert posterior.mean["b"].tolist() == [4.0]
