"""A task's directions reach into a merge as far as the task has weight."""

from __future__ import annotations

import pytest
import torch

from paretomerge.merging import MergedPrecision, collect_inputs, merge_coordinates, sample_merged
from paretomerge.posteriors import Basis, DirectionLabel, Lending, LendingCorrection, Subspace, damp

TASKS = ("a", "b", "c")
LENGTH = 8


def positive(size, seed):
    root = torch.randn(size, size + 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return root @ root.T


def fitted(labels=TASKS * 2, anchors=True):
    generator = torch.Generator().manual_seed(5)
    size = len(labels)
    directions = tuple({"w": torch.randn(LENGTH, generator=generator, dtype=torch.float64)} for _ in labels)
    named = tuple(DirectionLabel("task_vector" if task else "other", task) for task in labels)
    own = {task: torch.tensor([label == task for label in labels], dtype=torch.float64) for task in TASKS}
    centres = {task: own[task] * torch.rand(size, generator=generator, dtype=torch.float64) for task in TASKS}
    basis = Basis(directions, named, centres if anchors else {})
    origin = {"w": torch.zeros(LENGTH, dtype=torch.float64)}
    return {
        task: Subspace(origin, basis, positive(size, number), torch.randn(size, generator=generator).double())
        for number, task in enumerate(TASKS)
    }


def plainly_damped(bare, relative):
    """The ridge that does not know the weights."""
    scale = torch.stack([posterior.precision.diagonal() for posterior in bare.values()]).mean(0)
    return {
        task: posterior.with_ridge(relative * scale, posterior.basis.anchor(task)) for task, posterior in bare.items()
    }


@pytest.mark.parametrize("weights", [(1 / 3, 1 / 3, 1 / 3), (0.5, 0.3, 0.2), (0.9, 0.05, 0.05)])
def test_the_ridge_is_on_what_each_task_brings(weights):
    """`c = Σ α_t u_t` with `u_t` on the task's own coordinates, minimised over `u` by an independent system."""
    bare, relative = fitted(), 0.3
    found = merge_coordinates(damp(bare, relative), list(weights))[0]
    scale = torch.stack([posterior.precision.diagonal() for posterior in bare.values()]).mean(0)
    owner = torch.tensor([weights[TASKS.index(label.task)] for label in bare["a"].basis.labels], dtype=torch.float64)
    A = sum(weight * posterior.precision for weight, posterior in zip(weights, bare.values(), strict=True))
    eta = sum(weight * posterior.precision_mean for weight, posterior in zip(weights, bare.values(), strict=True))
    centre = sum(bare["a"].basis.anchor(task) for task in TASKS)
    spread = torch.diag(owner)  # c = spread u
    ridge = owner * relative * scale / 3
    brought = torch.linalg.solve(spread @ A @ spread + torch.diag(ridge), spread @ eta + ridge * centre)
    assert torch.allclose(found, spread @ brought, rtol=1e-10)


def test_at_equal_weights_it_is_the_ordinary_ridge():
    bare = fitted()
    one, other = (merge_coordinates(found, [1 / 3] * 3)[0] for found in (damp(bare, 0.3), plainly_damped(bare, 0.3)))
    assert torch.allclose(one, other, rtol=1e-10)


def test_a_task_without_weight_lends_nothing_and_the_rest_is_the_merge_without_it():
    bare = fitted()
    found = merge_coordinates(damp(bare, 0.3), [0.6, 0.4, 0.0])[0]
    own = bare["a"].basis.own("c").bool()
    assert torch.equal(found[own], torch.zeros(2, dtype=torch.float64))
    near = merge_coordinates(damp(bare, 0.3), [0.6 - 1e-5, 0.4, 1e-5])[0]
    assert torch.allclose(found, near, atol=1e-3)
    assert not torch.equal(found, near)


def test_without_a_ridge_nothing_is_lent():
    bare = fitted()
    weights = [0.7, 0.3, 0.0]
    undamped = merge_coordinates(damp(bare, 0.0), weights)[0]
    assert torch.allclose(undamped, merge_coordinates(bare, weights)[0], rtol=1e-12)
    assert bool((undamped != 0).all())


def test_directions_of_nobody_keep_the_ordinary_ridge():
    bare = fitted(labels=("", "", ""))
    weights = [0.7, 0.3, 0.0]
    one, other = (merge_coordinates(found, weights)[0] for found in (damp(bare, 0.3), plainly_damped(bare, 0.3)))
    assert torch.allclose(one, other, rtol=1e-12)
    assert bool((one != 0).all())


def test_a_posterior_by_itself_is_not_changed_by_what_it_lends():
    bare = fitted()
    for task, posterior in damp(bare, 0.3).items():
        plain = plainly_damped(bare, 0.3)[task]
        assert torch.allclose(posterior.precision, plain.precision)
        assert torch.allclose(posterior.coordinates, plain.coordinates)


def test_the_correction_leaves_absent_coordinates_uncoupled_and_does_not_write_into_its_input():
    lending = Lending(torch.tensor([2.0, 0.0]).double(), torch.tensor([1.0, 0.0]).double())
    other = Lending(torch.tensor([0.0, 4.0]).double(), torch.tensor([0.0, 3.0]).double())
    correction = LendingCorrection.of([lending, None, other], torch.tensor([0.0, 0.2, 0.8]))
    total = torch.tensor([[4.0, 1.0], [1.0, 2.0]]).double()
    found = correction.precision(total)
    # e = 4 (1 / (2 · 0.8) - 1)
    assert torch.allclose(found, torch.tensor([[3.0, 0.0], [0.0, 2.0 - 1.5]]).double())
    assert torch.allclose(correction.pull, torch.tensor([0.0, 0.8 * -1.5 * 3]).double())
    assert torch.equal(total, torch.tensor([[4.0, 1.0], [1.0, 2.0]]).double())
    assert correction.right(torch.ones(2).double()).tolist() == [0.0, 1.0]


def test_members_that_lend_nothing_need_no_correction():
    assert LendingCorrection.of([None, None], torch.tensor([0.5, 0.5])) is None


def test_samples_of_a_merge_do_not_move_along_the_directions_of_a_task_without_weight():
    bare = fitted(labels=TASKS)
    generator = torch.Generator().manual_seed(0)
    drawn = sample_merged(damp(bare, 0.3), [0.6, 0.4, 0.0], generator)["w"]
    directions = torch.stack([direction["w"] for direction in bare["a"].basis.directions], 1)
    solved = torch.linalg.lstsq(directions, drawn[:, None]).solution[:, 0]
    assert abs(float(solved[2])) < 1e-10
    assert float(solved[:2].abs().min()) > 1e-3


def test_the_merged_precision_is_the_one_the_merge_solves_with():
    """A change of the tasks' `η` moves the merge by `S^-1` times the change."""
    bare = fitted(labels=TASKS)
    weights, change = [0.5, 0.3, 0.2], torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    moved = {
        task: Subspace(given.origin, given.basis, given.precision, given.precision_mean + change)
        for task, given in bare.items()
    }
    before, after = (merge_coordinates(damp(found, 0.3), weights)[0] for found in (bare, moved))
    directions = torch.stack([direction["w"] for direction in bare["a"].basis.directions], 1)
    gradient = torch.linalg.pinv(directions).T @ change  # Vᵀ g = change
    step = MergedPrecision.of(collect_inputs(damp(bare, 0.3)), weights).solve({"w": gradient})["w"]
    assert torch.allclose(step, directions @ (after - before), rtol=1e-9)
