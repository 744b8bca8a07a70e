from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.gaussians import FAMILIES, SHAPES, draw_gaussian

from paretomerge.curvature import FitDense, FitDiagonal, FitSubspace, fit_curvatures
from paretomerge.diagnoses import constant_guess, far_from_finetunes, posterior_distance
from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Expanded, Isotropic, Mixture, PredictedLoss
from paretomerge.testing import LinearRegressionTasks, random_params


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in ("isotropic", "product")])
def test_the_distance_is_the_quadratic_form_of_the_precision(family: str, generator: torch.Generator) -> None:
    known = draw_gaussian(family, generator)
    if family == "subspace":
        places = torch.randn(2, len(known.mean), generator=generator, dtype=torch.float64)
        here, there = (known.posterior.at(place) for place in places)  # type: ignore[attr-defined]
    else:
        here, there = (random_params(SHAPES, generator) for _ in range(2))  # type: ignore[arg-type]
    offset = known.coordinates(there) - known.coordinates(here)
    expected = float(offset @ known.precision @ offset) / 2
    assert posterior_distance(PredictedLoss(known.posterior, 0.7), here, there) == pytest.approx(expected, rel=1e-9)


def test_on_quadratic_losses_it_is_what_merging_costs(generator: torch.Generator) -> None:
    """Half the squared residuals: the distance from the finetune is the loss minus the finetune's, in nats."""
    tasks = LinearRegressionTasks.random(2, 4, 30, generator)
    finetunes = {name: tasks.as_params(tasks.finetune(t)) for t, name in enumerate(tasks.tasks)}
    base = tasks.as_params(torch.zeros(4, dtype=torch.float64))
    fits = (FitDense("linear"), FitSubspace("model", "finetune"))
    for fit in fits:
        losses = fit_curvatures(tasks.problem(), base, finetunes, fit).losses
        merged = (tasks.finetune(0) + 2 * tasks.finetune(1)) / 3
        for t, name in enumerate(tasks.tasks):
            cost = float(tasks.loss(t, merged) - tasks.loss(t, tasks.finetune(t)))
            found = posterior_distance(losses[name], finetunes[name], tasks.as_params(merged))
            assert found == pytest.approx(cost, rel=1e-6)


def test_an_expansion_is_measured_from_the_finetune_in_its_curvature(generator: torch.Generator) -> None:
    known = draw_gaussian("diagonal", generator)
    slope, here, there = (random_params(SHAPES, generator) for _ in range(3))  # type: ignore[arg-type]
    offset = known.coordinates(there) - known.coordinates(here)
    expected = float(offset @ known.precision @ offset) / 2
    expanded = Expanded(known.posterior, slope, here)
    assert posterior_distance(PredictedLoss(expanded, 0.0), here, there) == pytest.approx(expected, rel=1e-9)


def test_what_has_no_unit_or_no_single_metric_has_no_distance(generator: torch.Generator) -> None:
    here = random_params(SHAPES, generator)  # type: ignore[arg-type]
    diagonal = draw_gaussian("diagonal", generator).posterior
    for curvature in (Isotropic(here), Mixture([diagonal, diagonal], torch.zeros(2))):
        assert posterior_distance(PredictedLoss(curvature, 0.0), here, here) is None


def test_a_model_off_the_subspace_is_refused(generator: torch.Generator) -> None:
    known = draw_gaussian("subspace", generator)
    off = random_params(SHAPES, generator)  # type: ignore[arg-type]
    with pytest.raises(PosteriorError, match="outside the subspace"):
        posterior_distance(PredictedLoss(known.posterior, 0.0), off, off)


def test_other_tensors_of_a_checkpoint_do_not_matter(generator: torch.Generator) -> None:
    """Posteriors fitted on some of the parameters are asked about whole models, counters included."""
    base = {"w": torch.zeros(3), "steps": torch.tensor(7), "other": torch.zeros(2)}
    tune = {**base, "w": torch.ones(3), "other": torch.ones(2)}
    from paretomerge.posteriors import Diagonal

    loss = PredictedLoss(Diagonal({"w": torch.ones(3)}, {"w": torch.full((3,), 2.0)}), 0.0)
    assert posterior_distance(loss, tune, base) == pytest.approx(3.0)


def test_a_constant_guess_is_the_entropy_of_the_labels() -> None:
    labels = [torch.tensor([0, 0, 1]), torch.tensor([3])]
    expected = -(0.5 * math.log(0.5) + 2 * 0.25 * math.log(0.25))
    assert constant_guess(labels) == pytest.approx(expected)
    assert constant_guess([torch.tensor([2, 2])]) == 0.0


def test_positions_without_label_are_not_guessed() -> None:
    labels = [torch.tensor([[0, 1, -100], [1, 0, -100]])]
    assert constant_guess(labels, "causal") == pytest.approx(math.log(2))


def test_a_constant_guess_of_numbers_is_half_their_variance() -> None:
    targets = [torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.tensor([[4.0, 1.0]])]
    assert constant_guess(targets, "gaussian") == pytest.approx((4 + 0 + 4) / 3 / 2)


def test_far_from_every_finetune_is_a_warning_that_names_the_worst() -> None:
    points = np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]])
    distances = np.array([[2.2, 1.8], [3.0, 1.2], [0.0, 9.0]])
    [found] = far_from_finetunes(("a", "b"), points, distances, [2.0, 1.0])
    assert (found.signature, found.severity) == ("distance", "warning")
    assert found.evidence == pytest.approx({"ratio": 1.2, "median_ratio": 1.1, "far": 2 / 3})
    assert "2 of 3 merged models" in found.message
    assert "(0.25, 0.75) 1.2 times" in found.message
    assert "damping" in found.remedy


def test_near_one_finetune_is_near_enough() -> None:
    """Far from one task is what a trade-off is."""
    assert far_from_finetunes(("a", "b"), np.eye(2), np.array([[0.0, 50.0], [50.0, 0.9]]), [1.0, 1.0]) == ()


def test_a_task_that_has_learnt_nothing_has_nothing_to_lose() -> None:
    points, distances = np.array([[0.5, 0.5]]), np.array([[5.0, 0.5]])
    assert far_from_finetunes(("a", "b"), points, distances, [-0.1, 1.0]) == ()
    assert far_from_finetunes(("a", "b"), points, distances, [-0.1, 0.0]) == ()
    assert far_from_finetunes(("a", "b"), points[:0], distances[:0], [1.0, 1.0]) == ()


def test_flat_curvature_at_the_finetunes_sees_everything_as_near(generator: torch.Generator) -> None:
    """The sign's blind spot, which the page on diagnoses tells: it is silent where the posterior is too flat."""
    tasks = LinearRegressionTasks.random(2, 4, 30, generator)
    finetunes = {name: tasks.as_params(tasks.finetune(t)) for t, name in enumerate(tasks.tasks)}
    losses = fit_curvatures(tasks.problem(), finetunes["task0"], finetunes, FitDiagonal("ggn")).losses
    flat = PredictedLoss(
        type(losses["task0"].curvature)(
            finetunes["task0"],
            {name: 1e-6 * value for name, value in losses["task0"].curvature.precision.items()},  # type: ignore[union-attr]
        ),
        0.0,
    )
    distance = posterior_distance(flat, finetunes["task0"], finetunes["task1"])
    assert distance is not None
    assert far_from_finetunes(("task0",), np.ones((1, 1)), np.array([[distance]]), [0.1]) == ()


@given(unit=st.floats(1e-3, 1e3), seed=st.integers(0, 50))
def test_the_unit_of_the_losses_changes_nothing(unit: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, distances, stakes = rng.dirichlet([1, 1, 1], 4), rng.exponential(size=(4, 3)), rng.exponential(size=3)
    plain = far_from_finetunes(("a", "b", "c"), points, distances, list(stakes))
    other = far_from_finetunes(("a", "b", "c"), points, unit * distances, list(unit * stakes))
    assert len(plain) == len(other)
    for a, b in zip(plain, other, strict=True):
        assert b.evidence == pytest.approx(a.evidence)
