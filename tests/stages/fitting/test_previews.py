from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny import TASKS, import_problem, read_params

from paretomerge.curvature import FitDiagonal, FitIsotropic, FitSubspace, fit_curvatures
from paretomerge.errors import RecipeError
from paretomerge.merging import TaskArithmetic, merge
from paretomerge.stages import PreviewMethod, preview_models
from paretomerge.stages.fitting import previews
from paretomerge.testing import LinearRegressionTasks
from paretomerge.types import simplex_grid

GRID = simplex_grid(3, 3)


def test_previews_of_linear_regressions_are_exact(generator: torch.Generator) -> None:
    """Quadratic losses: merging at the corners' curvature is joint finetuning."""
    tasks = LinearRegressionTasks.random(3, 3, 20, generator)
    base = tasks.as_params(torch.zeros(3, dtype=torch.float64))
    finetunes = {task: tasks.as_params(tasks.finetune(t)) for t, task in enumerate(tasks.tasks)}
    method = PreviewMethod("exact", FitSubspace("model", "finetune", damping=0.0), strengths=(0.0,))
    preview = preview_models(tasks.problem(), base, finetunes, method, GRID)
    found = torch.stack([model["linear.weight"][0] for model in preview.models])
    # Three task vectors span the three dimensions.
    expected = torch.stack([tasks.minimiser(torch.from_numpy(row)) for row in GRID])
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-8)
    assert preview.ledger.evaluations == 0
    assert preview.strength == 0.0


def test_the_scale_of_task_arithmetic_is_the_strength(own: Path) -> None:
    problem = import_problem(own).problem()
    base = read_params(own / "base")
    finetunes = {task: read_params(own / f"ft-{task}") for task in TASKS}
    method = PreviewMethod("scaled", FitIsotropic(), TaskArithmetic(), (1.3,))
    preview = preview_models(problem, base, finetunes, method, GRID)
    for row, model in zip(GRID, preview.models, strict=True):
        expected = merge(finetunes, dict(zip(TASKS, row, strict=True)), rule=TaskArithmetic(1.3), base=base)
        for name in model:
            torch.testing.assert_close(model[name], expected[name], rtol=1e-6, atol=1e-7)


def test_strengths_are_chosen_on_validation_and_counted(own: Path) -> None:
    problem = import_problem(own).problem()
    splits: set[str] = set()

    def watched(task: str, split: str) -> object:
        splits.add(split)
        return import_problem(own).data(task, split)

    watching = type(problem)(problem.tasks, problem.build, watched)
    base = read_params(own / "base")
    finetunes = {task: read_params(own / f"ft-{task}") for task in TASKS}
    preview = preview_models(watching, base, finetunes, PreviewMethod("d", FitDiagonal(), strengths=(0.1, 1.0)), GRID)
    assert preview.strength in (0.1, 1.0)
    assert preview.ledger.evaluations == 2 * (len(GRID) - 3)
    assert splits == {"training", "validation"}


def test_methods_that_make_no_sense_are_refused() -> None:
    with pytest.raises(RecipeError, match="d: only subspace posteriors can be recentred"):
        PreviewMethod("d", FitDiagonal(), recentre_steps=1)
    with pytest.raises(RecipeError, match="give at least one strength"):
        PreviewMethod("d", strengths=())


def test_a_recentred_preview_costs_gradients_and_keeps_its_order(own: Path) -> None:
    problem = import_problem(own).problem()
    base = read_params(own / "base")
    finetunes = {task: read_params(own / f"ft-{task}") for task in TASKS}
    fit = FitSubspace("layer", enrich="none", centres=1)
    plain = PreviewMethod("p", fit, strengths=(0.1,))
    recentred = PreviewMethod("r", fit, strengths=(0.1,), recentre_steps=1)
    first = preview_models(problem, base, finetunes, plain, GRID[3:5])
    again = preview_models(problem, base, finetunes, recentred, GRID[3:5], curvatures=first.curvatures)
    assert again.ledger.gradient_passes > first.ledger.gradient_passes
    assert len(again.models) == 2
    assert np.isfinite([float(model["0.weight"].sum()) for model in again.models]).all()


def test_predicted_losses_hold_one_model_at_a_time(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred weightings of a large model are no hundred models in memory."""
    problem = import_problem(own).problem()
    finetunes = {task: read_params(own / f"ft-{task}") for task in TASKS}
    curvatures = fit_curvatures(problem, read_params(own / "base"), finetunes, FitDiagonal())
    alive: list[weakref.ref[Any]] = []
    most, make_each = [0], previews.merge_each

    class Model(dict[str, torch.Tensor]):
        """A mapping whose end can be seen."""

    def watched(*given: Any) -> Iterator[Model]:
        for made in make_each(*given):
            model = Model(made)
            alive.append(weakref.ref(model))
            most[0] = max(most[0], sum(ref() is not None for ref in alive))
            yield model
            del model

    monkeypatch.setattr(previews, "merge_each", watched)
    found = previews.coordinates_loss(curvatures, 0.1, GRID)
    assert len(alive) == len(GRID)
    assert most[0] <= 2
    models = merge(curvatures.posteriors(0.1), GRID)
    expected = [[loss.at(model) for loss in curvatures.losses.values()] for model in models]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
