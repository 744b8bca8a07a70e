"""What scores do when the parameters are drawn from the merged posterior: the third part of a front's uncertainty.

A merge is the mean of `N(μ_α, (N S_α)^-1)`. Where it stands for a finetune that would have ended elsewhere in that
region (a preview), models drawn from it show how far the scores could move, and that the mean is usually better than
what surrounds it. A checkpoint that is shipped as it is has no such uncertainty.

Shapes: `S` draws, `K` points, `T` tasks, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from paretomerge.curvature import FitIsotropic
from paretomerge.errors import DataError, RecipeError
from paretomerge.merging import PosteriorMerge, sample_merged
from paretomerge.runs import evaluation_key
from paretomerge.stages.fitting.fit import Fitted
from paretomerge.stages.scoring.models import Progress, score_models, silent
from paretomerge.types import Objective, Scores, Split


@dataclass(frozen=True, eq=False)
class SampledScores:
    """Scores of models drawn from the merged posterior at `K` points.

    Attributes:
        points: `[K, T]`, task weights.
        values: `[S, K, M]`; draw number `s` is the same noise at every point, so that points move together.
        objectives: the `M` objectives.
        examples: the number of examples that the posterior stood for.
    """

    points: np.ndarray
    values: np.ndarray
    objectives: tuple[Objective, ...]
    examples: float

    @property
    def stdev(self) -> np.ndarray:
        """`[K, M]`, standard deviations over the draws, at the points themselves."""
        return np.asarray(self.values.std(axis=0, ddof=1))

    def shift(self, merged: Scores) -> np.ndarray:
        """`[K, M]`, how far the drawn models' mean score is from that of the merged models at the same points.

        Positive for losses as a rule: `½ tr(curvature · covariance)` for a quadratic one.

        Raises:
            DataError: scores at other points, or of other objectives.
        """
        if merged.objectives != self.objectives or not np.array_equal(merged.weights, self.points):
            raise DataError("the merged models' scores are of other points or objectives than those that were drawn")
        return np.asarray(self.values.mean(axis=0) - merged.values)

    def stdev_at(self, points: np.ndarray) -> np.ndarray:
        """`[K', M]`, standard deviations at other points: variances averaged with weights `1 / distance²`.

        Exact at the points themselves (Shepard, 1968, A two-dimensional interpolation function for irregularly-spaced
        data); what `front_uncertainty` takes as `parameters`.
        """
        wanted = np.asarray(points, dtype=np.float64).reshape(-1, self.points.shape[1])
        squared = ((wanted[:, None] - self.points) ** 2).sum(axis=2)
        here = squared <= 1e-18
        near = np.where(here.any(axis=1, keepdims=True), here, 1.0 / np.where(here, 1.0, squared))
        return np.asarray(np.sqrt(near / near.sum(axis=1, keepdims=True) @ self.stdev**2))


def score_sampled(
    fitted: Fitted,
    points: np.ndarray,
    split: Split,
    *,
    draws: int = 8,
    examples: float | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> SampledScores:
    """Score `draws` models drawn at each of the task weights `points [K, T]`, through the run's journal.

    It costs `draws · K` evaluations, which the ledger charges to "parameters".

    Args:
        fitted: the posteriors of a run.
        points: task weights; a few along the front are enough (see `SampledScores.stdev_at`).
        split: whose examples models are scored on.
        draws: models per point, at least 2.
        examples: how many examples the posterior stands for; by default the mean size of a task's examples that
            curvature was measured on. Spreads shrink with its root.
        seed: of the draws.
        progress: called per evaluation.

    Raises:
        DataError: fewer than two draws.
        PosteriorError: a merged precision that is singular (see `sample_merged`).
        RecipeError: a run whose models are not posterior merges, or that measured no curvature.
        WeightsError: points outside the simplex.
    """
    if draws < 2:
        raise DataError(f"{draws} draws of the parameters: a spread needs at least 2")
    study = fitted.study
    _require_precision(fitted)
    count = _counted_examples(fitted) if examples is None else examples
    weights = np.asarray(points, dtype=np.float64).reshape(-1, len(study.tasks))
    evaluator = study.evaluator_digest(split)
    jobs = [(draw, row) for draw in range(draws) for row in weights]
    keys = [
        evaluation_key(
            model=fitted.digest, point=row, drawn=[seed, draw], examples=count, split=split, evaluator=evaluator
        )
        for draw, row in jobs
    ]
    with study.folder.open_journal() as journal:
        scores = score_models(
            journal,
            "parameters",
            keys,
            np.array([row for _, row in jobs]).reshape(-1, len(study.tasks)),
            lambda numbers: sampled_models(fitted, [jobs[number] for number in numbers], count, seed),
            study.evaluator(split),
            study.objectives,
            study.tasks,
            "merged",
            progress,
        )
    values = scores.values.reshape(draws, len(weights), len(study.objectives))
    return SampledScores(weights, values, tuple(study.objectives), float(count))


def sampled_models(
    fitted: Fitted, jobs: Sequence[tuple[int, np.ndarray]], examples: float, seed: int = 0
) -> Iterator[dict[str, Tensor]]:
    """Models for `(draw, task weights)` pairs, one after the other; a draw's noise does not depend on the weights."""
    posteriors = fitted.curvatures.posteriors(fitted.damping)
    for draw, row in jobs:
        stream = int(np.random.SeedSequence([seed, draw]).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator().manual_seed(stream)
        yield sample_merged(posteriors, row, generator, examples=examples, base=fitted.study.base)


def _require_precision(fitted: Fitted) -> None:
    if not isinstance(fitted.method.rule, PosteriorMerge):
        raise RecipeError(
            f"models of the rule {fitted.study.recipe.rule.name!r} are not drawn from a posterior: parameters have "
            "an uncertainty only where posteriors are merged (leave rule out)"
        )
    if isinstance(fitted.method.fit, FitIsotropic):
        raise RecipeError(
            "isotropic posteriors measured no curvature, so nothing says how far parameters spread: fit another "
            "family (posterior.family: subspace, diagonal, …)"
        )


def _counted_examples(fitted: Fitted) -> float:
    """Examples per task of the split that curvature was measured on."""
    problem = fitted.study.require_problem("counting the examples of a posterior (or give examples=…)")
    return float(np.mean([problem.count_examples(task, fitted.method.split) for task in fitted.study.tasks]))
