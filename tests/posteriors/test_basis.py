from __future__ import annotations

import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Basis, DirectionLabel, gradient_basis, task_vector_basis
from paretomerge.types import Layout

BASE = {"embed.w": torch.zeros(2), "h.0.w": torch.ones(3), "h.1.w": torch.zeros(1), "n": torch.tensor(1)}
TUNES = {
    "s": {"embed.w": torch.ones(2), "h.0.w": torch.full((3,), 3.0), "h.1.w": torch.ones(1), "n": torch.tensor(2)},
    "t": {"embed.w": -torch.ones(2), "h.0.w": torch.zeros(3), "h.1.w": 4 * torch.ones(1), "n": torch.tensor(2)},
}


def test_task_vectors_are_differences_cut_into_groups():
    basis = task_vector_basis(BASE, TUNES, "layer")
    assert [(label.group, label.task) for label in basis.labels] == [
        (group, task) for group in ("embed", "h.0", "h.1") for task in "st"
    ]
    assert all(label.kind == "task_vector" for label in basis.labels)
    assert basis.directions[2]["h.0.w"].tolist() == [2.0] * 3
    assert list(basis.directions[3]) == ["h.0.w"]
    assert "n" not in basis.tensors()


def test_task_vectors_of_small_dtypes_are_exact_differences():
    base = {"w": torch.tensor([1.0], dtype=torch.bfloat16)}
    tune = {"w": torch.tensor([1.0078125], dtype=torch.bfloat16)}
    direction = task_vector_basis(base, {"t": tune}, "model").directions[0]["w"]
    assert direction.dtype == torch.float32
    assert direction.item() == 0.0078125


def test_corners_are_the_finetunes():
    basis = task_vector_basis(BASE, TUNES, "layer")
    assert basis.corner("t").tolist() == [0, 1, 0, 1, 0, 1]
    for name in ("embed.w", "h.0.w", "h.1.w"):
        assert torch.equal(BASE[name] + basis.combine(basis.corner("t")[None], name)[0], TUNES["t"][name])


@pytest.mark.parametrize("tile", [1, 2, 2**15])
def test_inner_products_and_gram_do_not_depend_on_how_tensors_are_cut(generator, monkeypatch, tile):
    monkeypatch.setattr("paretomerge.posteriors.basis._TILE", tile)
    shapes = {"w": (3, 2), "b": (4,), "c": (2,)}
    directions = [
        {"w": torch.randn(3, 2, generator=generator), "b": torch.randn(4, generator=generator)},
        {"w": torch.randn(3, 2, generator=generator)},
    ]
    there = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    here = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    basis = Basis.of(directions, Layout.of(there))
    flat = torch.stack(
        [torch.cat([d.get(name, torch.zeros(shape)).flatten() for name, shape in shapes.items()]) for d in directions]
    ).double()
    offset = torch.cat([(there[name].double() - here[name].double()).flatten() for name in shapes])
    products, squared = basis.inner_products({name: (there[name], here[name]) for name in shapes})
    torch.testing.assert_close(products, flat @ offset, rtol=1e-12, atol=1e-12)
    assert squared == pytest.approx(float(offset @ offset), rel=1e-12)
    torch.testing.assert_close(basis.gram(), flat @ flat.T, rtol=1e-12, atol=1e-12)
    basis.gram().zero_()
    assert float(basis.gram().trace()) > 0  # what is kept is nobody else's


def test_gram_and_projected_gradients_are_those_of_the_dense_matrix(generator):
    basis = task_vector_basis(BASE, TUNES, "layer") + task_vector_basis(BASE, TUNES, "model")
    floats = {name: tensor for name, tensor in BASE.items() if tensor.is_floating_point()}
    layout = Layout.of(floats)
    whole = [{name: d.get(name, torch.zeros_like(t)) for name, t in floats.items()} for d in basis.directions]
    V = torch.stack([layout.flatten(direction) for direction in whole], 1).double()
    assert torch.allclose(basis.gram(), V.T @ V)
    gradient = torch.randn(6, generator=generator, dtype=torch.float64)
    assert torch.allclose(basis.project_gradient(layout.unflatten(gradient)), V.T @ gradient)


def test_combine_serves_many_points_at_once():
    basis = task_vector_basis(BASE, TUNES, "layer")
    c = torch.eye(6, dtype=torch.float64)
    found = basis.combine(c, "h.0.w")
    assert found.shape == (6, 3)
    assert found[2].tolist() == [2.0] * 3
    assert not found[[0, 1, 4, 5]].any()


def test_gradient_directions_descend_and_have_the_groups_scale():
    like = task_vector_basis(BASE, TUNES, "layer")
    gradients = {
        "s": {"embed.w": torch.tensor([0.0, 5.0]), "h.0.w": torch.ones(3), "h.1.w": torch.zeros(1)},
        "t": {"embed.w": torch.tensor([1.0, 0.0]), "h.0.w": torch.zeros(3), "h.1.w": -torch.ones(1)},
    }
    basis = gradient_basis(gradients, like, "layer")
    assert [(label.group, label.task) for label in basis.labels] == [
        ("embed", "s"),
        ("embed", "t"),
        ("h.0", "s"),
        ("h.1", "t"),
    ]
    assert {label.kind for label in basis.labels} == {"gradient"}
    assert basis.directions[0]["embed.w"].tolist() == pytest.approx([0.0, -(2**0.5)])
    # Root mean square of the norms 2√3 and √3.
    assert float(basis.directions[2]["h.0.w"].norm()) == pytest.approx((7.5) ** 0.5)
    assert basis.directions[3]["h.1.w"].item() > 0


def test_tensors_that_were_frozen_in_every_finetune_stay_frozen():
    base = {"h.0.w": torch.zeros(2), "h.0.frozen": torch.zeros(2), "h.1.frozen": torch.zeros(3)}
    tunes = {"s": base | {"h.0.w": torch.ones(2)}, "t": base | {"h.0.w": -2 * torch.ones(2)}}
    gradients = {task: {name: torch.ones_like(tensor) for name, tensor in base.items()} for task in tunes}
    basis = gradient_basis(gradients, task_vector_basis(base, tunes, "layer"), "layer")
    assert [(label.group, label.task) for label in basis.labels] == [("h.0", "s"), ("h.0", "t")]
    assert all(set(direction) == {"h.0.w"} for direction in basis.directions)


def test_gradients_that_all_vanish_are_refused():
    like = task_vector_basis(BASE, TUNES, "model")
    zero = {name: torch.zeros_like(tensor) for name, tensor in BASE.items() if name != "n"}
    with pytest.raises(PosteriorError, match="the centre is already a stationary point"):
        gradient_basis({"s": zero, "t": zero}, like, "model")


def test_anchors_default_to_the_corners_and_are_forgotten_when_bases_are_joined():
    basis = task_vector_basis(BASE, TUNES, "model")
    moved = Basis(basis.directions, basis.labels, {"s": torch.tensor([0.5, 0.5])})
    assert moved.anchor("s").tolist() == [0.5, 0.5]
    assert moved.anchor("t").tolist() == [0.0, 1.0]
    assert (moved + basis).anchor("s").tolist() == [1.0, 0.0, 1.0, 0.0]


def test_own_directions_include_those_that_are_no_task_vectors():
    labels = (DirectionLabel("task_vector", "s"), DirectionLabel("gradient", "s"), DirectionLabel("gradient", "t"))
    basis = Basis(tuple({"w": torch.ones(1)} for _ in labels), labels)
    assert basis.own("s").tolist() == [1.0, 1.0, 0.0]
    assert basis.corner("s").tolist() == [1.0, 0.0, 0.0]


def test_labels_must_match_and_a_basis_is_not_empty():
    with pytest.raises(PosteriorError, match="1 directions but 0 labels"):
        Basis(({"w": torch.ones(1)},), ())
    with pytest.raises(PosteriorError, match="a basis needs at least one direction"):
        Basis((), ())
