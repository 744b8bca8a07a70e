"""Evaluating models through the journal: what is stored is not measured again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paretomerge.distributed import Serial
from paretomerge.errors import ParetomergeError
from paretomerge.evaluation import Evaluation, Evaluator, Metrics, as_evaluation, measure_tasks, shared_covariance
from paretomerge.runs import Journal
from paretomerge.stages.scoring.evaluations import Evaluations, Job, Progress, Request, Scored, silent
from paretomerge.types import Objective, Origin, Params, Scores

__all__ = ["Failed", "Measured", "Progress", "measure_points", "score_models", "scores_of", "silent"]


@dataclass(frozen=True, eq=False)
class Failed:
    """A point that could not be scored, and why."""

    row: int
    point: np.ndarray
    error: ParetomergeError


@dataclass(frozen=True, eq=False)
class Measured:
    """What became of a batch of `N` points.

    Attributes:
        scores: of the points that were scored, in the order in which they were asked for.
        rows: which ones these are.
        evaluations: their per-example scores, for bootstrapping.
        failures: the other points.
    """

    scores: Scores
    rows: tuple[int, ...]
    evaluations: tuple[Evaluation, ...]
    failures: tuple[Failed, ...]


def measure_points(
    evaluations: Evaluations,
    keys: Sequence[str],
    points: np.ndarray,
    objectives: Sequence[Objective],
    names: Sequence[str],
    origin: Origin = "merged",
    cost: float = 1.0,
) -> Measured:
    """Scores of the models at `points [N, D]`, and which ones failed.

    Args:
        evaluations: where models are measured.
        keys: `[N]`, what each evaluation depends on besides the task.
        points: `[N, D]`.
        objectives: what is read from the scores; their tasks are the ones that are measured.
        names: of the `D` coordinates.
        origin: `"merged"` or `"trained"`.
        cost: of one model, in evaluations; a share when it is scored on some of the tasks only.

    Raises:
        EvaluationError, InputError, StorageError: as `Evaluations`; a metric that the evaluator does not return.
    """
    for request in _requests(keys, points, objectives, origin, cost):
        evaluations.submit(request)
    answers = sorted(_answers(evaluations), key=lambda scored: scored.request.number)
    good = [scored for scored in answers if scored.measured is not None]
    found = [as_evaluation(scored.measured, objectives) for scored in good if scored.measured is not None]
    rows = tuple(scored.request.number for scored in good)
    failures = tuple(
        Failed(scored.request.number, scored.request.point, scored.error) for scored in answers if scored.error
    )
    scores = scores_of(found, np.asarray(points)[list(rows)], objectives, names, origin)
    return Measured(scores, rows, tuple(found), failures)


def score_models(
    journal: Journal,
    stage: str,
    keys: Sequence[str],
    weights: np.ndarray,
    build: Callable[[list[int]], Iterable[Params]],
    evaluator: Evaluator,
    objectives: Sequence[Objective],
    tasks: Sequence[str],
    origin: Origin,
    progress: Progress = silent,
) -> Scores:
    """Scores of `N` models, each looked up in the journal first, measured and stored otherwise; all of them or none.

    Args:
        journal: where evaluations are kept.
        stage: the ledger's entry that is charged.
        keys: `[N]`, what each evaluation depends on.
        weights: `[N, T]`.
        build: the numbers of missing models → their parameters, in that order, one at a time.
        evaluator: `(params, task) → per-example scores`.
        objectives: what is read from the scores.
        tasks: the columns of `weights`.
        origin: `"merged"` or `"trained"`.
        progress: called per evaluation.

    Raises:
        ParetomergeError: the first evaluation that failed; the others are kept, and the next call tries again.
    """
    models = _Models(build)
    wanted = dict.fromkeys(objective.task for objective in objectives)
    journal.forgive(keys)

    def work(job: Job) -> Mapping[str, Metrics]:
        return measure_tasks(models.at(job.number), evaluator, [t for t in wanted if t in job.tasks], job.examples)

    workers = Serial().open(lambda: work)
    with Evaluations(journal, stage, workers, retries=0, progress=progress) as evaluations:
        requests = _requests(keys, weights, objectives, origin)
        models.missing = [request.number for request in requests if evaluations.submit(request)]
        found: dict[int, Evaluation] = {}
        for scored in _answers(evaluations):
            if scored.error is not None or scored.measured is None:
                journal.forgive(keys)
                raise scored.error or AssertionError
            found[scored.request.number] = as_evaluation(scored.measured, objectives)
    return scores_of([found[row] for row in range(len(keys))], weights, objectives, tasks, origin)


def scores_of(
    evaluations: Sequence[Evaluation],
    points: np.ndarray,
    objectives: Sequence[Objective],
    names: Sequence[str],
    origin: Origin,
) -> Scores:
    """Evaluations of models as `Scores`, with the errors that they share because they have the same examples."""
    shape = (len(evaluations), len(objectives))
    return Scores(
        tuple(names),
        points,
        np.array([evaluation.values for evaluation in evaluations]).reshape(shape),
        np.array([evaluation.stderr for evaluation in evaluations]).reshape(shape),
        tuple(objectives),
        (origin,) * len(evaluations),
        shared_covariance(evaluations, objectives) if evaluations and objectives else None,
    )


class _Models:
    """Models in the order in which they are built, one at a time; one that failed is built anew."""

    def __init__(self, build: Callable[[list[int]], Iterable[Params]]) -> None:
        self._build = build
        self.missing: list[int] = []
        self._coming: list[int] = []
        self._models: Iterator[Any] = iter(())

    def at(self, number: int) -> Any:
        if self._coming[:1] != [number]:
            self._coming = self.missing[self.missing.index(number) :]
            self._models = iter(self._build(self._coming))
        try:
            model = next(self._models)
        except BaseException:
            self._coming = []
            raise
        self._coming = self._coming[1:]
        return model


def _requests(
    keys: Sequence[str], points: np.ndarray, objectives: Sequence[Objective], origin: Origin, cost: float = 1.0
) -> list[Request]:
    tasks = tuple(dict.fromkeys(objective.task for objective in objectives))
    about = {"origin": origin}
    return [
        Request(key, point, tasks, number=number, cost=cost, about=about)
        for number, (key, point) in enumerate(zip(keys, np.asarray(points), strict=True))
    ]


def _answers(evaluations: Evaluations) -> Iterator[Scored]:
    while (scored := evaluations.next()) is not None:
        yield scored
