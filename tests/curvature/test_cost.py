"""What a fit will cost is told before it starts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from paretomerge.curvature import FitDense, FitDiagonal, FitIsotropic, FitKronecker, FitSubspace, cost, estimate_cost
from paretomerge.curvature.fit import fit_curvatures
from paretomerge.errors import DataError, RecipeError
from paretomerge.types import Problem

TASKS = ("a", "b")
SIZES = {"a": 50, "b": 34}


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def data(task: str, split: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(TASKS.index(task))
    inputs = torch.randn(SIZES[task], 3, generator=generator)
    return list(zip(inputs.split(20), (inputs[:, 0] > 0).long().split(20), strict=True))


PROBLEM = Problem(TASKS, build, data)


def models() -> tuple[dict[str, torch.Tensor], dict[str, dict[str, torch.Tensor]]]:
    torch.manual_seed(0)
    base = build().state_dict()
    return base, {task: {name: t + 0.1 * torch.randn_like(t) for name, t in base.items()} for task in TASKS}


@pytest.mark.parametrize("examples", [None, 30, 2])
@pytest.mark.parametrize(
    "method",
    [
        FitDiagonal(),
        FitDiagonal(labels="empirical", location="segment"),
        FitKronecker(),
        FitKronecker(corrected=False),
        FitDense(parameters="^2"),
        FitSubspace(),
        FitSubspace(groups="model", enrich="none", centres=1),
        FitSubspace(groups="layer", enrich="scaled_gradient", centres=2),
        FitSubspace(location="finetune"),
        FitSubspace(gradient_examples=40),
        FitSubspace(gradient_examples=3),
    ],
)
def test_passes_are_counted_exactly(method: object, examples: int | None) -> None:
    """A fit costs what was stated, whatever the family and however many examples it takes."""
    method = replace(method, examples=examples)  # type: ignore[type-var]
    base, finetunes = models()
    stated = estimate_cost(PROBLEM, base, finetunes, method)  # type: ignore[arg-type]
    found = fit_curvatures(PROBLEM, base, finetunes, method)  # type: ignore[arg-type]
    assert stated.gradient_passes == found.ledger.gradient_passes
    assert dict(stated.examples) == SIZES


def test_of_three_validated_centres_the_most_they_can_take_is_stated() -> None:
    base, finetunes = models()
    method = FitSubspace("tensor", enrich="none", centres=3)
    stated = estimate_cost(PROBLEM, base, finetunes, method).gradient_passes
    unconditional = fit_curvatures(PROBLEM, base, finetunes, replace(method, validated=False))
    assert stated == unconditional.ledger.gradient_passes

    def unlike(task: str, split: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Validation data on which no merge is better than another: the second centre is left out."""
        return [(x if split == "training" else x * torch.nan, y) for x, y in data(task, split)]

    problem = Problem(TASKS, build, unlike)
    assert fit_curvatures(problem, base, finetunes, method).ledger.gradient_passes == stated * 2 // 3
    assert estimate_cost(problem, base, finetunes, method).gradient_passes == stated


def test_time_is_that_of_the_trials_at_the_real_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that ticks per example: a second to start, two per example of the split, three of the curvature."""

    class Clock:
        now = 0.0

    def slow_fit(problem: Problem, base: object, finetunes: object, method: FitDiagonal, *rest: object) -> object:
        count = sum(len(targets) for _, targets in problem.batches("a", "training"))
        Clock.now += 1.0 + 2.0 * count + 3.0 * (method.examples or 0)
        return fit_curvatures(problem, *models(), method)  # type: ignore[arg-type]

    monkeypatch.setattr(cost, "fit_curvatures", slow_fit)
    monkeypatch.setattr(cost.time, "perf_counter", lambda: Clock.now)
    base, finetunes = models()
    limited = estimate_cost(PROBLEM, base, finetunes, FitDiagonal(examples=20))
    assert limited.seconds == pytest.approx(1.0 + 2.0 * 42 + 3.0 * 20)  # 42 examples on average
    whole = estimate_cost(PROBLEM, base, finetunes, FitDiagonal())
    assert whole.seconds == pytest.approx(1.0 + 5.0 * 42)


def test_memory_is_that_of_models_and_posteriors_each_counted_once() -> None:
    base, finetunes = models()
    size = sum(t.numel() * t.element_size() for t in base.values())
    assert estimate_cost(PROBLEM, base, finetunes, FitIsotropic()).memory == 3 * size
    assert estimate_cost(PROBLEM, base, finetunes, FitDiagonal()).memory == 5 * size  # means are the finetunes
    dense = estimate_cost(PROBLEM, base, finetunes, FitDense(parameters="^2")).memory
    assert dense == 3 * size + 2 * 8 * 10 * 10
    # One basis of two task vectors serves both tasks.
    subspace = estimate_cost(PROBLEM, base, finetunes, FitSubspace("model", enrich="none", centres=1)).memory
    assert subspace == 3 * size + 2 * size + 2 * 8 * 2 * 2


def test_isotropic_posteriors_cost_nothing() -> None:
    base, finetunes = models()
    stated = estimate_cost(PROBLEM, base, finetunes, FitIsotropic())
    assert (stated.gradient_passes, stated.seconds) == (0, 0.0)


def test_a_handful_of_examples_is_enough() -> None:
    few = Problem(TASKS, build, lambda task, split: [(torch.ones(1, 3), torch.zeros(1, dtype=torch.long))])
    base, finetunes = models()
    found = fit_curvatures(few, base, finetunes, FitDiagonal())
    assert estimate_cost(few, base, finetunes, FitDiagonal()).gradient_passes == found.ledger.gradient_passes
    with pytest.raises(DataError, match="no examples"):
        estimate_cost(Problem(TASKS, build, lambda task, split: []), base, finetunes, FitDiagonal())


def test_a_number_of_examples_that_is_not_positive_has_no_cost() -> None:
    base, finetunes = models()
    with pytest.raises(RecipeError, match="examples counts examples of each task: at least 1"):
        estimate_cost(PROBLEM, base, finetunes, FitSubspace(examples=0))
