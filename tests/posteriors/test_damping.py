from __future__ import annotations

import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.merging import merge
from paretomerge.posteriors import (
    Basis,
    Dense,
    Diagonal,
    Isotropic,
    Product,
    Subspace,
    damp,
    relative_strength,
    task_vector_basis,
)
from paretomerge.posteriors.damping import RIDGE_FLOOR


def diagonals():
    mean = {"w": torch.zeros(2), "b": torch.zeros(1)}
    return {
        "s": Diagonal(mean, {"w": torch.tensor([1.0, 3.0]), "b": torch.tensor([2.0])}),
        "t": Diagonal(mean, {"w": torch.tensor([0.0, 0.0]), "b": torch.tensor([6.0])}),
    }


def subspaces():
    base = {"w": torch.zeros(2, dtype=torch.float64)}
    tunes = {"s": {"w": torch.tensor([1.0, 0.0]).double()}, "t": {"w": torch.tensor([0.0, 1.0]).double()}}
    basis = task_vector_basis(base, tunes, "model")
    curvature = {"s": [[4.0, 1.0], [1.0, 1.0]], "t": [[0.0, 0.0], [0.0, 3.0]]}
    found = {}
    for task, matrix in curvature.items():
        A = torch.tensor(matrix, dtype=torch.float64)
        found[task] = Subspace(base, basis, A, A @ basis.corner(task))
    return found


def test_every_task_gets_the_same_strength_relative_to_the_mean_diagonal():
    # Mean entries of the tasks: 2 and 2.
    damped = damp(diagonals(), 0.5)
    assert damped["s"].precision["w"].tolist() == [2.0, 4.0]
    assert damped["t"].precision["w"].tolist() == [1.0, 1.0]
    assert damped["t"].precision["b"].tolist() == [7.0]
    dense = {"s": Dense({"w": torch.zeros(2)}, torch.diag(torch.tensor([1.0, 5.0])))}
    assert torch.allclose(damp(dense, 0.1)["s"].precision, torch.diag(torch.tensor([1.3, 5.3]).double()))


def test_means_stay():
    mean = {"w": torch.tensor([1.0, 2.0])}
    for posterior in (Diagonal(mean, {"w": torch.ones(2)}), Dense(mean, torch.eye(2))):
        assert torch.equal(damp({"t": posterior}, 1.0)["t"].mean["w"], mean["w"])


def test_zero_changes_nothing_and_isotropic_posteriors_are_left_alone():
    given = diagonals()
    assert damp(given, 0.0) == given
    isotropic = {"s": Isotropic({"w": torch.ones(1)})}
    assert damp(isotropic, 3.0) == isotropic


def test_subspaces_get_a_ridge_per_direction_around_each_tasks_finetune():
    given = subspaces()
    # Average diagonal (4 + 0)/2 and (1 + 3)/2.
    assert relative_strength(given, 0.1).tolist() == [0.2, 0.2]
    damped = damp(given, 0.1)
    for task in "st":
        assert torch.allclose(damped[task].precision, given[task].precision + 0.2 * torch.eye(2).double())
        assert torch.allclose(
            damped[task].precision_mean, given[task].precision_mean + 0.2 * given[task].basis.corner(task)
        )


@pytest.mark.parametrize("stretch", [1e-3, 100.0])
def test_the_merge_does_not_depend_on_the_lengths_of_the_directions(stretch):
    """Levenberg-Marquardt scaling: the same curvature and anchors in other units give the same model."""
    given = subspaces()
    basis, unit = given["s"].basis, torch.tensor([1.0, stretch], dtype=torch.float64)
    directions = tuple({"w": u * d["w"]} for u, d in zip(unit, basis.directions, strict=True))
    stretched = Basis(directions, basis.labels, {task: basis.corner(task) / unit for task in given})
    other = {
        task: Subspace(p.origin, stretched, p.precision * unit[:, None] * unit, p.precision_mean * unit)
        for task, p in given.items()
    }
    one, two = (merge(damp(posteriors, 0.5), {"s": 0.3, "t": 0.7})["w"] for posteriors in (given, other))
    assert torch.allclose(one, two, rtol=1e-9)


def test_a_ridge_may_have_another_anchor():
    given = subspaces()
    anchors = {"s": torch.tensor([0.5, 0.5]).double()}
    basis = Basis(given["s"].basis.directions, given["s"].basis.labels, anchors)
    moved = {t: Subspace(p.origin, basis, p.precision, p.precision_mean) for t, p in given.items()}
    found = damp(moved, 0.1)
    assert torch.allclose(found["s"].precision_mean, given["s"].precision_mean + 0.1)
    assert torch.allclose(found["t"].precision_mean, damp(given, 0.1)["t"].precision_mean)


def test_no_direction_is_left_without_ridge():
    base = {"w": torch.zeros(2).double()}
    A = torch.diag(torch.tensor([4.0, 0.0]).double())
    found = relative_strength({"t": Subspace(base, torch.eye(2).double(), A, torch.zeros(2))}, 0.1)
    assert found.tolist() == pytest.approx([0.4, 0.1 * RIDGE_FLOOR * 2.0])


def test_the_parts_of_a_product_are_damped_each_in_their_own_units():
    def product(scale):
        head = Dense({"h": torch.zeros(1)}, torch.tensor([[scale]]))
        return Product({"head": head, "rest": Isotropic({"b": torch.zeros(1)}, scale)})

    found = damp({"s": product(1.0), "t": product(3.0)}, 0.5)
    assert found["s"].parts["head"].precision.item() == 2.0
    assert found["t"].parts["head"].precision.item() == 4.0
    assert found["t"].parts["rest"].precision == 3.0


def test_what_cannot_be_damped_is_refused():
    for wrong in (-0.1, float("nan")):
        with pytest.raises(PosteriorError, match="damping must be >= 0, got"):
            damp(diagonals(), wrong)
    flat = {"t": Diagonal({"w": torch.zeros(2)}, {"w": torch.zeros(2)})}
    with pytest.raises(PosteriorError, match="the curvature of every task is zero"):
        damp(flat, 0.1)
    with pytest.raises(PosteriorError, match="no curvature to damp"):
        damp({}, 0.1)
    with pytest.raises(PosteriorError, match="no damping is defined for the family 'isotropic'"):
        relative_strength({"t": Isotropic({"w": torch.ones(1)})}, 0.1)
