"""Several runs of one training: MultiIVON, the mixture of their posteriors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from paretomerge.errors import TrainingError
from paretomerge.posteriors import Mixture
from paretomerge.training.loop import Finetuned, finetune
from paretomerge.training.recipe import TrainingRecipe
from paretomerge.types import Params, Problem, Weights


def finetune_runs(
    problem: Problem,
    start: Params,
    weights: Mapping[str, float] | Weights,
    recipe: TrainingRecipe = TrainingRecipe(),
    seeds: Sequence[int] = (0, 1, 2),
    on_step: Callable[[int, int, float], None] = lambda seed, step, loss: None,
) -> list[Finetuned]:
    """Finetune once per seed: the runs differ in the order of examples, in dropout and in IVON's noise.

    Args:
        problem: model and data.
        start: where every run starts.
        weights: `α`, on the simplex.
        recipe: the same for all runs.
        seeds: one per run, all different.
        on_step: called with the seed, the step and its loss.

    Raises:
        TrainingError: no seeds, a seed twice, or as `finetune`.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise TrainingError(f"every run needs a seed of its own, got {list(seeds)}: equal seeds give equal runs")
    return [_run(problem, start, weights, recipe, seed, on_step) for seed in seeds]


def mixture_of_runs(runs: Sequence[Finetuned]) -> Mixture:
    """`1/K Σ_k N(m_k, h_k^-1)` of the posteriors of `K` runs (MultiIVON, where IVON trained them), bare curvature.

    Posteriors that were fitted at the runs' parameters go to `Mixture.of_runs` instead.

    Raises:
        PosteriorError: no runs.
    """
    return Mixture.of_runs([run.posterior for run in runs if run.posterior is not None])


def _run(
    problem: Problem,
    start: Params,
    weights: Mapping[str, float] | Weights,
    recipe: TrainingRecipe,
    seed: int,
    on_step: Callable[[int, int, float], None],
) -> Finetuned:
    return finetune(problem, start, weights, recipe, seed, lambda step, loss: on_step(seed, step, loss))
