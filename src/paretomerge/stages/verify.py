"""`verify`: train a few weightings for real and hold the previews against them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from paretomerge.errors import InputError, RecipeError
from paretomerge.fronts import PreviewQuality, compare_preview
from paretomerge.recipes import digest_recipe
from paretomerge.runs import evaluation_key
from paretomerge.stages.choose import chosen_id, front_of
from paretomerge.stages.fit import fit_run
from paretomerge.stages.joint import joint_checkpoint
from paretomerge.stages.landscape import landscape_of
from paretomerge.stages.measure import score_merged
from paretomerge.stages.scoring import Progress, score_models, silent
from paretomerge.stages.study import Study
from paretomerge.training import TrainingRecipe
from paretomerge.types import Front, Params, Scores


@dataclass(frozen=True, eq=False)
class Verification:
    """Previews and truths at the verified weightings, on test data, and how far apart they are per metric."""

    previews: Scores
    truths: Scores
    quality: dict[str, PreviewQuality]

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "previews": self.previews.as_dict(),
            "truths": self.truths.as_dict(),
            "quality": {metric: quality.as_dict() for metric, quality in self.quality.items()},
        }


def verify_run(study: Study, points: int = 3, progress: Progress = silent) -> Verification:
    """Finetune jointly at `points` weightings of the front, and compare with the previews on test data.

    The weightings are the chosen point (if any) and then those farthest from each other and from the corners.
    Trained checkpoints are kept in the run folder, so an interrupted verification continues.

    Raises:
        InputError: fewer points asked for than one.
        RecipeError: a recipe without a problem, or a front over coefficients.
    """
    if points < 1:
        raise InputError(f"verify needs at least one point, got {points}")
    problem = study.require_problem("joint finetuning")
    landscape = landscape_of(fit_run(study, progress))
    if not landscape.has_task_weights:
        raise RecipeError(
            f"front.domain: {study.recipe.front.domain} are no task weights, with which one could finetune jointly: "
            "verify a front over weights"
        )
    weights = spread_points(front_of(study, progress), points, chosen_id(study))
    previews = score_merged(study, landscape, weights, "test", "verify", progress)
    recipe = TrainingRecipe.of(study.recipe.training.model_dump())
    evaluator = study.evaluator_digest("test")
    keys = [
        evaluation_key(
            base=study.digests["base"],
            recipe=asdict(recipe),
            weights=row,
            seed=study.recipe.seed,
            data=study.problem_digest("training"),
            evaluator=evaluator,
            trained=True,
        )
        for row in weights
    ]
    with study.folder.open_journal() as journal:

        def train(rows: list[int]) -> Iterator[Params]:
            for row in rows:
                yield joint_checkpoint(study, journal, keys[row], weights[row], recipe, progress)

        truths = score_models(
            journal,
            "verify",
            keys,
            weights,
            train,
            study.evaluator("test"),
            study.objectives,
            problem.tasks,
            "trained",
            progress,
        )
        verification = Verification(previews, truths, qualities(previews, truths))
        journal.note("verification", {"recipe": digest_recipe(study.recipe), **verification.as_dict()})
    return verification


def qualities(previews: Scores, truths: Scores) -> dict[str, PreviewQuality]:
    """Preview quality for each metric that every task has."""
    metrics = list(dict.fromkeys(objective.metric for objective in truths.objectives))
    return {metric or "score": compare_preview(previews.select(metric), truths.select(metric)) for metric in metrics}


def spread_points(front: Front, count: int, first: int | None = None) -> np.ndarray:
    """`count` weightings of a front, far from each other and from the corners (which are the finetunes).

    Weightings that leave a task out come last: a task nobody asked for says little about a trade-off.
    """
    tasks = len(front.tasks)
    chosen = [front.weights[first]] if first is not None else []
    corners = list(np.eye(tasks)) if tasks > 1 else []
    complete = (front.weights > 0).all(axis=1)
    while len(chosen) < min(count, len(front)):
        known = np.array([*corners, *chosen])
        distance = np.linalg.norm(front.weights[:, None] - known[None], axis=2).min(axis=1)
        fresh = complete & (distance > 1e-9)
        candidates = np.where(fresh, distance, -1.0) if fresh.any() else distance
        chosen.append(front.weights[int(np.argmax(np.round(candidates, 9)))])
    return np.array(chosen)
