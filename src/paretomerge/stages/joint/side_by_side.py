"""Joint finetunings at several weightings side by side: workers train, this process keeps what they have trained.

A worker that sees the run folder writes its training checkpoints there, so that another one, or a later command, goes
on from them when it dies; elsewhere a training begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from paretomerge.distributed import Executor, Share
from paretomerge.runs import Claims, Journal
from paretomerge.stages.joint.training import joint_checkpoint, training_key, training_recipe
from paretomerge.stages.scoring.models import Progress
from paretomerge.stages.sent import RunByPath, SentRun, explained, run_for
from paretomerge.stages.study import Study
from paretomerge.training import Finetuned, TrainingRecipe, finetune

Weighting = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class JointTraining:
    """Opens a run in a worker, which then trains from the base at one weighting after the other.

    Args:
        run: the run.
        recipe: optimizer, schedule, batch.
        keys: weighting → the key that names its folder.
    """

    run: RunByPath | SentRun
    recipe: TrainingRecipe
    keys: dict[Weighting, str]

    def shared(self, share: Share) -> JointTraining:
        """The same, with the base in the object store."""
        return replace(self, run=self.run.shared(share)) if isinstance(self.run, SentRun) else self

    def __call__(self) -> Callable[[Weighting], Finetuned]:
        """What the worker does with each weighting."""
        with explained(self.run.folder):
            opened = self.run.opened()
            problem = opened.require_problem("joint finetuning")

        def train(weights: Weighting) -> Finetuned:
            here = opened.folder.path.is_dir()
            return finetune(
                problem,
                opened.base,
                dict(zip(opened.tasks, weights, strict=True)),
                self.recipe,
                opened.recipe.seed,
                folder=opened.folder.training / self.keys[weights][:16] if here else None,
                keep_folder=True,
            )

        return train


def train_side_by_side(
    study: Study, journal: Journal, weightings: Sequence[Weighting], executor: Executor, progress: Progress
) -> None:
    """Train from the base at every weighting that the run has no checkpoint of; what is trained is kept at once.

    Raises:
        ParetomergeError: what the first training that failed did so with, after all others are kept.
    """
    recipe = training_recipe(study)
    keys = {weights: training_key(study, np.array(weights), recipe) for weights in weightings}
    waiting = [weights for weights in keys if not (study.folder.trained / keys[weights][:16]).is_dir()]
    if len(waiting) < 2:
        return
    setup = JointTraining(run_for(executor, study), recipe, keys)
    claims, workers, left = Claims(journal), executor.open(setup), len(waiting)
    failures: list[Exception] = []
    try:
        # What another command trains now is left to `joint_checkpoint`, which says so.
        waiting = [weights for weights in waiting if claims.take(f"training {keys[weights]}")]
        left = len(waiting)
        while left:
            while waiting and workers.free:
                workers.start(waiting.pop(0))
                progress(f"joint finetuning: {left} of {len(keys)} weightings are left")
            outcome = workers.next()
            if outcome is None:
                continue
            left -= 1
            claims.give_back(f"training {keys[outcome.item]}")
            if outcome.error is not None:
                failures.append(outcome.error)
                continue
            result = outcome.result
            assert result is not None
            weights = np.array(outcome.item)
            joint_checkpoint(study, journal, keys[outcome.item], weights, recipe, progress, made=result)
    finally:
        workers.close()
        claims.close()
    if failures:
        raise failures[0]
