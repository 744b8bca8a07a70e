"""Passes are counted as the ledger counts them: every family is fitted for real and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from paretomerge.curvature import (
    FitDense,
    FitDiagonal,
    FitIsotropic,
    FitKronecker,
    FitLowRank,
    FitSubspace,
    fit_curvatures,
)
from paretomerge.planning import ModelSize, Passes, Work, fit_demand, trace_passes
from paretomerge.planning.tracing import on_meta
from paretomerge.posteriors import group_names
from paretomerge.types import Problem

TASKS = ("a", "b")
SIZES = {"training": 12, "validation": 8, "test": 4}


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def data(task: str, split: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(len(split) + TASKS.index(task))
    count = SIZES[split]
    inputs = torch.randn(count, 4, generator=generator)
    return list(zip(inputs.split(5), torch.randint(0, 3, (count,), generator=generator).split(5), strict=True))


PROBLEM = Problem(TASKS, build, data)  # type: ignore[arg-type]

METHODS = [
    FitIsotropic(),
    FitDiagonal(),
    FitDiagonal(labels="empirical", examples=7),
    FitDiagonal(labels="ggn"),
    FitDiagonal(location="segment"),
    FitDiagonal(location="posterior", samples=3),
    FitKronecker(),
    FitKronecker(corrected=False),
    FitSubspace(validated=False),
    FitSubspace(centres=1),
    FitSubspace(centres=1, enrich="none"),
    FitSubspace(centres=3, validated=False, examples=6),
    FitSubspace(groups="model", centres=1, gradient_examples=5),
    FitSubspace(groups="model", centres=1, enrich="none"),
    FitSubspace(groups="tensor", location="finetune"),
    FitSubspace(groups="model", location="finetune"),
]


def params(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    module = build()
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value + 0.1 * seed * torch.randn(value.shape, generator=generator)
        for name, value in module.state_dict().items()
    }


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_gradient_passes_are_those_of_the_ledger(method: Any) -> None:
    """Exactly, also of several centres, of few examples and of both modes of differentiation."""
    base, finetunes = params(0), {"a": params(1), "b": params(2)}
    groups = len(group_names(list(base), getattr(method, "groups", "model")))
    passes = trace_passes(on_meta(build), PROBLEM.batches("a", "training"), [5, 5, 2])
    found = fit_demand(method, ModelSize.of(base), passes, 2, groups, 12, 8)
    real = fit_curvatures(PROBLEM, base, finetunes, method)
    assert found.gradient_passes == real.ledger.gradient_passes
    if not getattr(method, "validated", False):
        assert found.evaluations == real.ledger.evaluations


def test_validated_centres_are_counted_as_if_they_were_measured() -> None:
    """Each costs an evaluation."""
    passes = Passes(Work(1), Work(3), 0, 3, 1, 4)
    assert fit_demand(FitSubspace(), ModelSize.of(params(0)), passes, 2, 2, 12, 8).evaluations == 3


@pytest.mark.parametrize("method", [FitLowRank(rank=3), FitDense()])
def test_passes_that_must_converge_are_said_to_be_rough(method: Any) -> None:
    """And are of the order of the real ones."""
    base, finetunes = params(0), {"a": params(1), "b": params(2)}
    passes = trace_passes(on_meta(build), PROBLEM.batches("a", "training"), [5, 5, 2])
    found = fit_demand(method, ModelSize.of(base), passes, 2, 1, 12, 8)
    real = fit_curvatures(PROBLEM, base, finetunes, method).ledger.gradient_passes
    assert not found.exact
    assert real / 3 < found.gradient_passes < 3 * real


@pytest.mark.parametrize(
    ("method", "tolerance"),
    [
        (FitSubspace(validated=False), 0.1),
        (FitSubspace(groups="model", validated=False), 0.1),
        (FitDiagonal(), 0.1),
        (FitKronecker(), 0.3),
    ],
    ids=repr,
)
def test_what_is_stored_is_as_large_as_said(method: Any, tolerance: float, tmp_path: Path) -> None:
    """The bytes of the posteriors' tensors, headers aside."""
    from paretomerge.checkpoints import save_posterior

    def wide() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3))

    problem = Problem(TASKS, wide, data)  # type: ignore[arg-type]
    torch.manual_seed(0)
    base = wide().state_dict()
    finetunes = {task: {n: v + 0.01 * torch.randn(v.shape) for n, v in base.items()} for task in TASKS}
    groups = len(group_names(list(base), getattr(method, "groups", "model")))
    real = fit_curvatures(problem, base, finetunes, method)
    for task, posterior in real.posteriors().items():
        save_posterior(tmp_path / f"{task}.safetensors", posterior)
    stored = sum(file.stat().st_size for file in tmp_path.iterdir())
    demand = fit_demand(method, ModelSize.of(base), Passes(Work(), Work(), 0, 3, 1, 4), 2, groups, 12, 8)
    assert demand.stored == pytest.approx(stored, rel=tolerance)


def test_more_directions_cost_more_and_few_outputs_go_in_reverse() -> None:
    """The cheaper mode is taken: with three outputs, hundreds of directions cost no more passes."""
    size, passes = ModelSize.of(params(0)), Passes(Work(100), Work(300), 0, 3, 1, 4)
    few = fit_demand(FitSubspace(groups="model", centres=1, enrich="none"), size, passes, 2, 1, 10)
    many = fit_demand(FitSubspace(centres=1, enrich="none"), size, passes, 2, 50, 10)
    assert few.gradient_passes == 2 * 10 * (1 + 2)
    assert many.gradient_passes == 2 * 10 * (1 + 3)


def test_without_examples_memory_is_known_all_the_same() -> None:
    """Passes are not."""
    found = fit_demand(FitDiagonal(), ModelSize.of(params(0)), None, 2, 1, 0)
    assert found.gradient_passes == 0
    assert found.stored == 2 * 2 * 4 * 51
