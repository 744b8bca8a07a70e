"""Scores of merged models, through the run's journal."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property

import numpy as np

from paretomerge.distributed import Executor
from paretomerge.errors import ParetomergeError
from paretomerge.evaluation import Evaluation, Evaluator, as_evaluation, bootstrap_deviations
from paretomerge.runs import evaluation_key
from paretomerge.stages.landscape import Landscape
from paretomerge.stages.measuring.workers import workers_of
from paretomerge.stages.scoring.evaluations import Evaluations, Progress, Request, silent
from paretomerge.stages.scoring.models import Failed, measure_points, scores_of
from paretomerge.stages.scoring.racing import examples_of, nested_covariance, race
from paretomerge.stages.study import Study
from paretomerge.types import Objective, Scores, Split


class MergedScorer:
    """Scores merged models of a run; what is stored is not measured again, what fails twice is left out.

    A context manager: worker processes are started at the first evaluation that the journal lacks, and stopped at the
    end.

    Args:
        study: the run.
        landscape: where the models are.
        split: whose examples they are scored on.
        stage: the ledger's entry that is charged.
        progress: called with short messages.
        executor: who measures; this process when `None`.
        fractions: of the examples in each round of a race (see `scoring.racing`); all at once when empty.
        retry_known: whether models that failed in an earlier sitting are tried again.
    """

    def __init__(
        self,
        study: Study,
        landscape: Landscape,
        split: Split,
        stage: str,
        progress: Progress = silent,
        executor: Executor | None = None,
        fractions: Sequence[float] = (),
        retry_known: bool = False,
    ) -> None:
        """Nothing is opened yet."""
        self._study, self._landscape, self._split = study, landscape, split
        self._fractions = tuple(fractions)
        self._evaluator_digest = study.evaluator_digest(split)
        self._open = ExitStack()
        journal = self._open.enter_context(study.folder.open_journal())
        pool = workers_of(study, landscape, split, executor)
        self._evaluations = self._open.enter_context(
            Evaluations(journal, stage, pool, progress=progress, retry_known=retry_known)
        )
        self._raced = np.zeros((0, len(landscape.domain.names)))
        self._found: dict[bytes, Evaluation] = {}
        self.failures: list[Failed] = []

    def __enter__(self) -> MergedScorer:
        """For `with`."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop the workers."""
        self._open.close()

    def __call__(self, points: np.ndarray, objectives: Sequence[Objective]) -> Scores:
        """Scores at points `[B, D]`; those that could not be scored are missing, and in `failures`.

        Raises:
            EvaluationError, InputError, StorageError: as `Evaluations`.
        """
        points = np.asarray(points, dtype=np.float64)
        if self._fractions:
            return self._race(points, objectives)
        names, cost = self._landscape.domain.names, self._cost(objectives)
        measured = measure_points(self._evaluations, self._keys(points), points, objectives, names, cost=cost)
        self._note(points[list(measured.rows)], measured.evaluations, measured.failures)
        return measured.scores

    @property
    def size(self) -> int:
        """How many models are scored at a time."""
        return self._evaluations.size

    def expect(self, points: int) -> None:
        """How many points will be asked for at most; racing asks for parts, so that nobody can know."""
        if not self._fractions:
            self._evaluations.expect(points)

    def start(self, point: np.ndarray, objectives: Sequence[Objective], number: int) -> None:
        """Ask for the scores at one point `[D]`, without waiting for them."""
        tasks = tuple(dict.fromkeys(objective.task for objective in objectives))
        cost = self._cost(objectives)
        self._evaluations.submit(Request(self._keys(point[None])[0], point, tasks, number=number, cost=cost))

    def finish(self, objectives: Sequence[Objective]) -> tuple[int, Scores | None] | None:
        """The next point that is done: its number, and its scores or `None` if it failed; `None` when none is left.

        Raises:
            EvaluationError, InputError, StorageError: as `Evaluations`.
        """
        scored = self._evaluations.next()
        if scored is None:
            return None
        request = scored.request
        if scored.measured is None:
            assert scored.error is not None
            self._note(np.zeros((0, len(request.point))), (), [Failed(request.number, request.point, scored.error)])
            return request.number, None
        evaluation = as_evaluation(scored.measured, objectives)
        self._note(request.point[None], [evaluation], ())
        names = self._landscape.domain.names
        return request.number, scores_of([evaluation], request.point[None], objectives, names, "merged")

    def complete(self, scores: Scores) -> Scores:
        """The same scores with the errors that they share, also with those of other batches."""
        evaluations = self.evaluations_of(scores)
        if evaluations is None:
            return scores
        return replace(scores, shared=nested_covariance(evaluations, scores.objectives))

    def deviations(self, scores: Scores, draws: int, seed: int) -> np.ndarray | None:
        """`[draws, N, M]`: how far the scores would move with other examples, the same ones for all models.

        The paired bootstrap; normal draws with the same covariance where models were scored on different numbers of
        examples. `None` where nothing is known of single examples.
        """
        known = self.evaluations_of(scores)
        if known is None:
            return None
        sizes = [{len(e.examples[objective.name]) for e in known} for objective in scores.objectives]
        rng = np.random.default_rng(seed)
        if all(len(size) == 1 for size in sizes):
            return bootstrap_deviations(known, draws, rng, scores.objectives)
        shared = nested_covariance(known, scores.objectives)
        columns = [rng.multivariate_normal(np.zeros(len(known)), part, draws, method="eigh") for part in shared]
        return np.stack(columns, axis=-1)

    def evaluations_of(self, scores: Scores) -> list[Evaluation] | None:
        """With their per-example scores; `None` where these are not known, or are lone numbers throughout."""
        found = [self._found.get(row.tobytes()) for row in scores.weights]
        known = [evaluation for evaluation in found if evaluation is not None]
        names = [objective.name for objective in scores.objectives]
        if not known or len(known) < len(found) or any(name not in e.examples for e in known for name in names):
            return None
        # Of lone numbers only is known what their standard errors say.
        return known if any(len(e.examples[name]) > 1 for e in known for name in names) else None

    def _race(self, points: np.ndarray, objectives: Sequence[Objective]) -> Scores:
        """Against everything raced so far: what is stored in full costs nothing and can drop newcomers at once."""
        everyone = np.concatenate([self._raced, points])
        tasks = list(dict.fromkeys(objective.task for objective in objectives))
        raced = race(
            self._evaluations,
            self._keys(everyone),
            everyone,
            objectives,
            self._landscape.domain.names,
            examples_of(self._evaluator, tasks),
            fractions=self._fractions,
            seed=self._study.recipe.seed,
        )
        rows = np.array(raced.rows, dtype=int)
        finished = rows[raced.fractions >= 1]
        self._note(everyone[rows], raced.evaluations, raced.failures)
        fresh = rows >= len(self._raced)
        self._raced = everyone[finished]
        return raced.scores.take(fresh)

    @cached_property
    def _evaluator(self) -> Evaluator:
        """For counting its examples; opened at the first race."""
        return self._study.evaluator(self._split)

    def _cost(self, objectives: Sequence[Objective]) -> float:
        """Of one model, in evaluations: the share of the tasks that it is scored on."""
        tasks = {objective.task for objective in objectives}
        return len(tasks) / len({objective.task for objective in self._study.objectives})

    def _keys(self, points: np.ndarray) -> list[str]:
        return [
            evaluation_key(model=self._landscape.digest, point=row, split=self._split, evaluator=self._evaluator_digest)
            for row in points
        ]

    def _note(self, points: np.ndarray, evaluations: Sequence[Evaluation], failures: Sequence[Failed]) -> None:
        for point, evaluation in zip(points, evaluations, strict=True):
            self._found[point.tobytes()] = evaluation
        self.failures += failures


def score_merged(
    study: Study,
    landscape: Landscape,
    points: np.ndarray,
    split: Split,
    stage: str,
    progress: Progress = silent,
    objectives: Sequence[Objective] | None = None,
) -> Scores:
    """Scores of the merged models at points `[K, D]` of the landscape on a split, of all objectives when `None`.

    Raises:
        ParetomergeError: what the first model that could not be scored failed with.
    """
    with MergedScorer(study, landscape, split, stage, progress, retry_known=True) as scorer:
        scores = scorer(points, study.objectives if objectives is None else objectives)
        if scorer.failures:
            error: ParetomergeError = scorer.failures[0].error
            raise error
    return scores
