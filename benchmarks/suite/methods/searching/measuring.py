"""Scores of merges on validation examples, as searches ask for them, and what they cost.

Shapes: `K` points, `N` scores, `T` tasks, `M` objectives, `B` draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil

import numpy as np

from benchmarks.suite.methods.searching.kept import kept_of
from benchmarks.suite.methods.searching.spaces import Space, shares
from benchmarks.suite.setting import Setting
from paretomerge.errors import ParetomergeError
from paretomerge.evaluation import Evaluation, as_evaluation, bootstrap_deviations, measure_tasks
from paretomerge.evaluation.base import Metrics
from paretomerge.evaluation.subsets import Part
from paretomerge.stages.scoring.models import scores_of
from paretomerge.types import Objective, Params, Scores


class Measuring:
    """`(points, objectives) → Scores` for one search; a model that cannot be scored is missing from the answer.

    A model that several searches ask for is made and scored once, and charged to each of them. Models are scored on
    the tasks of the objectives that are asked for, which costs that share of an evaluation.

    Args:
        setting: its validation examples.
        space: where models come from.
        share: of the validation examples of every task, the same ones for all models; costs that share.
    """

    def __init__(self, setting: Setting, space: Space, share: float = 1.0) -> None:
        """Nothing is measured yet."""
        self._setting, self._space, self._share = setting, space, share
        self._evaluator = setting.evaluator("validation")
        self._parts = None if share == 1 else {task: self._part(task) for task in setting.tasks}
        self._asked: set[tuple[bytes, str]] = set()
        self._found: dict[bytes, Evaluation] = {}
        self.saved = 0.0
        """Core-seconds that earlier searches have spent on what was asked for here."""

    @property
    def evaluations(self) -> float:
        """Models scored, each on every task and all validation examples; parts count as parts."""
        return len(self._asked) * self._share / len(self._setting.tasks)

    def __call__(self, points: np.ndarray, objectives: Sequence[Objective]) -> Scores:
        """Scores of the models at points `[K, T]`, with the errors that they share."""
        points = np.ascontiguousarray(points, dtype=np.float64)
        measured = [self._measured(point, objectives) for point in points]
        rows = [row for row, one in enumerate(measured) if one is not None]
        found = [one for one in measured if one is not None]
        return scores_of(found, points[rows], objectives, self._space.domain.names, "merged")

    def deviations(self, scores: Scores, draws: int, seed: int) -> np.ndarray | None:
        """`[B, N, M]`: how far the scores would move with other examples, the same ones for all models."""
        known = [self._found.get(row.tobytes()) for row in scores.weights]
        found = [one for one in known if one is not None]
        if not found or len(found) < len(known):
            return None
        return bootstrap_deviations(found, draws, np.random.default_rng(seed), scores.objectives)

    def _measured(self, point: np.ndarray, objectives: Sequence[Objective]) -> Evaluation | None:
        model = once(lambda: self._model(point))
        tasks = tuple(dict.fromkeys(objective.task for objective in objectives))
        found = {}
        for task in tasks:
            key = (self._space.name, point.tobytes(), task, self._share)
            new = (point.tobytes(), task) not in self._asked
            self._asked.add((point.tobytes(), task))
            try:
                found[task], saved = kept_of(self._setting).get(key, partial(self._scored, model, task))
            except ParetomergeError as error:
                print(f"{self._setting.name}: the merge at {point.round(3).tolist()} was not scored: {error}")
                return None
            self.saved += saved if new else 0.0
        evaluation = as_evaluation(found, objectives)
        if not np.isfinite(evaluation.values).all():
            return None
        if len(tasks) == len(self._setting.tasks):
            self._found[point.tobytes()] = evaluation
        return evaluation

    def _scored(self, model: Callable[[], Params], task: str) -> Metrics:
        return measure_tasks(model(), self._evaluator, [task], self._parts)[task]

    def _model(self, point: np.ndarray) -> Params:
        return self._setting.finish(next(iter(self._space.models(point[None]))), shares(point))

    def _part(self, task: str) -> np.ndarray:
        count = self._evaluator.count_examples(task)
        return Part(0, max(2, ceil(self._share * count)), count, self._setting.seed).examples


def once(make: Callable[[], Params]) -> Callable[[], Params]:
    """`make`, called at the first call only."""
    made: list[Params] = []

    def get() -> Params:
        if not made:
            made.append(make())
        return made[0]

    return get
