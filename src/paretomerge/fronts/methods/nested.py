"""Nested MAP: many tasks, merged pairwise up a balanced tree (the idea of MAP: Li et al., 2024, arXiv 2406.07529).

Each inner node of the tree keeps a set of non-dominated merges of its own tasks. Merges of two children's sets are
its candidates; a few of them are scored, on the node's tasks only, and one quadratic per objective, fitted to all
scores of that objective so far, predicts the rest. The final front is the root's set.

Every task is scored at `log2 T` levels, on the same number of models at each, which makes `O(T log T)` scores of a
model on a task, where a design for quadratics in all coefficients needs `O(T³)`.

Shapes: `K` points, `D = T` coordinates, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Literal

import numpy as np

from paretomerge.errors import DataError
from paretomerge.fronts.dominance import is_nondominated
from paretomerge.fronts.methods.base import Evaluate, FrontEstimate, FrontProblem
from paretomerge.fronts.methods.task_tree import (
    Node,
    average_point,
    balanced_tree,
    base_points,
    columns_of,
    compose,
    finetune_points,
    part_of,
    require_nestable,
)
from paretomerge.fronts.methods.together import FittedTogether
from paretomerge.fronts.predictions import predicted_scores
from paretomerge.fronts.search import front_of_predictions, thinned
from paretomerge.surrogates import Fitted, Quadratic, fit_surrogate
from paretomerge.types import Scores, Simplex, to_minimised

_CANDIDATES = 4096
_FRONT = 64


@dataclass(frozen=True)
class NestedMap:
    """Settings.

    Args:
        per_node: models that each inner node scores on its tasks, at least two; also how many the root scores at a
            time when the budget is larger than the tree needs.
        kept: non-dominated merges that a node hands to its parent.
        links: as in `Quadratic`.
        prior_scale: as in `Quadratic`. Most coefficients are not determined by so few scores, so it matters here.
        shape: as in `Quadratic`.

    Raises:
        DataError: fewer than two models per node, or nothing kept.
    """

    per_node: int = 8
    kept: int = 32
    links: Literal["bounds", "identity"] = "bounds"
    prior_scale: float = 1.0
    shape: Literal["free", "convex"] = "convex"

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.per_node < 2 or self.kept < 1:
            raise DataError(
                f"nested-map with per_node={self.per_node}, kept={self.kept}: it needs at least two models per "
                "node, and one to keep"
            )

    def search(
        self,
        problem: FrontProblem,
        evaluate: Evaluate,
        budget: int,
        seed: int = 0,
        on_batch: Callable[[FrontEstimate | None, int], None] = lambda estimate, evaluated: None,
    ) -> FrontEstimate:
        """As in `FrontMethod`. Scoring a model on some of the objectives costs that part of an evaluation.

        What the budget leaves after the tree goes to the root: whole models, those of the predicted front about which
        least is known. `details` counts models, scores of a model on a task, and evaluations in that sense.

        Raises:
            DataError: a budget too small for the tree, or a domain without one coordinate per task.
        """
        require_nestable(problem)
        needed = self.smallest_budget(problem)
        if budget < needed:
            raise DataError(
                f"nested-map with {self.per_node} models per node needs a budget of {needed} evaluations for "
                f"{len(problem.tasks)} tasks, got {budget}: raise it, or set per_node lower"
            )
        climb = _Climb(self, problem, evaluate, seed, on_batch)
        tree = balanced_tree(len(problem.tasks))
        climb.score_leaves()
        for height in range(1, tree.height + 1):
            for node in tree.at_height(height):
                climb.visit(node)
        climb.spend(tree, budget)
        return climb.estimate(tree, budget)

    def smallest_budget(self, problem: FrontProblem) -> int:
        """Evaluations that the tree needs."""
        tree = balanced_tree(len(problem.tasks))
        own = [len(finetune_points(problem.domain, t)) for t in range(len(problem.tasks))]
        parts = sum(count * len(columns_of(problem, (t,))) for t, count in enumerate(own))
        parts += len(problem.objectives) * len(base_points(problem.domain))
        for height in range(1, tree.height + 1):
            for node in tree.at_height(height):
                parts += self.per_node * len(columns_of(problem, node.members))
        return ceil(parts / len(problem.objectives))


@dataclass
class _Climb:
    """One search: what is known so far."""

    settings: NestedMap
    problem: FrontProblem
    evaluate: Evaluate
    seed: int
    on_batch: Callable[[FrontEstimate | None, int], None]
    known: dict[int, list[Scores]] = field(default_factory=dict)
    whole: list[Scores] = field(default_factory=list)
    kept: dict[tuple[int, ...], np.ndarray] = field(default_factory=dict)
    pool: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    asked: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    models: int = 0
    parts: int = 0

    def score_leaves(self) -> None:
        """The base on everything, each finetune on its own task."""
        domain = self.problem.domain
        self._score(base_points(domain), list(range(len(self.problem.objectives))))
        for task in range(len(self.problem.tasks)):
            points = finetune_points(domain, task)
            self._score(points, columns_of(self.problem, (task,)))
            self.kept[(task,)] = points[:1]

    def visit(self, node: Node) -> None:
        """Score merges of the children, half of them evenly spread, half where the predicted front is least known."""
        columns = columns_of(self.problem, node.members)
        generator = np.random.default_rng([self.seed, *node.members])
        self.pool, first = self._merges(node, generator)
        self.asked = first
        self._score(first, columns)
        self._score_front(node, self.settings.per_node - len(first))
        predicted = self._predicted(node)
        self.kept[node.members] = self.pool[self._nondominated(predicted, self.settings.kept)]

    def spend(self, root: Node, budget: int) -> None:
        """The rest of the budget, at the root."""
        total = len(self.problem.objectives)
        while (left := budget - ceil(self.parts / total)) >= 1:
            before = self.parts
            self._score_front(root, min(left, self.settings.per_node))
            if self.parts == before:
                break

    def estimate(self, root: Node, budget: int) -> FrontEstimate:
        """The front over all tasks."""
        problem, settings = self.problem, self.settings
        scores = Scores.concatenate(self.whole)
        surrogate = FittedTogether(tuple(self._fitted(root)), scores)
        predicted = predicted_scores(surrogate, self.pool)
        front = front_of_predictions(
            predicted, scores, problem.traded_columns, problem.constraints, size=self.problem.points
        )
        spent = self.parts / len(problem.objectives)
        details: dict[str, object] = {
            "models": self.models,
            "task_evaluations": self.parts,
            "evaluations": spent,
            "smallest_budget": settings.smallest_budget(problem),
        }
        found = FrontEstimate(front, scores, surrogate, f"the budget of {budget} evaluations is spent", details=details)
        self.on_batch(found, ceil(spent))
        return found

    def _merges(self, node: Node, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Candidates `[K, D]` made of the children's sets, and the few of them that are scored first."""
        domain, count = self.problem.domain, self.settings.per_node // 2
        left, right = (self.kept[child.members] for child in node.children)

        def merged(number: int, low: float, high: float) -> np.ndarray:
            shares = generator.uniform(low, high, (number, 2))
            rows = (generator.integers(len(one), size=number) for one in (left, right))
            return compose(left[next(rows)], right[next(rows)], shares, domain)

        pool = merged(_CANDIDATES, 0.0, 1.0)
        # In a box the base model says what a task scores without its own coefficient; on the simplex other tasks must.
        others = node.children if isinstance(domain, Simplex) else ()
        averages = np.stack([average_point(part.members, domain) for part in (node, *others)])
        first = _apart(averages[:count], merged(_FRONT, 0.1, 0.9), count)
        ends = np.concatenate([left, right]) if isinstance(domain, Simplex) else np.zeros((0, len(domain.names)))
        return np.concatenate([pool, first, ends]), first

    def _score_front(self, node: Node, count: int) -> None:
        """Score `count` points of the predicted front: uncertain, and far from those scored at this node."""
        predicted = self._predicted(node)
        rows = self._nondominated(predicted, _FRONT)
        unknown = predicted.stderr[rows] / np.maximum(predicted.stderr[rows].mean(axis=0), 1e-300)
        points = self.pool[rows]
        before, wanted = len(self.asked), count + len(self.asked)
        self.asked = _apart(self.asked, points, wanted, unknown.sum(axis=1))
        # A front of fewer points than that leaves room for the rest of the candidates.
        self.asked = _apart(self.asked, self.pool, wanted)
        self._score(self.asked[before:], columns_of(self.problem, node.members))

    def _score(self, points: np.ndarray, columns: list[int]) -> None:
        """Evaluate, and sort what comes back by objective."""
        if not len(points) or not columns:
            return
        objectives = tuple(self.problem.objectives[column] for column in columns)
        scores = self.evaluate(points, objectives)
        for number, column in enumerate(columns):
            self.known.setdefault(column, []).append(scores.columns([number]))
        if len(columns) == len(self.problem.objectives):
            self.whole.append(scores)
        self.models += len(points)
        self.parts += len(points) * len(columns)
        self.on_batch(None, ceil(self.parts / len(self.problem.objectives)))

    def _fitted(self, node: Node) -> list[Fitted]:
        """One quadratic per objective of the node, in the coordinates of the node's tasks."""
        settings = self.settings
        quadratic = Quadratic(
            settings.links, prior_scale=settings.prior_scale, allow_underdetermined=True, shape=settings.shape
        )
        domain, members = part_of(self.problem.domain, node.members), list(node.members)
        fitted = []
        for column in columns_of(self.problem, node.members):
            scores = Scores.concatenate(self.known[column])
            within = Scores(
                domain.names,
                scores.weights[:, members],
                scores.values,
                scores.stderr,
                scores.objectives,
                scores.origin,
                scores.shared,
            )
            fitted.append(fit_surrogate(within, quadratic, domain))
        return fitted

    def _predicted(self, node: Node) -> Scores:
        """Predictions of the node's objectives for all its candidates."""
        points = self.pool[:, list(node.members)]
        parts = [predicted_scores(part, points) for part in self._fitted(node)]
        return Scores(
            parts[0].tasks,
            points,
            np.concatenate([part.values for part in parts], axis=1),
            np.concatenate([part.stderr for part in parts], axis=1),
            tuple(objective for part in parts for objective in part.objectives),
            parts[0].origin,
        )

    def _nondominated(self, predicted: Scores, count: int) -> np.ndarray:
        """The numbers of at most `count` candidates on the predicted front of the node's traded objectives."""
        traded = {self.problem.objectives[column].name for column in self.problem.traded_columns}
        columns = [n for n, objective in enumerate(predicted.objectives) if objective.name in traded]
        scores = predicted.columns(columns or range(len(predicted.objectives)))
        values = to_minimised(scores.values, scores.objectives)
        rows = np.flatnonzero(is_nondominated(values))
        return rows[thinned(values[rows], count)]


def _apart(taken: np.ndarray, candidates: np.ndarray, count: int, worth: np.ndarray | None = None) -> np.ndarray:
    """`taken`, then candidates one by one, up to `count` in all: each has the largest distance to those before it,
    times its worth. Copies are never taken.
    """
    distance = np.full(len(candidates), np.inf)
    for point in taken:
        distance = np.minimum(distance, np.linalg.norm(candidates - point, axis=1))
    chosen = list(taken)
    value = np.ones(len(candidates)) if worth is None else worth
    while len(chosen) < count and len(candidates):
        best = int((distance * value).argmax())
        if distance[best] <= 1e-9:
            break
        chosen.append(candidates[best])
        distance = np.minimum(distance, np.linalg.norm(candidates - candidates[best], axis=1))
    return np.array(chosen).reshape(-1, candidates.shape[1])
