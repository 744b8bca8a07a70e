"""Plain Gaussian process: knows nothing of merging, only that nearby points have similar scores.

    y_n(x) = m + f(x) + noise,     f ~ GP(0, Matérn 5/2 with a length per coordinate),     m flat

per objective, in standardised units. Lengths and noise are BoTorch's maximum a posteriori (its priors grow with the
dimension: Hvarfner, Hellsten & Nardi, 2024, Vanilla Bayesian optimization performs great in high dimensions); given
them, everything is linear algebra with the constant `m` integrated out (Rasmussen & Williams, 2006, Gaussian
processes for machine learning, 2.7 and 5.4.2). Bounds and links are not used: that is what makes it plain.

Shapes: `N` scores, `K` queries, `D` coordinates, `M` objectives, `S` draws.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from paretomerge.errors import FailureError, MissingExtraError
from paretomerge.surrogates.base import require_drawable, require_scores
from paretomerge.surrogates.leave_one_out import poor_fit, quality_of
from paretomerge.surrogates.residual import correlation, unit_coordinates
from paretomerge.types import Domain, Objective, Origin, Scores

SMALLEST_NOISE = 1e-6
"""Variance in units of the scores' own, so that exact or repeated scores do not make covariances singular."""


@dataclass(frozen=True)
class PlainGaussianProcess:
    """Settings of the plain Gaussian process: none. It needs the extra `search`."""

    def fit(self, scores: Scores, domain: Domain) -> FittedGaussianProcess:
        """Fit one process per objective.

        An objective's noise is that of its scores (`own_variance`) where all are known to have some, and estimated
        otherwise.

        Raises:
            DataError: fewer than two scores.
            MissingExtraError: BoTorch is not installed.
        """
        require_scores(scores, 2, "a Gaussian process")
        places = unit_coordinates(scores.weights, domain)
        processes = tuple(
            _fit_process(places, scores.values[:, index], scores.own_variance[:, index])
            for index in range(len(scores.objectives))
        )
        return FittedGaussianProcess(self, scores, domain, processes, _warnings_of(scores, processes))


@dataclass(frozen=True, eq=False)
class Process:
    """The posterior of one objective's process, with its settings fixed.

    Attributes:
        places: `[N, D]`, scored points in the unit cube.
        lengths: `[D]`.
        level: subtracted from the scores before they are divided by `unit`.
        unit: the standard deviation of the scores.
        inverse: `K^-1 [N, N]`, of the standardised scores' covariance.
        standardised: `[N]` scores.
    """

    places: np.ndarray
    lengths: np.ndarray
    level: float
    unit: float
    inverse: np.ndarray
    standardised: np.ndarray

    @cached_property
    def ones(self) -> tuple[np.ndarray, float]:
        """`K^-1 1 [N]`, and `1ᵀK^-1 1`, the precision of the constant."""
        summed = self.inverse.sum(axis=1)
        return summed, float(summed.sum())

    @cached_property
    def centred(self) -> np.ndarray:
        """`K^-1 - K^-1 1 1ᵀ K^-1 / 1ᵀK^-1 1`: blind to a constant."""
        summed, total = self.ones
        return self.inverse - np.outer(summed, summed) / total

    def covariance(self, points: np.ndarray) -> np.ndarray:
        """`[K, N]` between queries in the unit cube and scored points."""
        return matern(points, self.places, self.lengths)

    def smoother(self, covariance: np.ndarray) -> np.ndarray:
        """`[K, N]`: means are this times the scores; rows sum to one."""
        summed, total = self.ones
        return covariance @ self.centred + summed / total

    def left_out(self) -> np.ndarray:
        """`[N]`: each score as all others predict it."""
        errors = (self.centred @ self.standardised) / self.centred.diagonal()
        return self.level + self.unit * (self.standardised - errors)

    def deviations(self, covariance: np.ndarray) -> np.ndarray:
        """`[K]` standard deviations in the scores' unit."""
        explained = np.einsum("kn,nm,km->k", covariance, self.inverse, covariance, optimize=True)
        summed, total = self.ones
        variance = 1 - explained + (1 - covariance @ summed) ** 2 / total
        return self.unit * np.sqrt(np.maximum(variance, 0.0))

    def joint_root(self, points: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """A square root `[K, K]` of the covariance between queries, in the scores' unit."""
        summed, total = self.ones
        constant = 1 - covariance @ summed
        joint = matern(points, points, self.lengths) - covariance @ self.inverse @ covariance.T
        values, vectors = np.linalg.eigh(joint + np.outer(constant, constant) / total)
        return self.unit * vectors * np.sqrt(np.maximum(values, 0.0))


@dataclass(frozen=True, eq=False)
class FittedGaussianProcess:
    """A Gaussian process fitted to scores; implements `Fitted`."""

    surrogate: PlainGaussianProcess
    scores: Scores
    domain: Domain
    processes: tuple[Process, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the domain's coordinates."""
        return self.domain.names

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The order of the columns of every prediction."""
        return self.scores.objectives

    @cached_property
    def fit_quality(self) -> np.ndarray:
        """Leave-one-out R² of each objective `[M]`, lengths and noise held fixed; NaN with fewer than three scores."""
        return np.array(
            [quality_of(y, one.left_out()) for y, one in zip(self.scores.values.T, self.processes, strict=True)]
        )

    def predict(self, points: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation `[K, M]` of the noise-free score at points `[K, D]`."""
        places = unit_coordinates(self.domain.checked(points), self.domain)
        means, deviations = [], []
        for one in self.processes:
            covariance = one.covariance(places)
            means.append(one.level + one.unit * (one.smoother(covariance) @ one.standardised))
            deviations.append(one.deviations(covariance))
        return np.stack(means, axis=1), np.stack(deviations, axis=1)

    def predict_scores(self, points: Any) -> Scores:
        """The prediction as `Scores` of origin `"predicted"`."""
        checked = self.domain.checked(points)
        mean, stdev = self.predict(checked)
        origin: Origin = "predicted"
        return Scores(self.tasks, checked, mean, stdev, self.objectives, (origin,) * len(checked))

    def sample(self, points: Any, draws: int, generator: np.random.Generator) -> np.ndarray:
        """`[S, K, M]` draws of the noise-free scores, joint over points, clipped to the objectives' bounds.

        Raises:
            DataError: more points than can be drawn jointly.
        """
        places = unit_coordinates(self.domain.checked(points), self.domain)
        require_drawable(len(places))
        found = []
        for one, objective in zip(self.processes, self.objectives, strict=True):
            covariance = one.covariance(places)
            mean = one.level + one.unit * (one.smoother(covariance) @ one.standardised)
            noise = generator.standard_normal((draws, len(places))) @ one.joint_root(places, covariance).T
            low, high = objective.bounds
            found.append(np.clip(mean + noise, low, high))
        return np.stack(found, axis=2)

    def response(self, points: Any) -> np.ndarray:
        """`[M, K, N]`: the derivative of the means with respect to the scores; lengths and noise held fixed."""
        places = unit_coordinates(self.domain.checked(points), self.domain)
        return np.stack([one.smoother(one.covariance(places)) for one in self.processes])

    def extrapolates(self, points: Any) -> np.ndarray:
        """`[K]` booleans: whether some objective's standard deviation exceeds half that of its scores."""
        return (self.predict(points)[1] > 0.5 * np.std(self.scores.values, axis=0)).any(axis=1)


def matern(points: np.ndarray, others: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Matérn 5/2 correlation `[K, N]` of points `[K, D]` and others `[N, D]`."""
    from scipy.spatial.distance import cdist  # slow to import

    return correlation(cdist(points / lengths, others / lengths), 1.0)


def _fit_process(places: np.ndarray, values: np.ndarray, own_variance: np.ndarray) -> Process:
    level = float(np.mean(values))
    unit = float(np.std(values, ddof=1))
    # Scores that do not vary have no unit of their own.
    unit = unit if unit > 1e-12 * max(abs(level), 1e-300) else 1.0
    standardised = (values - level) / unit
    known = np.maximum(own_variance / unit**2, SMALLEST_NOISE) if (own_variance > 0).all() else None
    lengths, noise = _hyperparameters(places, standardised, known)
    covariance = matern(places, places, lengths) + np.diag(np.maximum(noise, SMALLEST_NOISE))
    root = np.linalg.inv(np.linalg.cholesky(covariance))
    return Process(places, lengths, level, unit, root.T @ root, standardised)


def _hyperparameters(
    places: np.ndarray, standardised: np.ndarray, noise: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Lengths `[D]` and noise variances `[N]` by BoTorch; the global random state is left as it was."""
    try:
        from botorch.exceptions.errors import ModelFittingError
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskGP
        from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
        from gpytorch.mlls import ExactMarginalLogLikelihood
    except ImportError as error:
        raise MissingExtraError.of("botorch", "search") from error
    import torch

    inputs, targets = (torch.tensor(array, dtype=torch.float64) for array in (places, standardised[:, None]))
    variances = None if noise is None else torch.tensor(noise[:, None], dtype=torch.float64)
    kernel = get_covar_module_with_dim_scaled_prior(ard_num_dims=places.shape[1], use_rbf_kernel=False)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.enable_grad():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model = SingleTaskGP(inputs, targets, variances, covar_module=kernel, outcome_transform=None)
        try:
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        except ModelFittingError as error:
            raise FailureError(
                f"BoTorch could not fit a Gaussian process to {len(places)} scores: look for scores that contradict "
                "each other at the same point, or take another surrogate"
            ) from error
    lengths = model.covar_module.lengthscale.detach().numpy().ravel()
    found = model.likelihood.noise.detach().numpy().ravel()
    return lengths, np.broadcast_to(found, (len(places),)).copy()


def _warnings_of(scores: Scores, processes: tuple[Process, ...]) -> tuple[str, ...]:
    found = []
    for objective, values, process in zip(scores.objectives, scores.values.T, processes, strict=True):
        quality = quality_of(values, process.left_out())
        if len(scores) <= len(scores.tasks) + 1:
            found.append(
                f"{objective.name}: {len(scores)} scores say little about {len(scores.tasks)} length scales; "
                "they are the prior's"
            )
        elif quality < 0:
            found.append(poor_fit(objective.name, len(scores), quality))
    return tuple(found)
