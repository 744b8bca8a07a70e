from __future__ import annotations

from dataclasses import replace
from math import ceil, log2

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.fronts import hypervolume, is_nondominated
from paretomerge.fronts.methods import nested
from paretomerge.fronts.methods.base import FrontProblem
from paretomerge.fronts.methods.nested import NestedMap
from paretomerge.fronts.methods.preference import for_preference
from paretomerge.testing.landscapes import SigmoidQuadratic
from paretomerge.types import Box, Constraint, Objective, Scores, Simplex, are_feasible


class Lab:
    """A landscape, what was asked of it, and in which order."""

    def __init__(self, tasks, domain="box", curvature="mild", seed=0, failing=()):
        self.land = SigmoidQuadratic.random(tasks, curvature, np.random.default_rng(seed))
        self.rng = np.random.default_rng(seed + 1)
        self.asked = []
        self.failing = failing
        self.extra = ()
        self.domain = Simplex(self.land.tasks) if domain == "simplex" else self.land.domain

    def problem(self, **settings):
        objectives = (*self.land.objectives, *self.extra)
        return FrontProblem(self.domain, self.land.tasks, objectives, **settings)

    def evaluate(self, points, objectives):
        """Noise that depends on the point only, so that the same point has the same score."""
        self.asked.append((np.array(points), tuple(objectives)))
        exact = np.column_stack([self.land.scores(points), *(points.sum(axis=1) for _ in self.extra)])
        names = [o.name for o in (*self.land.objectives, *self.extra)]
        columns = [names.index(objective.name) for objective in objectives]
        values = exact[:, columns] + 0.003 * np.sin(1e3 * points @ np.arange(1, points.shape[1] + 1))[:, None]
        scores = Scores(
            self.domain.names, points, values, np.full_like(values, 0.003), tuple(objectives), ("merged",) * len(points)
        )
        return scores.take([n for n in range(len(points)) if len(self.asked) not in self.failing])

    def search(self, method=None, budget=None, seed=0, **settings):
        method = method or NestedMap()
        problem = self.problem(**settings)
        return method.search(problem, self.evaluate, budget or method.smallest_budget(problem), seed)


@pytest.mark.parametrize("domain", ["box", "simplex"])
@pytest.mark.parametrize("tasks", [2, 3, 6])
def test_each_node_scores_its_own_tasks_only_and_as_many_models_as_it_should(tasks, domain):
    lab = Lab(tasks, domain)
    estimate = lab.search()
    parts = 0
    for points, objectives in lab.asked:
        members = [lab.land.tasks.index(objective.task) for objective in objectives]
        assert not np.delete(points, members, axis=1).any()
        lab.domain.checked(points)
        parts += points.shape[0] * len(objectives)
    leaves = 3 * tasks if domain == "box" else tasks
    levels = sum(8 * len(objectives) / 8 for points, objectives in lab.asked if len(points) == 4) * 4
    assert parts == leaves + levels
    assert parts <= leaves + 8 * tasks * ceil(log2(tasks))
    assert estimate.details["task_evaluations"] == parts
    assert estimate.details["models"] == sum(len(points) for points, _ in lab.asked)
    assert estimate.details["evaluations"] == parts / tasks
    assert ceil(parts / tasks) == estimate.details["smallest_budget"]


def test_the_result_is_a_front_of_all_tasks_with_everything_that_was_fully_scored():
    lab = Lab(4)
    estimate = lab.search()
    assert [objective.name for objective in estimate.front.objectives] == [o.name for o in lab.land.objectives]
    assert set(estimate.front.origin) == {"predicted"}
    whole = np.concatenate([points for points, objectives in lab.asked if len(objectives) == 4])
    assert np.array_equal(estimate.scores.weights, whole)
    assert len(whole) == 9
    assert estimate.surrogate.tasks == lab.domain.names
    assert np.isnan(estimate.gain)
    assert "budget of 19 evaluations is spent" in estimate.stopped
    predicted = estimate.surrogate.predict(estimate.front.weights)[0]
    assert estimate.front.values == pytest.approx(predicted, abs=1e-12)
    assert len(NestedMap().search(replace(lab.problem(), points=7), lab.evaluate, 19).front) == 7


@pytest.mark.parametrize("curvature", ["mild", "strong"])
def test_the_front_of_four_tasks_holds_most_of_the_true_hypervolume(curvature):
    """Over 85 % at 19 evaluations, at points that are scored without noise; random points reach less."""
    ratios, random = [], []
    for seed in range(2):
        lab = Lab(4, curvature=curvature, seed=seed)
        truth = lab.land.front(400)
        reference = truth.min(axis=0)
        volume = hypervolume(truth, reference, lab.land.objectives)
        points = lab.search(seed=seed).front.weights
        ratios.append(hypervolume(lab.land.scores(points), reference, lab.land.objectives) / volume)
        scatter = lab.land.scores(lab.domain.spread(19, seed))
        random.append(hypervolume(scatter, reference, lab.land.objectives) / volume)
    assert np.mean(ratios) > 0.85
    assert np.mean(ratios) > np.mean(random) + 0.1


def test_one_model_for_one_preference_is_nearly_the_best_there_is():
    """Mean regret of the weighted score below 0.03 for five tasks; the average merge loses more."""
    lab = Lab(5, seed=1)
    estimate = lab.search()
    dense = lab.land.scores(lab.land.front_points(1000))
    regrets, average = [], []
    for weights in np.random.default_rng(0).dirichlet(np.ones(5), 6):
        point = for_preference(estimate, weights)
        best = (dense @ weights).max()
        regrets.append(best - lab.land.scores(point[None])[0] @ weights)
        average.append(best - lab.land.scores(np.full((1, 5), 1 / 5))[0] @ weights)
    assert np.mean(regrets) < 0.03
    assert np.mean(regrets) < 0.5 * np.mean(average)


def test_a_larger_budget_asks_the_same_first_and_then_scores_whole_models():
    small, large, larger = Lab(4), Lab(4), Lab(4)
    small.search(budget=19)
    large.search(budget=24)
    larger.search(budget=40)

    def sequence(lab):
        return [(point.tobytes(), objectives) for points, objectives in lab.asked for point in points]

    assert sequence(large)[: len(sequence(small))] == sequence(small)
    assert sequence(larger)[: len(sequence(large))] == sequence(large)
    added = large.asked[len(small.asked) :]
    assert [len(points) for points, _ in added] == [5]
    assert all(len(objectives) == 4 for _, objectives in added)
    whole = [point.tobytes() for points, objectives in larger.asked if len(objectives) == 4 for point in points]
    assert len(set(whole)) == len(whole) == 30


@pytest.mark.slow
def test_more_evaluations_make_a_better_front():
    gains = []
    for seed in range(2):
        volumes = []
        for budget in (17, 33):
            lab = Lab(5, curvature="strong", seed=seed)
            front = lab.search(NestedMap(per_node=4), budget, seed).front
            reference = lab.land.front(200).min(axis=0)
            volumes.append(hypervolume(lab.land.scores(front.weights), reference, lab.land.objectives))
        gains.append(volumes[1] / volumes[0])
    assert np.mean(gains) > 1.02


def test_nodes_with_a_front_of_few_points_still_score_as_many_models(monkeypatch):
    monkeypatch.setattr(nested, "_FRONT", 1)
    lab = Lab(2)
    estimate = lab.search()
    assert len(estimate.scores) == 9
    assert len(np.unique(estimate.scores.weights, axis=0)) == 9


def test_the_seed_decides_everything():
    one, same, other = Lab(3), Lab(3), Lab(3)
    first, second, third = one.search(seed=1), same.search(seed=1), other.search(seed=2)
    assert np.array_equal(first.front.weights, second.front.weights)
    assert not np.array_equal(first.scores.weights, third.scores.weights)


def test_a_budget_too_small_names_the_smallest_and_asks_nothing():
    lab = Lab(4)
    with pytest.raises(DataError, match=r"needs a budget of 19 evaluations for 4 tasks, got 18.*per_node lower"):
        lab.search(budget=18)
    assert not lab.asked
    assert NestedMap(per_node=2).smallest_budget(lab.problem()) == 7
    assert len(lab.search(NestedMap(per_node=2), 7).scores) == 3


def test_task_evaluations_grow_like_t_log_t():
    counts = {}
    for tasks in (4, 8, 16, 32):
        lab = Lab(tasks)
        counts[tasks] = NestedMap().smallest_budget(lab.problem()) * tasks
        assert counts[tasks] == tasks * (3 + 8 * int(log2(tasks)))


def test_objectives_of_no_single_task_are_scored_at_the_root_and_constraints_hold():
    lab = Lab(4)
    lab.extra = (Objective("size"),)
    limit = Constraint("size", 1.2)
    estimate = lab.search(constraints=(limit,))
    for points, objectives in lab.asked:
        whole = len(objectives) == 5
        assert whole == (points.astype(bool).sum(axis=1).max() in (0, 4))
    assert "size" not in [objective.name for objective in estimate.front.objectives]
    predicted = estimate.surrogate.predict(estimate.front.weights)[0]
    assert are_feasible(predicted, estimate.surrogate.objectives, (limit,)).all()
    free = lab.search(traded=("score[task0]", "size"))
    assert [objective.name for objective in free.front.objectives] == ["score[task0]", "size"]


def test_failed_evaluations_are_spent_and_the_rest_goes_on():
    lab = Lab(4, failing=(3, 7))
    estimate = lab.search()
    assert estimate.details["evaluations"] == 19
    assert is_nondominated(estimate.front.scores).all()


def test_progress_is_reported_after_every_batch():
    lab = Lab(3)
    seen = []
    problem = lab.problem()
    method = NestedMap()
    budget = method.smallest_budget(problem) + 10
    method.search(problem, lab.evaluate, budget, 0, lambda estimate, count: seen.append((estimate, count)))
    assert len(seen) == len(lab.asked) + 1
    counts = [count for _, count in seen]
    assert counts == sorted(counts)
    assert counts[-1] <= budget
    assert seen[-1][0] is not None


@pytest.mark.parametrize(
    ("domain", "tasks", "message"),
    [
        (Box(("a",)), ("a",), "two or more tasks"),
        (Box(("g:a", "g:b")), ("a", "b"), "another method for groups"),
        (Box(("a", "b"), 0.1, 1.0), ("a", "b"), "must include zero"),
        (Box(("a", "b"), -1.0, 0.0), ("a", "b"), "must include zero"),
        (Simplex(("a", "b")), ("a", "b"), "nothing is measured on task 'b'"),
    ],
)
def test_domains_that_cannot_be_nested_are_refused(domain, tasks, message):
    objectives = tuple(Objective(f"loss[{task}]", task=task) for task in tasks)
    if message.startswith("nothing"):
        objectives = objectives[:1]
    problem = FrontProblem(domain, tasks, objectives)
    with pytest.raises(DataError, match=message):
        NestedMap().search(problem, lambda points, objectives: None, 100)


@pytest.mark.parametrize("settings", [{"per_node": 1}, {"kept": 0}])
def test_settings_that_score_or_keep_nothing_are_refused(settings):
    with pytest.raises(DataError, match="at least two"):
        NestedMap(**settings)
