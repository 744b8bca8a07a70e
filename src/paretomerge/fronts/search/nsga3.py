"""NSGA-III over a surrogate (Deb & Jain, 2014, An evolutionary many-objective optimization algorithm using
reference-point-based nondominated sorting), by pymoo.

The surrogate is cheap, so everything it ever predicted is kept, not only the last generation: the front is the
non-dominated part of all of it.

Shapes: `K` points, `D` coordinates, `M` objectives, `C` constraints, `R` reference directions.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np

from paretomerge.errors import MissingExtraError
from paretomerge.fronts.search.landmarks import bounds_of
from paretomerge.types import Domain, Scores, simplex_grid

POPULATION = 150
GENERATIONS = 80

Predict = Callable[[np.ndarray], Scores]
Measure = Callable[[Scores], tuple[np.ndarray, np.ndarray]]


def reference_directions(objectives: int, count: int = POPULATION) -> np.ndarray:
    """About `count` directions `[R, M]` on the simplex, without pymoo's slow energy method.

    The regular grid where it has inner points (at least `M` divisions); else two layers, as Deb and Jain propose: a
    grid on the faces and a smaller one, shrunk by half towards the centre, inside; at least pairs and the centre.

    >>> reference_directions(2, 5).tolist()
    [[0.0, 1.0], [0.25, 0.75], [0.5, 0.5], [0.75, 0.25], [1.0, 0.0]]
    >>> reference_directions(8, 156).shape
    (156, 8)
    """
    outer = max(_divisions(objectives, count), 2)
    grid = simplex_grid(objectives, outer)
    if outer >= objectives:
        return grid
    inner = min(_divisions(objectives, count - len(grid)), outer - 1)
    if inner < 1:
        return np.concatenate([grid, np.full((1, objectives), 1.0 / objectives)])
    return np.concatenate([grid, 0.5 * simplex_grid(objectives, inner) + 0.5 / objectives])


def nsga3_scores(
    predict: Predict,
    measure: Measure,
    domain: Domain,
    start: np.ndarray,
    *,
    population: int = POPULATION,
    generations: int = GENERATIONS,
    seed: int = 0,
) -> Scores:
    """Everything that was predicted on the way, in order.

    Args:
        predict: points `[K, D]` of the domain to scores.
        measure: scores to the values `[K, M]` that are minimised, and violations `[K, C]`, zero or less where a
            constraint is respected.
        domain: where points are moved to (the nearest) after crossover and mutation.
        start: points `[K, D]` of the first generation; any number.
        population: about how many reference directions.
        generations: after the first.
        seed: of pymoo's operators.

    Raises:
        MissingExtraError: pymoo is not installed.
    """
    found = [predict(start)]
    values, violations = measure(found[0])
    algorithm = _algorithm(start, values.shape[1], violations.shape[1], domain, population, seed)
    _tell(algorithm, start, values, violations)
    for _ in range(generations):
        points = domain.nearest(np.asarray(algorithm.ask().get("X"), dtype=np.float64))
        found.append(predict(points))
        _tell(algorithm, points, *measure(found[-1]))
    return Scores.concatenate(found)


def _algorithm(start: np.ndarray, objectives: int, constraints: int, domain: Domain, population: int, seed: int) -> Any:
    try:
        from pymoo.algorithms.moo.nsga3 import NSGA3  # optional, and slow to import
        from pymoo.core.problem import Problem
    except ImportError as error:
        raise MissingExtraError.of("pymoo", "search") from error
    lower, upper = bounds_of(domain)
    problem = Problem(n_var=len(lower), n_obj=objectives, n_ieq_constr=constraints, xl=lower, xu=upper)
    directions = reference_directions(objectives, population)
    size = max(len(directions), population)
    algorithm = NSGA3(ref_dirs=directions, pop_size=size + size % 2, sampling=start)
    algorithm.setup(problem, termination=("n_gen", np.inf), seed=seed)
    algorithm.ask()
    return algorithm


def _tell(algorithm: Any, points: np.ndarray, values: np.ndarray, violations: np.ndarray) -> None:
    from pymoo.core.evaluator import Evaluator
    from pymoo.core.population import Population
    from pymoo.problems.static import StaticProblem

    infills = Population.new("X", points)
    given = {"F": values, "G": violations} if violations.shape[1] else {"F": values}
    Evaluator().eval(StaticProblem(algorithm.problem, **given), infills)
    algorithm.tell(infills=infills)


def _divisions(objectives: int, most: int) -> int:
    """The largest number of divisions whose grid has at most `most` directions; 0 if there is none."""
    divisions = 0
    while objectives > 1 and comb(divisions + objectives, objectives - 1) <= most:
        divisions += 1
    return divisions
