"""`front`: evaluate a few merges, calibrate the surrogate, estimate the front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paretomerge.errors import RecipeError, nearest
from paretomerge.fronts import estimate_front
from paretomerge.merging import FisherWeighted, PosteriorMerge
from paretomerge.recipes import digest_recipe
from paretomerge.runs import evaluation_key
from paretomerge.stages.fit import Fitted, fit_run
from paretomerge.stages.scoring import Progress, score_models, silent
from paretomerge.stages.study import Study
from paretomerge.surrogates import (
    FittedSurrogate,
    PosteriorInformed,
    Quadratic,
    Surrogate,
    fit_surrogate,
    simplex_design,
)
from paretomerge.types import Front, Scores, Split, simplex_grid


@dataclass(frozen=True, eq=False)
class EstimatedFront:
    """A run's front: the predicted points, the scores it was calibrated on, and the surrogate."""

    front: Front
    scores: Scores
    surrogate: FittedSurrogate


def estimate_run_front(study: Study, progress: Progress = silent) -> EstimatedFront:
    """Evaluate the budget's merged models (only those not yet in the journal), fit the surrogate, keep the front.

    With a budget of zero evaluations the posteriors' own predicted losses are the front.

    Raises:
        RecipeError: a metric that no objective has.
    """
    recipe = study.recipe
    _require_metric(study)
    fitted = fit_run(study, progress)
    weights = simplex_design(len(study.tasks), recipe.front.evaluations)
    scores = score_merged(study, fitted, weights, recipe.front.split, "front", progress)
    traded = _of_metric(scores, recipe.front.metric)
    surrogate = fit_surrogate(traded, _surrogate(study, fitted, traded))
    front = estimate_front(surrogate, simplex_grid(len(study.tasks), recipe.front.divisions))
    with study.folder.open_journal() as journal:
        journal.note("front", {"recipe": digest_recipe(recipe), **front.as_dict()})
        journal.note("scores", scores.as_dict())
        journal.note("surrogate", {"quality": _plain(surrogate.fit_quality), "warnings": list(surrogate.warnings)})
    return EstimatedFront(front, scores, surrogate)


def score_merged(
    study: Study, fitted: Fitted, weights: np.ndarray, split: Split, stage: str, progress: Progress = silent
) -> Scores:
    """Scores of merged models on a split, through the journal."""
    evaluator = study.evaluator_digest(split)
    keys = [evaluation_key(fit=fitted.digest, weights=row, split=split, evaluator=evaluator) for row in weights]
    with study.folder.open_journal() as journal:
        return score_models(
            journal,
            stage,
            keys,
            weights,
            lambda rows: fitted.models(weights[rows]),
            study.evaluator(split),
            study.objectives,
            study.tasks,
            "merged",
            progress,
        )


def _surrogate(study: Study, fitted: Fitted, scores: Scores) -> Surrogate:
    # Losses are predicted per task; an objective measured on something else has no partner among them.
    has_partners = all(objective.task in study.tasks for objective in scores.objectives)
    # What posteriors predict are the losses of their own merges, not of what another rule makes of the finetunes.
    predicts = bool(fitted.curvatures.losses) and isinstance(fitted.method.rule, PosteriorMerge | FisherWeighted)
    informed = study.recipe.front.surrogate == "informed" and predicts and has_partners
    return PosteriorInformed(fitted.predicted_losses) if informed else Quadratic(allow_underdetermined=True)


def _require_metric(study: Study) -> None:
    """Refuse an unknown metric before anything is evaluated; a custom evaluator may go without the default one."""
    wanted, known = study.recipe.front.metric, dict.fromkeys(objective.metric for objective in study.objectives)
    if wanted not in known and not (study.recipe.evaluator and wanted == "loss"):
        raise RecipeError(
            f"front.metric: no objective has the metric {wanted!r}{nearest(wanted, known)}; the metrics are "
            f"{', '.join(map(repr, known))}"
        )


def _of_metric(scores: Scores, metric: str) -> Scores:
    """The objectives the front trades off: those of the metric, or all of a custom evaluator's."""
    has_metric = any(objective.metric == metric for objective in scores.objectives)
    return scores.select(metric) if has_metric else scores


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
