"""Who is compared: the package's methods, and what one would use without it.

Every contestant gets the same problem, the same noise and the same ledger. It tells `watch` how many evaluations it has
spent and which points it recommends then: the front its surrogate predicts, or what it measured to be non-dominated
where it has none. Settings were chosen on seeds from 100; seeds 0 to 9 are reported.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from paretomerge.errors import DataError
from paretomerge.fronts import is_nondominated
from paretomerge.fronts.methods import BayesianMap, FrontEstimate, FrontMethod, FrontProblem, Informed, Map, Spaced
from paretomerge.fronts.search import search_front
from paretomerge.surrogates import PlainGaussianProcess, fit_surrogate, initial_design
from paretomerge.types import Objective, Scores, to_minimised

Watch = Callable[[int, np.ndarray], None]
CHECKPOINTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 28, 36, 45, 60, 80, 100, 150)
FEW = 12
"""Up to here every checkpoint is a search of its own: batches are larger than what is between them."""
MOST = {2: 60, 3: 100, 4: 100, 6: 150, 8: 150, 16: 150}
"""Evaluations at which a search is given up, by the number of objectives."""


class Ledger:
    """Scores models, counts them, and remembers what was measured.

    The noise of the `n`-th evaluation is the same whoever asks for it, so a method that starts again with a larger
    budget asks, and is answered, the same; what it asked before is recalled and costs nothing.
    """

    def __init__(self, noisy: Callable[[np.ndarray, np.random.Generator], Scores], seed: int) -> None:
        """Nothing measured yet."""
        self.noisy, self.seed = noisy, seed
        self.count = 0
        self.known: dict[bytes, Scores] = {}

    def __call__(self, points: np.ndarray, objectives: Sequence[Objective] | None = None) -> Scores:
        """Scores of points `[B, D]` on some objectives, or all; those that are new are measured together."""
        found = self._found(points)
        if objectives is None or tuple(objectives) == found.objectives:
            return found
        return found.columns([found.objectives.index(objective) for objective in objectives])

    def _found(self, points: np.ndarray) -> Scores:
        keys = [row.tobytes() for row in np.ascontiguousarray(points, dtype=np.float64)]
        new = [row for row, key in enumerate(keys) if key not in self.known]
        if new:
            found = self._measure(points[new])
            if len(new) == len(keys):
                self.known.update((key, found.take([row])) for row, key in enumerate(keys))
                return found
            self.known.update((keys[row], found.take([place])) for place, row in enumerate(new))
        return Scores.concatenate([self.known[key] for key in keys])

    def _measure(self, points: np.ndarray) -> Scores:
        rng = np.random.default_rng([self.seed, 1, self.count])
        self.count += len(points)
        return self.noisy(points, rng)


class Contestant(Protocol):
    """A search under watch."""

    def run(self, problem: FrontProblem, measure: Ledger, checkpoints: Sequence[int], seed: int, watch: Watch) -> str:
        """Search until the last checkpoint, or until `watch` raises; returns why it ended."""
        ...


@dataclass(frozen=True)
class Adaptive:
    """A method of the package that chooses its points as scores come in.

    Its surrogate's front is searched thoroughly at the first batch that reaches each checkpoint; `zero` asks for the
    front before the first evaluation as well.
    """

    method: FrontMethod
    zero: bool = False

    def run(self, problem: FrontProblem, measure: Ledger, checkpoints: Sequence[int], seed: int, watch: Watch) -> str:
        """Single searches with few evaluations, then one with the largest budget, watched on the way."""
        few = [count for count in checkpoints if count <= FEW]
        Fixed(self.method).run(problem, measure, [0, *few] if self.zero else few, seed, watch)
        waiting = list(checkpoints)[len(few) :]

        def on_batch(estimate: FrontEstimate | None, count: int) -> None:
            if estimate is None or estimate.surrogate is None or not waiting or count < waiting[0]:
                return
            while waiting and waiting[0] <= count:
                waiting.pop(0)
            watch(count, search_front(estimate.surrogate, seed=seed).weights)

        with quiet():
            found = self.method.search(problem, measure, checkpoints[-1], seed, on_batch)
        return found.stopped


@dataclass(frozen=True)
class Fixed:
    """One search per checkpoint; what a smaller budget has asked is recalled."""

    method: FrontMethod

    def run(self, problem: FrontProblem, measure: Ledger, checkpoints: Sequence[int], seed: int, watch: Watch) -> str:
        """All checkpoints that the method can work with."""
        for count in checkpoints:
            try:
                with quiet():
                    found = self.method.search(problem, measure, count, seed)
            except DataError:
                continue  # too few evaluations for this method
            watch(len(found.scores), found.front.weights)
        return "budget"


@dataclass(frozen=True)
class EvolvingModels:
    """NSGA-II (pymoo) whose every individual is a model that is scored, as evolutionary merging does it.

    Args:
        population: of each generation; the first one is the design that the other searches start with.
    """

    population: int = 20

    def run(self, problem: FrontProblem, measure: Ledger, checkpoints: Sequence[int], seed: int, watch: Watch) -> str:
        """Recommends what was measured to be non-dominated, in all generations."""
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.evaluator import Evaluator
        from pymoo.core.population import Population
        from pymoo.core.problem import Problem
        from pymoo.problems.static import StaticProblem

        lower, upper = problem.domain.corners  # type: ignore[attr-defined]
        described = Problem(n_var=len(lower), n_obj=len(problem.objectives), xl=lower, xu=upper)
        algorithm = NSGA2(pop_size=self.population, sampling=initial_design(problem.domain, self.population, seed))
        algorithm.setup(described, termination=("n_gen", np.inf), seed=seed)
        found = []
        while sum(map(len, found)) < checkpoints[-1]:
            points = problem.domain.nearest(np.asarray(algorithm.ask().get("X"), dtype=np.float64))
            found.append(measure(points))
            infills = Population.new("X", points)
            values = to_minimised(found[-1].values, problem.objectives)
            Evaluator().eval(StaticProblem(described, F=values), infills)
            algorithm.tell(infills=infills)
        scores = Scores.concatenate(found)
        for count in checkpoints:
            first = scores.take(range(count))
            watch(count, first.weights[is_nondominated(first)])
        return "budget"


@dataclass(frozen=True)
class PlainBayesian:
    """qLogNEHVI up to three objectives, qLogNParEGO above, by botorch, with a Matern Gaussian process per objective.

    Recommended is the front of the processes' means, searched as for every other surrogate (Daulton, Balandat &
    Bakshy, 2021, Parallel Bayesian optimization of multiple noisy objectives with expected hypervolume improvement;
    Ament et al., 2023, Unexpected improvements to expected improvement for Bayesian optimization). In
    three pilots 64 draws and four restarts changed shares by up to 0.04 at ten evaluations and 0.01 from twenty on, at
    twice the cost.

    Args:
        batch: evaluations between two fits.
        draws: of the posterior.
        restarts: of the acquisition's optimisation, from the best of `starts` points.
        most: evaluations, at most: it is by far the slowest.
    """

    batch: int = 5
    draws: int = 16
    restarts: int = 2
    starts: int = 64
    most: int = 60

    def run(self, problem: FrontProblem, measure: Ledger, checkpoints: Sequence[int], seed: int, watch: Watch) -> str:
        """From the first checkpoint that its initial design, `2 (D + 1)` points, allows."""
        scores = measure(initial_design(problem.domain, 2 * (problem.domain.cube_dimension + 1), seed))
        for checkpoint in checkpoints:
            if not len(scores) <= checkpoint <= self.most:
                continue
            while len(scores) < checkpoint:
                count = min(self.batch, checkpoint - len(scores))
                points = self.proposed(problem, scores, count, seed + 1000 * len(scores))
                scores = Scores.concatenate([scores, measure(points)])
            with quiet():
                fitted = fit_surrogate(scores, PlainGaussianProcess(), problem.domain)
                front = search_front(fitted, seed=seed)
            watch(checkpoint, front.weights)
        return "budget"

    def proposed(self, problem: FrontProblem, scores: Scores, count: int, seed: int) -> np.ndarray:
        """The next batch `[count, D]`."""
        import torch
        from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
        from botorch.acquisition.multi_objective.parego import qLogNParEGO
        from botorch.optim import optimize_acqf
        from botorch.sampling import SobolQMCNormalSampler
        from botorch.utils.multi_objective.hypervolume import infer_reference_point
        from botorch.utils.multi_objective.pareto import is_non_dominated

        lower, upper = problem.domain.corners  # type: ignore[attr-defined]
        inputs = torch.tensor((scores.weights - lower) / (upper - lower))
        targets = -torch.tensor(to_minimised(scores.values, scores.objectives))
        torch.manual_seed(seed)
        bounds = torch.stack([torch.zeros(inputs.shape[1]), torch.ones(inputs.shape[1])]).double()
        settings: dict[str, Any] = {
            "num_restarts": self.restarts,
            "raw_samples": self.starts,
            "options": {"maxiter": 60, "seed": seed},
        }
        with quiet():
            model = gaussian_processes(inputs, targets, torch.tensor(scores.own_variance))
            sampler = SobolQMCNormalSampler(torch.Size([self.draws]), seed=seed)
            if targets.shape[1] <= 3:
                corner = infer_reference_point(targets[is_non_dominated(targets)])
                criterion = qLogNoisyExpectedHypervolumeImprovement(
                    model, corner, inputs, sampler=sampler, prune_baseline=True
                )
                chosen, _ = optimize_acqf(criterion, bounds, count, sequential=True, **settings)
            else:
                chosen = torch.zeros(0, inputs.shape[1], dtype=torch.float64)
                for _ in range(count):
                    pending = chosen if len(chosen) else None
                    scalarised = qLogNParEGO(model, inputs, sampler=sampler, X_pending=pending)
                    one, _ = optimize_acqf(scalarised, bounds, 1, **settings)
                    chosen = torch.cat([chosen, one])
        return np.asarray(lower + chosen.numpy() * (upper - lower))


def gaussian_processes(inputs: Any, targets: Any, variance: Any) -> Any:
    """One fitted process per objective; noise is given where it is known, otherwise learned."""
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import ModelListGP, SingleTaskGP
    from botorch.models.transforms import Standardize
    from gpytorch.mlls import SumMarginalLogLikelihood

    parts = []
    for column in range(targets.shape[1]):
        known = variance[:, [column]]
        given = {"train_Yvar": known} if bool((known > 0).all()) else {}
        parts.append(SingleTaskGP(inputs, targets[:, [column]], outcome_transform=Standardize(1), **given))
    model = ModelListGP(*parts)
    fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
    return model


class quiet(warnings.catch_warnings):  # noqa: N801
    """Other packages' warnings about their own defaults are not news here."""

    def __enter__(self) -> Any:
        """Ignore everything."""
        found = super().__enter__()
        warnings.simplefilter("ignore")
        return found


CONTESTANTS: dict[str, Contestant] = {
    "informed": Adaptive(Informed(stop_gain=0.0), zero=True),
    "map": Fixed(Map()),
    "bayesian-map": Adaptive(BayesianMap()),
    "sobol": Fixed(Spaced("sobol")),
    "random": Fixed(Spaced("random")),
    "nsga2": EvolvingModels(),
    "plain-bo": PlainBayesian(),
}
