"""What the curves of `run.py` do not show: intervals, fits, wall time, and many tasks.

    python -m benchmarks.fronts.studies --recordings DIR/landscapes --out DIR/fronts

One file per study and seed, in `DIR/fronts/studies`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.fronts.contestants import Ledger, quiet
from benchmarks.fronts.landscapes import Landscape, Limit, build

from paretomerge.checkpoints.atomic import write_text
from paretomerge.fronts import hypervolume
from paretomerge.fronts.methods import FrontEstimate, Informed, NestedMap, for_preference
from paretomerge.fronts.methods.informed import fit_informed
from paretomerge.fronts.proposals import propose
from paretomerge.fronts.search import preferred_point
from paretomerge.fronts.uncertainty import score_uncertainty
from paretomerge.surrogates import Quadratic, fit_surrogate
from paretomerge.types import to_minimised

SEEDS = range(10)
HELD_OUT = 200
COVERED = ("mild-2", "mild-4", "strong-2", "strong-4", "strong-6", "digits-2", "digits-3", "digits-4", "sentiment-3")
BUDGETS = (10, 30, 60)
Study = Callable[[int, Path], dict[str, Any]]


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--studies", nargs="+", choices=sorted(STUDIES), default=sorted(STUDIES))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for name in chosen.studies:
        for seed in chosen.seeds:
            place = chosen.out / "studies" / name / f"seed{seed}.json"
            if place.exists():
                continue
            with quiet():
                found = STUDIES[name](seed, chosen.recordings)
            place.parent.mkdir(parents=True, exist_ok=True)
            write_text(place, json.dumps(found))
            print(name, seed, json.dumps(found), flush=True)


def coverage(seed: int, recordings: Path) -> dict[str, Any]:
    """How often nominal 90 % intervals hold the noise-free score, at points nobody evaluated, after `n` evaluations."""
    found = {}
    for name in COVERED:
        landscape = build(name, seed, recordings)
        points = landscape.problem.domain.spread(HELD_OUT, seed + 500)
        truth = landscape.truth(points)
        rows = {}
        for budget in BUDGETS:
            measure = Ledger(landscape.noisy, seed)
            estimate = Informed(stop_gain=0.0).search(landscape.problem, measure, budget, seed)
            scores = estimate.scores
            if scores.shared is not None:
                # What batches share of their errors is known here: all were scored on the same examples.
                scores = landscape.noisy(scores.weights, np.random.default_rng(0))
            surrogate = fit_informed(scores, landscape.problem)
            lower, upper = score_uncertainty(surrogate, points, seed=seed).interval(0.9)
            covered = (lower <= truth) & (truth <= upper)
            rows[str(budget)] = {"covered": float(covered.mean()), "width": float(np.mean(upper - lower))}
        found[name] = rows
    return found


def fits(seed: int, recordings: Path) -> dict[str, Any]:
    """Held-out R² of the quadratic at 1.5 times as many scores as coefficients: exact scores, and shares of 1000."""
    found = {}
    for curvature in ("mild", "strong"):
        for tasks in (2, 3, 4, 6, 8):
            landscape = build(f"{curvature}-{tasks}", seed, recordings)
            domain, problem = landscape.problem.domain, landscape.problem
            count = int(np.ceil(1.5 * (tasks + 1) * (tasks + 2) / 2))
            noisy = landscape.noisy(domain.spread(count, seed), np.random.default_rng([seed, 9]))
            points = domain.spread(500, seed + 500)
            truth = landscape.truth(points)
            for kind, scores in (("exact", exactly(landscape, noisy.weights)), ("noisy", noisy)):
                mean, _ = fit_surrogate(scores, Quadratic(), problem.domain).predict(points)
                r2 = 1 - ((mean - truth) ** 2).mean(axis=0) / truth.var(axis=0)
                found[f"{curvature}-{tasks} {kind}"] = {"mean": float(r2.mean()), "worst": float(r2.min())}
    return found


def exactly(landscape: Landscape, points: np.ndarray) -> Any:
    """Scores without noise."""
    from paretomerge.types import Scores

    values = landscape.truth(points)
    tasks, objectives = landscape.problem.domain.names, landscape.problem.objectives
    return Scores(tasks, points, values, np.zeros_like(values), objectives, "merged")  # type: ignore[arg-type]


def speed(seed: int, recordings: Path) -> dict[str, Any]:
    """Wall seconds of fit and proposal at T = 8, N = 200, and of exact hypervolumes; and whether those are exact."""
    landscape = build("mild-8", seed, recordings)
    scores = landscape.noisy(landscape.problem.domain.spread(200, seed), np.random.default_rng(seed))
    began = time.perf_counter()
    surrogate = fit_informed(scores, landscape.problem)
    fitted = time.perf_counter()
    propose(surrogate, landscape.problem, 8, seed)
    found: dict[str, Any] = {"fit": fitted - began, "propose": time.perf_counter() - fitted}
    rng = np.random.default_rng(seed)
    for objectives in (2, 3, 4, 5):
        few = rng.random((10, objectives))
        apart = abs(hypervolume(few, np.ones(objectives)) - inclusion_exclusion(few)) / inclusion_exclusion(few)
        directions = rng.standard_normal((1000, objectives))
        many = 1 - np.abs(directions) / np.linalg.norm(directions, axis=1, keepdims=True)
        began = time.perf_counter()
        hypervolume(many, np.ones(objectives))
        found[f"hypervolume {objectives}"] = {"error": float(apart), "seconds": time.perf_counter() - began}
    return found


def inclusion_exclusion(points: np.ndarray) -> float:
    """The hypervolume up to one, the slow way."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for rows in combinations(range(len(points)), size):
            total -= (-1) ** size * float(np.prod(1 - points[list(rows)].max(axis=0)))
    return total


def nested(seed: int, recordings: Path) -> dict[str, Any]:
    """Nested MAP at 8 and 16 tasks, and Informed with as many evaluations (scores of a model on all tasks).

    Quality is that of the model for a preference, over 30 random ones: the weighted sum of true scores, where 0 is the
    average of the finetunes and 1 the best point there is.
    """
    found = {}
    for tasks in (8, 16):
        for curvature in ("mild", "strong"):
            landscape = build(f"{curvature}-{tasks}", seed, recordings)
            budget = NestedMap().smallest_budget(landscape.problem)
            for name, method in (("nested-map", NestedMap()), ("informed", Informed(batch=10, stop_gain=0.0))):
                began = time.perf_counter()
                estimate = method.search(landscape.problem, Ledger(landscape.noisy, seed), budget, seed)
                found[f"{curvature}-{tasks} {name}"] = {
                    "evaluations": float(estimate.details.get("evaluations", len(estimate.scores))),  # type: ignore[arg-type]
                    "utility": preferred(landscape, estimate, seed),
                    "seconds": time.perf_counter() - began,
                    **({"share": landscape.share(estimate.front.weights)} if tasks == 8 else {}),
                }
    return found


def preferred(landscape: Landscape, estimate: FrontEstimate, seed: int) -> float:
    """Mean over preferences of how much of the way from the average to the best point is gone."""
    problem = landscape.problem
    size = len(problem.domain.names)

    def value(points: np.ndarray, weights: np.ndarray) -> float:
        return float((to_minimised(landscape.truth(points), problem.objectives) @ weights).min())

    ways = []
    for weights in np.random.default_rng([seed, 5]).dirichlet(np.ones(size), 30):
        point = for_preference(estimate, weights, seed=seed)
        known = preferred_point(Limit(landscape), weights, start=estimate.front.weights, seed=seed)
        dense = float((to_minimised(landscape.dense, problem.objectives) @ weights).min())
        top = min(dense, value(known[None], weights), value(point[None], weights))
        average = value(np.full((1, size), 1 / size), weights)
        ways.append((average - value(point[None], weights)) / (average - top))
    return float(np.mean(ways))


STUDIES: dict[str, Study] = {"coverage": coverage, "fits": fits, "speed": speed, "nested": nested}


if __name__ == "__main__":
    main()
