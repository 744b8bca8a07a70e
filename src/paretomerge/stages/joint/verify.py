"""`verify`: train a few weightings for real, hold the previews against them, and recalibrate all others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from paretomerge.distributed import Executor
from paretomerge.errors import InputError, RecipeError
from paretomerge.fronts import FrontUncertainty, recalibrated_front
from paretomerge.recipes import digest_recipe
from paretomerge.stages.choose import chosen_id, front_of, uncertainty_of
from paretomerge.stages.fitting.fit import fit_run
from paretomerge.stages.joint.training import require_one_process
from paretomerge.stages.joint.truths import Comparison, Truth, compare_truths, given_truth, known_truths
from paretomerge.stages.joint.verification import Verification, qualities
from paretomerge.stages.landscape import Landscape, landscape_of
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.surrogates import FittedDiscrepancy, fit_discrepancy, informative_points
from paretomerge.types import Front

_SAME = 1e-6


def verify_run(
    study: Study,
    points: int = 3,
    progress: Progress = silent,
    *,
    trained: Mapping[tuple[float, ...], str | os.PathLike[str]] | None = None,
    executor: Executor | None = None,
) -> Verification:
    """Finetune jointly at a few weightings of the front, hold the previews against them, and recalibrate the front.

    The weightings are the chosen point (if any) and then those whose truth tells most about all others. What is known
    already counts: a larger number later adds to it. Trained checkpoints are kept in the run folder, so that an
    interrupted verification continues. The recalibrated front is what `choose --joint` chooses from.

    Args:
        study: the run.
        points: how many weightings are trained by the run in all; 0: only what is known, and `trained`, counts.
        progress: called with short messages.
        trained: weights, in the order of the tasks → a checkpoint that was finetuned jointly with them elsewhere.
        executor: who trains and measures side by side; this process when `None`.

    Raises:
        InputError: nothing to verify, two checkpoints for one weighting, or one of several processes of a launcher.
        RecipeError: a recipe without a problem where something is to be trained, or a front over coefficients.
        AlignmentError: a checkpoint of another model.
        WeightsError: weights that are not those of the run's tasks.
    """
    if points < 0:
        raise InputError(f"verify cannot train at {points} weightings: give --points 3, or 0 for what is known")
    require_one_process("verify")
    if points:
        study.require_problem("joint finetuning")
    landscape = landscape_of(fit_run(study, progress))
    if not landscape.has_task_weights:
        raise RecipeError(
            f"front.domain: {study.recipe.front.domain} are no task weights, with which one could finetune jointly: "
            "verify a front over weights"
        )
    front = front_of(study, progress)
    truths = _with_given(study, trained or {})
    wanted = points - sum(truth.path is None for truth in truths)
    if wanted > 0:
        truths += _most_informative(study, landscape, front, truths, wanted, progress)
    if not truths and points:
        raise InputError("nothing to verify: every point of the front is a finetune of a single task")
    if not truths:
        raise InputError("nothing was trained yet: give --points 3, or a checkpoint of yours with --trained")
    found = _verification(study, front, compare_truths(study, landscape, truths, progress, executor), truths)
    _remember(study, found)
    return found


def _with_given(study: Study, trained: Mapping[tuple[float, ...], str | os.PathLike[str]]) -> list[Truth]:
    """The user's own checkpoints, and what is known of earlier verifications at other weightings."""
    given = [given_truth(study, weights, os.fspath(path)) for weights, path in trained.items()]
    for number, one in enumerate(given):
        if any(_same(one, other) for other in given[:number]):
            shown = ", ".join(f"{task}={weight:g}" for task, weight in zip(study.tasks, one.weights, strict=True))
            raise InputError(f"two trained checkpoints for the weights {shown}: give one")
    with study.folder.open_journal() as journal:
        known = known_truths(study, journal)
    return [truth for truth in known if not any(_same(truth, one) for one in given)] + given


def _most_informative(
    study: Study, landscape: Landscape, front: Front, truths: list[Truth], wanted: int, progress: Progress
) -> list[Truth]:
    """The weightings to train: the chosen point, and those whose truth tells most given what is known."""
    discrepancy = _fitted(compare_truths(study, landscape, truths, progress))
    chosen = chosen_id(study)
    rows = informative_points(discrepancy, front.weights, wanted, [] if chosen is None else [chosen])
    return [Truth(tuple(front.weights[row].tolist())) for row in rows]


def _verification(study: Study, front: Front, known: Comparison, truths: list[Truth]) -> Verification:
    uncertainty, level = uncertainty_of(study, front), study.recipe.front.interval
    discrepancy = _fitted(known)
    verified = np.arange(len(study.tasks), len(known.truths))
    previews, trained = known.previews.take(verified), known.truths.take(verified)
    moved = recalibrated_front(front, discrepancy, uncertainty, seed=study.recipe.seed, level=level)
    lower, upper = _intervals(known.take(verified), front, uncertainty, level)
    return Verification(
        replace(previews, shared=None),
        replace(trained, shared=None),
        tuple(truths),
        qualities(previews, trained),
        lower,
        upper,
        discrepancy.leave_one_out(level).take(verified),
        moved,
        front,
    )


def _fitted(known: Comparison) -> FittedDiscrepancy:
    return fit_discrepancy(known.previews, known.truths, noise=known.noise)


def _intervals(
    known: Comparison, front: Front, uncertainty: FrontUncertainty | None, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """The previews' own intervals `[N, M]`: the front's at its points, elsewhere those of the scores on test data."""
    from scipy.special import ndtri

    half = float(ndtri((1 + level) / 2)) * known.previews.stderr
    lower, upper = known.previews.values - half, known.previews.values + half
    if uncertainty is None:
        return lower, upper
    names = [objective.name for objective in known.previews.objectives]
    columns = [names.index(objective.name) for objective in front.objectives]
    for row, weights in enumerate(known.previews.weights):
        distance = np.abs(front.weights - weights).max(axis=1)
        point = int(distance.argmin())
        if distance[point] <= _SAME:
            lower[row, columns], upper[row, columns] = uncertainty.lower[point], uncertainty.upper[point]
    return lower, upper


def _remember(study: Study, found: Verification) -> None:
    """The verification, and the joint front with its uncertainty, for `choose`, `report` and later verifications."""
    recipe = digest_recipe(study.recipe)
    facts: dict[str, Any] = {
        "verification": found.as_dict(),
        "joint_uncertainty": found.recalibrated.uncertainty.as_dict(),
        "joint_front": found.recalibrated.front.as_dict(),
    }
    with study.folder.open_journal() as journal:
        journal.conclude({name: {"recipe": recipe, **fact} for name, fact in facts.items()})


def _same(one: Truth, other: Truth) -> bool:
    return max(abs(a - b) for a, b in zip(one.weights, other.weights, strict=True)) <= _SAME
