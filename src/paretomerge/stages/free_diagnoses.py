"""Diagnoses that cost no evaluation: from the posteriors, and from what the run has scored already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from paretomerge.diagnoses import (
    Diagnosis,
    constant_guess,
    far_from_finetunes,
    gravest_first,
    posterior_distance,
    predictions_disagree,
    tasks_conflict,
    transfers_of,
    underpowered,
)
from paretomerge.errors import DataError, PosteriorError
from paretomerge.fronts.search import thinned
from paretomerge.posteriors import PredictedLoss, Subspace, predicted_at
from paretomerge.recipes import MetricsSection, digest_recipe
from paretomerge.stages.fitting.fit import Fitted
from paretomerge.stages.landscape import Landscape
from paretomerge.stages.study import Study
from paretomerge.types import Front, Params, Scores, to_minimised

MOST_MODELS = 12
"""Merged models that posteriors are asked about, at most: each is made anew, which takes seconds for a large one."""
_SHOWN_OF_FRONT = 5
_MEASURED = ("conflict", "barrier")
"""What rests on measured checkpoints, and not on the front."""


def free_diagnoses(
    fitted: Fitted, landscape: Landscape, front: Front, scores: Scores, stakes: Sequence[float] | None = None
) -> tuple[Diagnosis, ...]:
    """What the posteriors and the scores of a run say against its previews, at no evaluation; gravest first.

    Args:
        fitted: the posteriors.
        landscape: what is merged.
        front: the estimated front; its points stand in where nothing was scored.
        scores: of the merged models that were measured, with the errors they share; may be empty.
        stakes: `[T]`, nats, what each loss can lose; what was stored, else up to a constant guess, when `None`.
    """
    study = fitted.study
    found = [*underpowered(_traded(scores, front), example_counts(study))] if len(scores) else []
    losses = [fitted.curvatures.losses.get(task) for task in study.tasks]
    if all(losses):
        known = [loss for loss in losses if loss is not None]
        at_stake = _stakes(study, known) if stakes is None else stakes
        found += _seen_by_posteriors(study, known, landscape, front, scores, at_stake)
        found += tasks_conflict(study.tasks, predicted_transfers(study, known))
    return gravest_first(found)


def stored_diagnoses(study: Study) -> tuple[Diagnosis, ...]:
    """What earlier commands have diagnosed of the run, under its present recipe; gravest first."""
    return gravest_first(Diagnosis.from_dict(each) for each in _fact(study).get("diagnoses", ()))


def keep_diagnoses(
    study: Study, found: Sequence[Diagnosis], *, measured: bool = False, stakes: Sequence[float] | None = None
) -> None:
    """Remember diagnoses as those of the run, instead of earlier ones.

    What earlier ones rest on measured checkpoints stays where nothing was measured for the new ones.

    Args:
        study: the run.
        found: all diagnoses.
        measured: whether base, finetunes and averages of pairs were measured for them.
        stakes: `[T]`, nats, what each loss can lose, as it was measured.
    """
    before, kept = _fact(study), list(found)
    if not measured and before.get("measured"):
        kept = [each for each in kept if each.signature not in _MEASURED]
        kept += [each for each in map(Diagnosis.from_dict, before["diagnoses"]) if each.signature in _MEASURED]
        measured, stakes = True, before["stakes"]
    fact = {
        "recipe": digest_recipe(study.recipe),
        "measured": measured,
        "stakes": None if stakes is None else [float(stake) for stake in stakes],
        "diagnoses": [each.as_dict() for each in gravest_first(kept)],
    }
    with study.folder.open_journal() as journal:
        journal.note("diagnoses", fact)


def predicted_transfers(study: Study, losses: Sequence[PredictedLoss]) -> np.ndarray | None:
    """`[T, T]`, as the posteriors predict them; `None` where they do not speak of finetunes or base."""
    try:
        table = np.array([predicted_at(losses, tune) for tune in study.finetunes.values()])
        return transfers_of(table, predicted_at(losses, study.base))
    except PosteriorError:
        return None


def example_counts(study: Study) -> dict[str, int]:
    """Task → examples of the split that fronts are measured on; empty where only the evaluator knows."""
    known = all(isinstance(section, MetricsSection) for section in study.recipe.evaluators)
    if not known or study.problem is None:
        return {}
    split = study.recipe.front.split
    return {task: study.problem.count_examples(task, split) for task in study.tasks}


def _seen_by_posteriors(
    study: Study,
    losses: Sequence[PredictedLoss],
    landscape: Landscape,
    front: Front,
    scores: Scores,
    stakes: Sequence[float] | None,
) -> list[Diagnosis]:
    """Distances and predicted losses of merged models, at the scored points; at points of the front without any."""
    scored = len(scores) > 0
    if scored:
        rows = np.unique(np.linspace(0, len(scores) - 1, MOST_MODELS).round().astype(int))
        points = scores.weights[rows]
    else:
        points = front.weights[thinned(to_minimised(front.values, front.objectives), _SHOWN_OF_FRONT)]
    predicted, distances = np.empty((len(points), len(losses))), np.empty((len(points), len(losses)))
    finetunes = list(study.finetunes.values())
    judge = _in_common_subspace(losses, finetunes) or partial(_by_parameters, losses, finetunes)
    for row, model in enumerate(landscape.models(points)):
        try:
            predicted[row], distances[row] = judge({**study.base, **model})
        except PosteriorError:
            return []  # the rule leaves the subspace that the posteriors speak of
    found: list[Diagnosis] = []
    if scored:
        found += predictions_disagree(scores.take(rows), predicted, study.tasks)
    if stakes is not None and np.isfinite(distances).all():
        found += far_from_finetunes(study.tasks, points, distances, stakes)
    return found


_Judge = Callable[[Params], tuple[list[float], list[float]]]
"""A merged model's predicted loss and distance, by each task's posterior."""


def _by_parameters(losses: Sequence[PredictedLoss], finetunes: Sequence[Params], whole: Params) -> Any:
    distances = [posterior_distance(loss, tune, whole) for loss, tune in zip(losses, finetunes, strict=True)]
    return [loss.at(whole) for loss in losses], [np.nan if each is None else each for each in distances]


def _in_common_subspace(losses: Sequence[PredictedLoss], finetunes: Sequence[Params]) -> _Judge | None:
    """The same by coordinates, where all posteriors have one basis: a model is projected once, not for every task.

    Raises:
        PosteriorError: a finetune that lies outside the subspace.
    """
    curvatures = [loss.curvature for loss in losses if isinstance(loss.curvature, Subspace)]
    if len(curvatures) < len(losses) or any(each.basis is not curvatures[0].basis for each in curvatures):
        return None
    first = curvatures[0]
    try:
        places = [first.project(tune) for tune in finetunes]
    except PosteriorError:
        return None

    def judge(whole: Params) -> tuple[list[float], list[float]]:
        here = first.project(whole)
        moved = [here - place for place in places]
        distances = [float(d @ each.precision @ d) / 2 for d, each in zip(moved, curvatures, strict=True)]
        return [float(loss.at_coordinates(here)) for loss in losses], distances

    return judge


def _stakes(study: Study, losses: Sequence[PredictedLoss]) -> list[float] | None:
    """What each loss can lose: as it was measured, else up to a constant guess; `None` where nobody can guess."""
    measured, problem = _fact(study).get("stakes"), study.problem
    if measured is not None:
        return [float(stake) for stake in measured]
    if problem is None or problem.loss_fn is not None:
        return None
    try:
        batches = [problem.batches(task, study.recipe.front.split) for task in study.tasks]
    except DataError:
        return None  # a front without evaluations needs no examples
    guesses = [constant_guess((targets for _, targets in each), problem.likelihood) for each in batches]
    at_finetunes = [loss.at(tune) for loss, tune in zip(losses, study.finetunes.values(), strict=True)]
    return [guess - own for guess, own in zip(guesses, at_finetunes, strict=True)]


def _traded(scores: Scores, front: Front) -> Scores:
    """The columns that the front trades off."""
    return scores.named([objective.name for objective in front.objectives])


def _fact(study: Study) -> dict[str, Any]:
    """What is stored of the present recipe."""
    with study.folder.open_journal() as journal:
        fact = journal.fact("diagnoses")
    return fact if fact and fact.get("recipe") == digest_recipe(study.recipe) else {}
