"""Who scores the merged models of a run: this process, processes that open the run, or workers of a cluster.

A process of this machine opens the run folder by itself. A worker of a cluster gets its recipe and, through the object
store, what models are merged from: it needs neither the run folder nor the checkpoints, only what the recipe's
evaluator names (files of functions, examples, programs) at the same path as here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from paretomerge.distributed import Executor, Ray, Serial, Share, Workers
from paretomerge.errors import RecipeError
from paretomerge.evaluation import Evaluator, Metrics, measure_tasks
from paretomerge.stages.evaluating.evaluators import evaluator_of
from paretomerge.stages.fitting.fit import fit_run
from paretomerge.stages.landscape import Landscape, landscape_of
from paretomerge.stages.measuring.in_place import ModelMaker
from paretomerge.stages.scoring.evaluations import Job, Work
from paretomerge.stages.sent import SentRun, explained
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


@dataclass(frozen=True, eq=False)
class SharedScorer:
    """Opens the recipe's evaluator in a worker of a cluster, and makes models of what was shared with it.

    Args:
        run: what was sent of it.
        maker: makes the models.
        split: whose examples models are scored on.

    Raises:
        RecipeError: what the recipe names is not there.
    """

    run: SentRun
    maker: ModelMaker
    split: Split

    def shared(self, share: Share) -> SharedScorer:
        """The same, with its parameters in the object store."""
        return replace(self, run=self.run.shared(share), maker=self.maker.shared(share))

    def __call__(self) -> Work:
        """What the worker does with each job; each model overwrites the one before."""
        with explained(self.run.folder):
            evaluator = evaluator_of(self.run.opened(), self.split)
        at = self.maker.open()
        return lambda job: measure_tasks(at(job.point), evaluator, job.tasks, job.examples)


@dataclass(frozen=True, eq=False)
class RunSender:
    """What a run is scored with, made when the first worker needs it: nothing is read or shared before."""

    study: Study
    landscape: Landscape
    split: Split

    def shared(self, share: Share) -> SharedScorer:
        """What is sent."""
        return self._scorer().shared(share)

    def __call__(self) -> Work:
        """The same in this process."""
        return self._scorer()()

    def _scorer(self) -> SharedScorer:
        return SharedScorer(SentRun.of(self.study), self.landscape.maker(), self.split)


def workers_of(
    study: Study, landscape: Landscape, split: Split, executor: Executor | None = None
) -> Workers[Job, Mapping[str, Metrics]]:
    """Who scores the models of a run: this process, or the workers of an executor."""
    if executor is None or isinstance(executor, Serial):
        return Serial().open(lambda: score_with(landscape.models, study.evaluator(split)))
    if isinstance(executor, Ray):
        return executor.open(RunSender(study, landscape, split))
    return executor.open(RunScorer(study.folder.path.absolute(), split, landscape.digest))
