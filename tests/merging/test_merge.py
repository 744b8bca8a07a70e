from __future__ import annotations

import numpy as np
import pytest
import torch

from paretomerge.checkpoints import open_checkpoint, write_params
from paretomerge.errors import AlignmentError, PosteriorError, WeightsError
from paretomerge.merging import Averaging, TaskArithmetic, merge
from paretomerge.posteriors import Diagonal, Isotropic
from paretomerge.testing import LinearRegressionTasks
from paretomerge.types import Coefficients, Weights, simplex_grid

A, B = {"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([0.0, 2.0])}


@pytest.mark.parametrize(
    "weights",
    [
        {"b": 0.75, "a": 0.25},
        [0.25, 0.75],
        np.array([0.25, 0.75]),
        torch.tensor([0.25, 0.75]),
        Weights(("b", "a"), [0.75, 0.25]),
    ],
)
def test_weights_come_in_many_forms(weights):
    assert merge({"a": A, "b": B}, weights)["w"].tolist() == [0.25, 1.5]


def test_a_batch_gives_a_list_and_one_weighting_gives_parameters():
    assert isinstance(merge({"a": A, "b": B}, [[0.5, 0.5]]), list)
    assert isinstance(merge({"a": A, "b": B}, [0.5, 0.5]), dict)
    coefficients = Coefficients(("a", "b"), [[[1.0, 0.0]], [[0.0, -1.0]]])
    found = merge({"a": A, "b": B}, coefficients, rule=TaskArithmetic(), base={"w": torch.zeros(2)})
    assert [merged["w"].tolist() for merged in found] == [[1.0, 0.0], [0.0, -2.0]]


def test_diagonal_posteriors_on_disk_merge_to_the_exact_minimiser(tmp_path):
    """Everything through files: parameters and precisions are written, opened lazily, and merged."""
    generator = torch.Generator().manual_seed(4)
    inputs = tuple(
        torch.linalg.qr(torch.randn(20, 9, generator=generator, dtype=torch.float64))[0]
        * torch.rand(9, generator=generator, dtype=torch.float64)
        for _ in range(3)
    )
    targets = tuple(torch.randn(20, generator=generator, dtype=torch.float64) for _ in range(3))
    regression = LinearRegressionTasks(inputs, targets)
    posteriors = {}
    for t, task in enumerate(regression.tasks):
        write_params(tmp_path / task, regression.as_params(regression.finetune(t)))
        write_params(tmp_path / f"{task}-precision", regression.as_params(regression.hessians[t].diagonal()))
        posteriors[task] = Diagonal(open_checkpoint(tmp_path / task), open_checkpoint(tmp_path / f"{task}-precision"))
    grid = simplex_grid(3, 4)
    for number, (weights, merged) in enumerate(zip(grid, merge(posteriors, grid), strict=True)):
        write_params(tmp_path / f"merged-{number}", merged)
        found = open_checkpoint(tmp_path / f"merged-{number}")["linear.weight"][0]
        truth = regression.minimiser(torch.from_numpy(weights))
        assert float((found - truth).norm() / truth.norm()) < 1e-9


def test_the_base_gives_order_dtypes_and_what_no_posterior_covers():
    base = {
        "frozen": torch.tensor([7.0]),
        "w": torch.zeros(2, dtype=torch.bfloat16),
        "steps": torch.tensor(3),
    }
    merged = merge({"a": A, "b": B}, [0.5, 0.5], base=base)
    assert list(merged) == ["frozen", "w", "steps"]
    assert merged["w"].dtype == torch.bfloat16
    assert merged["frozen"].item() == 7.0
    assert merged["steps"].item() == 3
    merged["frozen"].fill_(0.0)
    assert base["frozen"].item() == 7.0


def test_without_a_base_integers_come_from_the_first_task():
    tasks = {task: {"w": torch.ones(1), "steps": torch.tensor(step)} for task, step in (("a", 1), ("b", 2))}
    assert merge(tasks, [0.0, 1.0])["steps"].item() == 1


def test_finetunes_of_different_dtypes_are_summed_in_the_wider():
    tasks = {"a": {"w": torch.tensor([1.0], dtype=torch.bfloat16)}, "b": {"w": torch.tensor([1e-9]).double()}}
    for rule in (Averaging(), None):
        chosen = {"rule": rule} if rule else {}
        found = merge(tasks, [0.5, 0.5], base={"w": torch.zeros(1).double()}, **chosen)["w"]
        assert found.item() == pytest.approx(0.5 + 0.5e-9, rel=1e-14)


def test_a_model_of_scalars_and_one_of_nothing_merge():
    tasks = {task: {"s": torch.tensor(value), "z": torch.zeros(0, 3)} for task, value in (("a", 1.0), ("b", 3.0))}
    merged = merge(tasks, [0.25, 0.75])
    assert merged["s"].item() == 2.5
    assert merged["s"].shape == ()
    assert merged["z"].shape == (0, 3)
    empty = {task: {"z": torch.zeros(2, 0)} for task in "ab"}
    assert merge(empty, [[0.5, 0.5]] * 3)[2]["z"].shape == (2, 0)


def test_weights_outside_the_domain_are_refused():
    for weights, message in (
        ([0.5, 0.6], "weights sum to 1.1, not 1: a=0.5, b=0.6"),
        ([1.5, -0.5], "weights are negative: a=1.5, b=-0.5"),
        ({"a": 1.0}, "no weight for task 'b': give one for each of a, b"),
        ({"a": 0.5, "bb": 0.5}, r"unknown task 'bb' \(did you mean 'b'\?\)"),
        (Coefficients(("a", "b"), [[1.0, 0.0]]), "PosteriorMerge takes task weights, got scaling coefficients"),
    ):
        with pytest.raises(WeightsError, match=message):
            merge({"a": A, "b": B}, weights)


def test_posteriors_that_do_not_fit_are_refused():
    with pytest.raises(PosteriorError, match="nothing to merge: give at least one task"):
        merge({}, [])
    with pytest.raises(PosteriorError, match="different families cannot be merged: isotropic and diagonal"):
        merge({"a": A, "b": Diagonal(B, {"w": torch.ones(2)})}, [0.5, 0.5])
    with pytest.raises(PosteriorError, match="different parameters, first difference at 'w'"):
        merge({"a": A, "b": {"w": torch.zeros(3)}}, [0.5, 0.5])
    with pytest.raises(PosteriorError, match="different families cannot be merged"):
        merge({"a": A}, [0.5], prior=Diagonal(B, {"w": torch.ones(2)}))
    with pytest.raises(PosteriorError, match="task 'b' is given as str: give a posterior, or parameters"):
        merge({"a": A, "b": "path/to/model"}, [0.5, 0.5])


def test_a_base_that_does_not_fit_is_refused():
    with pytest.raises(AlignmentError, match="the base lacks 1 tensors of the finetunes, first 'w'"):
        merge({"a": A}, [1.0], base={"v": torch.zeros(2)})
    with pytest.raises(AlignmentError, match=r"'w' has shape \[3\] in the base and \[2\] in the finetunes"):
        merge({"a": A}, [1.0], base={"w": torch.zeros(3)})


def test_a_prior_lifts_the_simplex():
    assert merge({"a": A}, [0.5], prior=Isotropic({"w": torch.zeros(2)}))["w"].tolist() == [0.5, 0.0]
    with pytest.raises(WeightsError, match="or give a prior"):
        merge({"a": A}, [0.5])
