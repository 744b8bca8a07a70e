from __future__ import annotations

import pytest
import torch

from paretomerge.errors import PosteriorError, TrainingError
from paretomerge.testing import LinearRegressionTasks
from paretomerge.training import TrainingRecipe, finetune, finetune_runs, mixture_of_runs
from paretomerge.types import Params

RECIPE = TrainingRecipe(steps=4, examples_per_task=4, optimizer="ivon")
ALPHA = {"task0": 0.5, "task1": 0.5}


def _tasks(generator: torch.Generator) -> tuple[LinearRegressionTasks, Params]:
    tasks = LinearRegressionTasks.random(2, 3, 10, generator)
    return tasks, tasks.as_params(torch.zeros(3, dtype=torch.float64))


def test_each_run_is_the_finetune_of_its_seed(generator: torch.Generator) -> None:
    tasks, start = _tasks(generator)
    seen: list[tuple[int, int, float]] = []
    runs = finetune_runs(tasks.problem(), start, ALPHA, RECIPE, (4, 2), lambda *event: seen.append(event))
    for run, seed in zip(runs, (4, 2), strict=True):
        alone = finetune(tasks.problem(), start, ALPHA, RECIPE, seed)
        assert run.history == alone.history
        assert torch.equal(run.params["linear.weight"], alone.params["linear.weight"])
        assert tuple(loss for other, _, loss in seen if other == seed) == alone.history
    assert runs[0].history != runs[1].history
    assert [step for _, step, _ in seen] == [0, 1, 2, 3] * 2


def test_the_mixture_has_the_posterior_of_every_run_in_equal_parts(generator: torch.Generator) -> None:
    tasks, start = _tasks(generator)
    runs = finetune_runs(tasks.problem(), start, ALPHA, RECIPE, (0, 1, 2))
    mixture = mixture_of_runs(runs)
    assert [component is run.posterior for component, run in zip(mixture.components, runs, strict=True)] == [True] * 3
    expected = torch.stack([run.params["linear.weight"] for run in runs]).mean(0)
    torch.testing.assert_close(mixture.mean["linear.weight"], expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("seeds", [(), (1, 2, 1)])
def test_runs_need_seeds_of_their_own(seeds: tuple[int, ...], generator: torch.Generator) -> None:
    tasks, start = _tasks(generator)
    with pytest.raises(TrainingError, match="a seed of its own"):
        finetune_runs(tasks.problem(), start, ALPHA, RECIPE, seeds)


def test_no_runs_are_no_mixture() -> None:
    with pytest.raises(PosteriorError):
        mixture_of_runs([])
