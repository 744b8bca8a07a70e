"""Racing: models are scored on growing parts of the examples, and those that are surely dominated are not finished.

All models are scored on the same examples in the same random order, so a later round only adds to what the journal
has, and comparisons are paired. A model that was dropped keeps the scores it has, with the larger error of fewer
examples: surrogates learn from it too.

Shapes: `N` points, `D` coordinates, `M` objectives, `n` examples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from paretomerge.errors import DataError
from paretomerge.evaluation import (
    Evaluation,
    Evaluator,
    Metrics,
    Part,
    as_evaluation,
    count_examples,
    require_means,
    takes_examples,
)
from paretomerge.fronts.racing import drop_dominated
from paretomerge.stages.scoring.evaluations import Evaluations, Request, Scored
from paretomerge.stages.scoring.models import Failed
from paretomerge.types import Objective, Origin, Scores

FRACTIONS = (0.1, 0.3, 1.0)


@dataclass(frozen=True, eq=False)
class Raced:
    """What became of `N` points.

    Attributes:
        scores: of all that were scored, on as many examples as they got, in the order in which they were asked for.
        rows: which ones these are.
        fractions: the fraction of the examples that each of them was scored on; one for those that were finished.
        evaluations: their per-example scores; all objectives of a task in the same random order of its examples.
        failures: points that could not be scored, or not to the end.
        cost: the examples that were scored, in whole evaluations; what was stored before included.
    """

    scores: Scores
    rows: tuple[int, ...]
    fractions: np.ndarray
    evaluations: tuple[Evaluation, ...]
    failures: tuple[Failed, ...]
    cost: float

    @property
    def finished(self) -> Scores:
        """The scores of those that were not dropped."""
        return self.scores.take(self.fractions >= 1)


def examples_of(evaluator: Evaluator, tasks: Sequence[str]) -> dict[str, int]:
    """How many examples of each task there are to race over.

    Raises:
        DataError: an evaluator that scores all examples or none, or measures what is no mean over examples.
    """
    require_means(evaluator)
    counts = {task: count_examples(evaluator, task) if takes_examples(evaluator) else None for task in tasks}
    for task, count in counts.items():
        if count is None:
            raise DataError(
                f"racing scores models on some of the examples of {task!r}, which this evaluator cannot: give it a "
                "parameter `examples` (numbers of the examples to score) and a method `count_examples(task)`"
            )
    return {task: count for task, count in counts.items() if count is not None}


def race(
    evaluations: Evaluations,
    keys: Sequence[str],
    points: np.ndarray,
    objectives: Sequence[Objective],
    names: Sequence[str],
    examples: Mapping[str, int],
    *,
    fractions: Sequence[float] = FRACTIONS,
    drop_probability: float = 0.95,
    seed: int = 0,
    origin: Origin = "merged",
) -> Raced:
    """Score models on growing parts of the examples; drop those that another one dominates, finish the rest.

    Args:
        evaluations: where models are measured.
        keys: `[N]`, as in `measure_points`; a model that is stored in full costs nothing.
        points: `[N, D]`.
        objectives: what is read from the scores.
        names: of the `D` coordinates.
        examples: task → how many examples it has, see `examples_of`.
        fractions: of the examples in each round, increasing to 1.
        drop_probability: a point that nothing dominates is finished with at least this probability.
        seed: of the order of the examples; races with the same one build on each other.
        origin: `"merged"` or `"trained"`.

    Raises:
        DataError: fractions that do not increase to one.
        EvaluationError, InputError, StorageError: as `Evaluations`.
    """
    _require_increasing(fractions)
    points = np.asarray(points, dtype=np.float64)
    runners = _Runners(evaluations, keys, points, objectives, examples, seed, origin)
    alive = list(range(len(keys)))
    for fraction in fractions:
        alive = runners.run(alive, fraction)
        if fraction < 1 and alive:
            columns = [objective.sign * runners.column(objective, alive) for objective in objectives]
            dropped = drop_dominated(columns, drop_probability=drop_probability, rounds=len(fractions) - 1)
            alive = [row for row, drop in zip(alive, dropped, strict=True) if not drop]
    return runners.result(names)


class _Runners:
    """The models of a race, with what was measured of each so far."""

    def __init__(
        self,
        evaluations: Evaluations,
        keys: Sequence[str],
        points: np.ndarray,
        objectives: Sequence[Objective],
        examples: Mapping[str, int],
        seed: int,
        origin: Origin,
    ) -> None:
        self._evaluations, self._keys, self._points = evaluations, keys, points
        self._objectives, self._seed, self._origin = tuple(objectives), seed, origin
        tasks = dict.fromkeys(objective.task for objective in objectives)
        self._counts = {task: examples[task] for task in tasks}
        self._measured: dict[int, Mapping[str, Metrics]] = {}
        self._fractions: dict[int, float] = {}
        self._failed: dict[int, Failed] = {}

    def run(self, rows: Sequence[int], fraction: float) -> list[int]:
        """One round; the rows that are still in the race."""
        about = {"origin": self._origin, "fraction": fraction}
        for row in rows:
            parts = {
                task: Part(0, math.ceil(round(fraction * count, 9)), count, self._seed)
                for task, count in self._counts.items()
            }
            self._evaluations.submit(
                Request(self._keys[row], self._points[row], tuple(parts), parts, number=row, about=about)
            )
        while (scored := self._evaluations.next()) is not None:
            self._take(scored, fraction)
        return [row for row in rows if row not in self._failed]

    def column(self, objective: Objective, rows: Sequence[int]) -> np.ndarray:
        """Per-example scores `[K, n]` of models that were scored on the same part."""
        return np.array([self._evaluation(row).examples[objective.name] for row in rows])

    def result(self, names: Sequence[str]) -> Raced:
        """What became of everyone."""
        rows = sorted(self._measured)
        found = tuple(self._evaluation(row) for row in rows)
        shape = (len(rows), len(self._objectives))
        scores = Scores(
            tuple(names),
            self._points[rows],
            np.array([evaluation.values for evaluation in found]).reshape(shape),
            np.array([evaluation.stderr for evaluation in found]).reshape(shape),
            self._objectives,
            (self._origin,) * len(rows),
            nested_covariance(found, self._objectives) if rows else None,
        )
        fractions = np.array([self._fractions[row] for row in rows])
        failures = tuple(self._failed[row] for row in sorted(self._failed))
        return Raced(scores, tuple(rows), fractions, found, failures, float(fractions.sum()))

    def _take(self, scored: Scored, fraction: float) -> None:
        row = scored.request.number
        if scored.measured is None:
            assert scored.error is not None
            self._failed[row] = Failed(row, scored.request.point, scored.error)
            return
        self._measured[row] = scored.measured
        self._fractions[row] = fraction

    def _evaluation(self, row: int) -> Evaluation:
        return as_evaluation(self._measured[row], self._objectives)


def nested_covariance(evaluations: Sequence[Evaluation], objectives: Sequence[Objective]) -> np.ndarray:
    """Covariances `[M, N, N]` of mean scores on nested parts of the examples, in the same order.

    `Σ_k e_ik e_jk / √(n_i (n_i - 1) n_j (n_j - 1))` over the examples `k` that both have, `e` the deviations from each
    model's own mean: a Gram matrix, so it is positive semi-definite, with squared standard errors as its diagonal.
    """
    shared = np.zeros((len(objectives), len(evaluations), len(evaluations)))
    for place, objective in enumerate(objectives):
        columns = [evaluation.examples[objective.name] for evaluation in evaluations]
        table = np.zeros((len(columns), max(len(column) for column in columns)))
        for row, column in enumerate(columns):
            count = len(column)
            if count > 1:
                table[row, :count] = (column - column.mean()) / math.sqrt(count * (count - 1))
        gram = table @ table.T
        shared[place] = (gram + gram.T) / 2
    return shared


def _require_increasing(fractions: Sequence[float]) -> None:
    steps = [0.0, *fractions]
    if len(steps) < 2 or steps[-1] != 1 or any(low >= high for low, high in pairwise(steps)):
        raise DataError(f"the fractions of a race must increase from above 0 to 1, got {list(fractions)}")
