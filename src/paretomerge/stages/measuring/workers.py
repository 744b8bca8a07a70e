"""Who scores the merged models of a run: this process, or worker processes that open the run once each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paretomerge.distributed import ProcessPool, Serial, Workers
from paretomerge.errors import RecipeError
from paretomerge.evaluation import Evaluator, Metrics, measure_tasks
from paretomerge.stages.fitting.fit import fit_run
from paretomerge.stages.landscape import Landscape, landscape_of
from paretomerge.stages.scoring.evaluations import Job, Work
from paretomerge.stages.study import Study, open_study
from paretomerge.types import Split


@dataclass(frozen=True)
class RunScorer:
    """Opens a run in a worker process: study, posteriors and evaluator.

    Args:
        run: the run folder, in which the posteriors are stored.
        split: whose examples models are scored on.
        digest: of the landscape that the parent sees.

    Raises:
        RecipeError: the recipe was edited while the run went on.
    """

    run: Path
    split: Split
    digest: str

    def __call__(self) -> Work:
        """What the worker does with each job."""
        study = open_study(self.run)
        landscape = landscape_of(fit_run(study))
        if landscape.digest != self.digest:
            raise RecipeError(
                f"{study.folder.recipe} or a checkpoint has changed since the run was started: start the command again"
            )
        return score_with(landscape.models, study.evaluator(self.split))


def score_with(models: Callable[[np.ndarray], Iterator[Any]], evaluator: Evaluator) -> Work:
    """Make the model at a job's point, and score it."""

    def work(job: Job) -> Mapping[str, Metrics]:
        model = next(iter(models(job.point[None])))
        return measure_tasks(model, evaluator, job.tasks, job.examples)

    return work


def workers_of(study: Study, landscape: Landscape, split: Split, count: int = 1) -> Workers[Job, Mapping[str, Metrics]]:
    """`count` worker processes for a run, or this process when it is one."""
    if count == 1:
        return Serial().open(lambda: score_with(landscape.models, study.evaluator(split)))
    return ProcessPool(count).open(RunScorer(study.folder.path.absolute(), split, landscape.digest))
