"""Joint finetuning of a run's tasks with given weights, kept in the run folder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from paretomerge.checkpoints import Checkpoint, open_checkpoint, write_params
from paretomerge.runs import Journal
from paretomerge.stages.scoring import Progress
from paretomerge.stages.study import Study
from paretomerge.training import TrainingRecipe, finetune


def joint_checkpoint(
    study: Study, journal: Journal, key: str, weights: np.ndarray, recipe: TrainingRecipe, progress: Progress
) -> Checkpoint:
    """The jointly finetuned checkpoint at one weighting, trained from the base now unless it is there."""
    folder = study.folder.trained / key[:16]
    if not folder.exists():
        alpha = dict(zip(study.tasks, weights.tolist(), strict=True))
        result = finetune(
            study.require_problem("joint finetuning"),
            study.base,
            alpha,
            recipe,
            study.recipe.seed,
            on_step=_reporter(progress, recipe.steps, alpha),
        )
        write_params(folder, result.params, manifest={"kind": "jointly finetuned", "weights": alpha})
        journal.charge("verify", result.ledger)
    return open_checkpoint(folder)


def _reporter(progress: Progress, steps: int, alpha: dict[str, float]) -> Callable[[int, float], None]:
    shown = ", ".join(f"{task}={weight:.3g}" for task, weight in alpha.items())

    def report(step: int, loss: float) -> None:
        if step % max(1, steps // 20) == 0:
            progress(f"joint finetuning at {shown}: step {step} of {steps}, loss {loss:.3f}")

    return report
