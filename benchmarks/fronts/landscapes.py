"""Landscapes on which searches are compared: their noise-free truth, their noise, and wrong posteriors.

- `mild-T`, `strong-T`: sigmoids of concave quadratics (`paretomerge.testing.SigmoidQuadratic`); every evaluation is
  a share of 1000 fresh examples; posteriors are wrong by 2 to 3 times in scale, 0.3 in gradient, 0.2 in curvature.
- `digits-T`, `sentiment-T`: interpolated recordings of real merges (`record.py`), with what their posteriors predict.
  A seed evaluates one half of the recorded examples for all models; the truth is the mean over all of them.
- `zdt1`, …, `dtlz7`: pymoo's test problems, none of them a quadratic; Gaussian noise of 1 % of the front's range and
  quadratics fitted to the truth, then made as wrong as above, in the place of posteriors.

Shapes: `K` points, `D` coordinates, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path

import moocore
import numpy as np
from scipy.interpolate import RBFInterpolator

from paretomerge.fronts import is_nondominated
from paretomerge.fronts.hypervolume import beyond_worst
from paretomerge.fronts.methods import FrontProblem
from paretomerge.fronts.search import search_front
from paretomerge.testing.landscapes import Quadratics, SigmoidQuadratic
from paretomerge.types import Box, Domain, Objective, Scores, to_minimised

SYNTHETIC = (2, 3, 4, 6, 8)
RECORDED = {"digits": (2, 3, 4), "sentiment": (2, 3)}
BROKEN = {"zdt1": (2, 3), "zdt2": (2, 3), "zdt3": (2, 3), "dtlz2": (3, 4), "dtlz5": (3, 4), "dtlz7": (3, 4)}
"""Objectives and variables of pymoo's problems. DTLZ1 is left out: nobody found any volume in 100 evaluations."""
EXAMPLES = 1000
NOISE = 0.01
EXACT = 5
DIRECTIONS = 20_000

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Landscape:
    """One seed of one landscape.

    Args:
        name: as in the tables.
        problem: what a method is told.
        truth: points `[K, D]` to noise-free scores `[K, M]`, in the objectives' own directions.
        noisy: points and a generator to measured scores.
        dense: noise-free scores `[R, M]` of a dense search on the truth.
        limit: points to what the mean of ever more measurements tends to: the truth, unless measurements share their
            examples.
    """

    name: str
    problem: FrontProblem
    truth: Function
    noisy: Callable[[np.ndarray, np.random.Generator], Scores]
    dense: np.ndarray
    limit: Function

    @cached_property
    def front(self) -> np.ndarray:
        """`[R, M]` the dense front, minimised."""
        values = to_minimised(self.dense, self.problem.objectives)
        return values[is_nondominated(values)]

    @cached_property
    def reference(self) -> np.ndarray:
        """`[M]`, minimised: the worst of the dense front plus 10 % of its range. No method is told."""
        return beyond_worst(self.front)

    @cached_property
    def whole(self) -> float:
        """The hypervolume of what the methods' own search finds with evaluations at every point: as many points.

        A front of more than three objectives is never covered by a few hundred points (at eight, half of its
        volume is missing), so that shares of its whole volume would measure the number of points.
        """
        seeds = range(1 if len(self.problem.objectives) < 4 else 3)
        found = [self.volume(search_front(Limit(self), seed=seed).weights) for seed in seeds]
        return float(np.median(found))

    def volume(self, points: np.ndarray) -> float:
        """The noise-free hypervolume of points."""
        return volume(to_minimised(self.truth(points), self.problem.objectives), self.reference)

    def share(self, points: np.ndarray) -> float:
        """The noise-free hypervolume of recommended points, as a share of `whole`."""
        return self.volume(points) / self.whole


@dataclass(frozen=True, eq=False)
class Limit:
    """A landscape as a surrogate that was fitted to evaluations at every point, for the search."""

    landscape: Landscape

    @property
    def domain(self) -> Domain:
        """Where it is searched."""
        return self.landscape.problem.domain

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        return self.domain.names

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is traded."""
        return self.landscape.problem.objectives

    @property
    def scores(self) -> Scores:
        """Nothing was measured."""
        empty = np.zeros((0, len(self.objectives)))
        return Scores(self.tasks, np.zeros((0, len(self.tasks))), empty, empty, self.objectives, ())

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What evaluations tend to, and zeros."""
        values = self.landscape.limit(points)
        return values, np.zeros_like(values)


def volume(values: np.ndarray, reference: np.ndarray) -> float:
    """Hypervolume of minimised `values [N, M]`: exact up to five objectives, then along fixed directions.

    Above five objectives the polar form is integrated over the same quasi-random directions for all sets (Deng and
    Zhang, 2019, Approximating hypervolume and hypervolume contributions using polar coordinate), so that ratios are
    free of sampling noise.
    """
    kept = values[(values < reference).all(axis=1)]
    if not len(kept):
        return 0.0
    if values.shape[1] <= EXACT:
        return float(moocore.hypervolume(kept, ref=reference))
    return float(moocore.hv_approx(kept, ref=reference, nsamples=DIRECTIONS, method="DZ2019-HW"))


def names() -> list[str]:
    """Every landscape of the table."""
    synthetic = [f"{curvature}-{tasks}" for curvature in ("mild", "strong") for tasks in SYNTHETIC]
    recorded = [f"{setting}-{tasks}" for setting, counts in RECORDED.items() for tasks in counts]
    return [*synthetic, *recorded, *BROKEN]


def build(name: str, seed: int, recordings: Path) -> Landscape:
    """One seed of a landscape.

    Raises:
        FileNotFoundError: a recorded landscape that nobody has recorded.
    """
    kind, _, tasks = name.partition("-")
    if kind in ("mild", "strong"):
        return synthetic_landscape(name, kind, int(tasks), seed)
    if kind in RECORDED:
        return recorded_landscape(name, recordings, int(tasks), seed)
    return broken_landscape(name, seed)


def synthetic_landscape(name: str, curvature: str, tasks: int, seed: int) -> Landscape:
    """A new landscape and a new wrong posterior for every seed."""
    rng = np.random.default_rng([seed, tasks, curvature == "strong"])
    drawn = SigmoidQuadratic.random(tasks, curvature, rng)  # type: ignore[arg-type]
    problem = FrontProblem(drawn.domain, drawn.tasks, drawn.objectives, predicted_losses=drawn.wrong_posterior(rng))
    return Landscape(
        name,
        problem,
        drawn.scores,
        lambda points, rng: drawn.measure(points, rng, EXAMPLES),
        drawn.front(1000),
        drawn.scores,
    )


@dataclass(frozen=True, eq=False)
class Recording:
    """Per-example losses of merged models, interpolated between the recorded coefficients.

    Args:
        points: `[N, D]`, recorded coefficients.
        losses: `[N, D, examples]`; one task per coefficient.
        predicted: what posteriors predict.
    """

    points: np.ndarray
    losses: np.ndarray
    predicted: Quadratics

    @classmethod
    def read(cls, folder: Path) -> Recording:
        """What `record.py` wrote."""
        parts = [np.load(file) for file in sorted(folder.glob("losses-*.npz"))]
        if not parts:
            raise FileNotFoundError(f"{folder}: nothing is recorded there, run record.py first")
        stored = np.load(folder / "predicted.npz")
        points, first = np.unique(np.concatenate([part["points"] for part in parts]), axis=0, return_index=True)
        losses = np.concatenate([part["losses"] for part in parts])[first].astype(np.float64)
        return cls(points, losses, Quadratics(stored["A"], stored["b"], stored["e"]))

    def interpolated(self, values: np.ndarray) -> Function:
        """Quintic radial basis functions through `values [N, ...]`, as a function of the coefficients."""
        return RBFInterpolator(self.points, values, kernel="quintic", degree=2)


def recorded_landscape(name: str, recordings: Path, tasks: int, seed: int) -> Landscape:
    """The first tasks of a recording; the coefficients of the others are zero. Each seed has its own half of examples.

    Standard errors are those of a sample without replacement, since the truth is the mean of what is sampled from.
    """
    setting = name.partition("-")[0]
    recording = read_recording(recordings, setting + ("-four" if tasks == 4 else ""), seed)
    count = recording.losses.shape[2]
    size = recording.points.shape[1]
    half = np.random.default_rng([seed, 77]).permutation(count)[: count // 2]
    chosen = recording.losses[:, :tasks]
    exact = recording.interpolated(chosen.mean(axis=2))
    same = recording.interpolated(chosen[:, :, half].mean(axis=2))
    each = recording.interpolated(chosen[:, :, half].reshape(len(chosen), -1))
    labels = tuple(f"task{t}" for t in range(tasks))
    objectives = tuple(Objective(f"loss[{task}]", "minimise", "nats", (0.0, None), task, "loss") for task in labels)

    def filled(points: np.ndarray) -> np.ndarray:
        return np.pad(np.asarray(points, dtype=np.float64), ((0, 0), (0, size - tasks)))

    def noisy(points: np.ndarray, _: np.random.Generator) -> Scores:
        examples = each(filled(points)).reshape(len(points), tasks, len(half))
        apart = examples - examples.mean(axis=2, keepdims=True)
        unsampled = 1 - len(half) / count
        shared = np.einsum("ktn,ltn->tkl", apart, apart) * unsampled / (len(half) - 1) / len(half)
        stderr = np.sqrt(np.einsum("tkk->kt", shared))
        return Scores(labels, points, examples.mean(axis=2), stderr, objectives, "merged", shared)  # type: ignore[arg-type]

    domain = Box(labels)
    problem = FrontProblem(
        domain, labels, objectives, predicted_losses=lambda p: recording.predicted(filled(p))[:, :tasks]
    )

    def truth(points: np.ndarray) -> np.ndarray:
        return exact(filled(points))

    def limit(points: np.ndarray) -> np.ndarray:
        return same(filled(points))

    return Landscape(name, problem, truth, noisy, searched(truth, domain), limit)


@cache
def read_recording(recordings: Path, setting: str, seed: int) -> Recording:
    """Seeds below 100 share what is recorded of such seeds, the others what is recorded of seeds from 100."""
    found = [int(folder.name.rpartition("-seed")[2]) for folder in recordings.glob(f"{setting}-seed*")]
    usable = sorted(number for number in found if (number >= 100) == (seed >= 100)) or sorted(found)
    if not usable:
        raise FileNotFoundError(f"{recordings}: no recording of {setting}, run record.py first")
    return Recording.read(recordings / f"{setting}-seed{usable[seed % len(usable)]}")


def searched(truth: Function, domain: Box, rounds: int = 5, seed: int = 0) -> np.ndarray:
    """Noise-free scores of a dense search: 2^14 Sobol points, then ever closer neighbours of the best ones."""
    rng = np.random.default_rng(seed)
    points = np.concatenate(
        [domain.spread(2**14, seed), np.array(list(product((0.0, 0.5, 1.0), repeat=len(domain.names))))]
    )
    values = truth(points)
    for step in range(rounds):
        best = is_nondominated(values)
        points, values = points[best], values[best]
        parents = points[rng.integers(len(points), size=6000)]
        moved = domain.nearest(parents + 0.05 / 2**step * rng.standard_normal(parents.shape))
        points, values = np.concatenate([points, moved]), np.concatenate([values, truth(moved)])
    return values


def broken_landscape(name: str, seed: int) -> Landscape:
    """A test problem of pymoo's, the same for all seeds; noise and wrong quadratics are new."""
    from pymoo.problems import get_problem

    count, size = BROKEN[name]
    described = get_problem(name, n_var=size, **({} if name.startswith("zdt") else {"n_obj": count}))

    def truth(points: np.ndarray) -> np.ndarray:
        return np.asarray(described.evaluate(np.asarray(points, dtype=np.float64), return_values_of=["F"]))

    labels = tuple(f"f{m}" for m in range(count))
    objectives = tuple(Objective(label, metric="loss") for label in labels)
    domain = Box(tuple(f"x{d}" for d in range(size)))
    dense = truth(pareto_set(name, count, size))
    dense = dense[is_nondominated(dense)]
    stderr = NOISE * np.ptp(dense, axis=0)

    def noisy(points: np.ndarray, rng: np.random.Generator) -> Scores:
        errors = stderr * rng.standard_normal((len(points), count))
        spread = np.broadcast_to(stderr, errors.shape)
        return Scores(domain.names, points, truth(points) + errors, spread, objectives, "merged")  # type: ignore[arg-type]

    wrong = wrong_quadratics(truth, domain, np.random.default_rng([seed, *map(ord, name)]))
    return Landscape(name, FrontProblem(domain, labels, objectives, predicted_losses=wrong), truth, noisy, dense, truth)


def pareto_set(name: str, objectives: int, size: int) -> np.ndarray:
    """A grid over the variables that move along the front, with the others at their best."""
    levels = {1: 2000, 2: 70}[objectives - 1]
    axes = [np.linspace(0, 1, levels)] * (objectives - 1)
    moving = np.array(list(product(*axes)))
    rest = np.full((len(moving), size - objectives + 1), 0.5 if name in ("dtlz2", "dtlz5") else 0.0)
    return np.concatenate([moving, rest], axis=1)


def wrong_quadratics(truth: Function, domain: Box, rng: np.random.Generator) -> Quadratics:
    """Least-squares quadratics, then 2 to 3 times off in scale, 0.3 in gradient and 0.2 in curvature."""
    size = len(domain.names)
    points = domain.spread(2048, 0)
    rows, columns = np.triu_indices(size)
    features = np.concatenate([np.ones((len(points), 1)), points, points[:, rows] * points[:, columns]], axis=1)
    fitted = np.linalg.lstsq(features, truth(points), rcond=None)[0].T
    matrices, gradients, constants = [], [], []
    for row in fitted:
        steep = rng.uniform(2, 3) ** rng.choice([-1.0, 1.0])
        matrix = np.zeros((size, size))
        matrix[rows, columns] = row[1 + size :]
        matrix = matrix + matrix.T
        error = rng.standard_normal((size, size))
        error = (error + error.T) * 0.2 * np.linalg.norm(matrix) / np.linalg.norm(error + error.T)
        direction = rng.standard_normal(size)
        direction *= 0.3 * np.linalg.norm(row[1 : 1 + size]) / np.linalg.norm(direction)
        matrices.append(steep * (matrix + error))
        gradients.append(steep * (row[1 : 1 + size] + direction))
        constants.append(row[0])
    return Quadratics(np.stack(matrices), np.stack(gradients), np.array(constants))
