"""Hyperparameters by the evidence of the linearised problem, with weakly informative priors of their logarithms.

The problem is linearised at the mode, hyperparameters move uphill from there by L-BFGS with exact gradients, and so
on until they stay (MacKay, 1992, Bayesian interpolation; Rasmussen & Williams, 2006, 5.4.1). The best hyperparameters
of few scores are too sure of themselves: a posterior that fits five scores well leaves no residual, and intervals
around the sixth are far too narrow. With few scores their posterior mean is taken instead (importance sampling).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from paretomerge.surrogates.regression import (
    Hyperparameters,
    Linearised,
    Regression,
    find_mode,
    linearise,
)
from paretomerge.surrogates.residual import correlation, correlation_slope

_ROUNDS = 4
_FEW = 60
_DRAWS = 64
_NAMES = ("correction", "amplitude", "length", "misfit")


@dataclass(frozen=True)
class HyperPrior:
    """Log-normal priors: a median and the standard deviation of the logarithm; zero fixes the median.

    An `amplitude` or `correction` of median zero switches that part off.
    """

    correction: tuple[float, float]
    amplitude: tuple[float, float]
    length: tuple[float, float]
    misfit: tuple[float, float]

    @property
    def medians(self) -> Hyperparameters:
        """What is chosen without scores."""
        return Hyperparameters(*(getattr(self, name)[0] for name in _NAMES))


def choose_hyperparameters(regression: Regression, prior: HyperPrior, floor: float) -> Linearised:
    """The regression at the mode, under hyperparameters that maximise evidence times prior.

    Args:
        regression: scores and model.
        prior: of the hyperparameters.
        floor: the least misfit, in units of the score.
    """
    from scipy.optimize import minimize  # slow to import

    chosen = prior.medians
    linear = find_mode(regression, chosen, regression.link.inverse(regression.values))
    free = [name for name in _NAMES if getattr(prior, name)[0] > 0 and getattr(prior, name)[1] > 0]
    if not len(regression.values) or not free:
        return linear
    landscape = _Landscape(
        tuple(free),
        np.log([getattr(prior, name)[0] for name in free]),
        np.array([getattr(prior, name)[1] for name in free]),
        floor,
    )
    low, high = landscape.bounds
    current = np.clip(landscape.centre, low, high)
    for _ in range(_ROUNDS):
        found = minimize(
            landscape.value_and_slope,
            current,
            args=(linear,),
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(low, high, strict=True)),
            options={"maxiter": 20, "ftol": 1e-5, "gtol": 1e-3},
        )
        change, current = float(np.abs(found.x - current).max()), found.x
        linear = find_mode(regression, landscape.chosen(linear, current), linear.eta)
        if change < 0.05 or regression.link.name == "identity":
            break
    if len(regression.values) > _FEW:
        return linear
    return find_mode(regression, landscape.chosen(linear, landscape.average(linear, current)), linear.eta)


@dataclass(frozen=True, eq=False)
class _Landscape:
    """Minus the log evidence and log prior over the logarithms of the free hyperparameters."""

    free: tuple[str, ...]
    centre: np.ndarray
    width: np.ndarray
    floor: float

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the evidence is not worth computing any more, or the misfit below what numbers resolve."""
        low, high = self.centre - 6 * self.width, self.centre + 4 * self.width
        low[self.free.index("misfit")] = np.log(self.floor)
        return low, high

    def chosen(self, linear: Linearised, logs: np.ndarray) -> Hyperparameters:
        """The hyperparameters with these logarithms; those that are not free stay."""
        return replace(linear.chosen, **dict(zip(self.free, np.exp(logs).tolist(), strict=True)))

    def value(self, logs: np.ndarray, linear: Linearised) -> float:
        """`[]`."""
        away = (logs - self.centre) / self.width
        moved = linearise(linear.regression, self.chosen(linear, logs), linear.eta)
        return 0.5 * float(away @ away) - moved.log_evidence()

    def value_and_slope(self, logs: np.ndarray, linear: Linearised) -> tuple[float, np.ndarray]:
        """The value, and its gradient."""
        away = (logs - self.centre) / self.width
        moved = linearise(linear.regression, self.chosen(linear, logs), linear.eta)
        slope = away / self.width - evidence_slope(moved, self.free)
        return 0.5 * float(away @ away) - moved.log_evidence(), slope

    def average(self, linear: Linearised, mode: np.ndarray) -> np.ndarray:
        """The logarithms of the posterior means, of the logarithm itself for the length."""
        low, high = self.bounds
        size = len(mode)
        rows = []
        for step in 0.1 * np.eye(size):
            up, down = (self.value_and_slope(mode + sign * step, linear)[1] for sign in (1, -1))
            rows.append((up - down) / 0.2)
        values, vectors = np.linalg.eigh(0.5 * (np.array(rows) + np.array(rows).T))
        # Wider than the Laplace approximation, but no wider than two e-foldings.
        root = 1.3 * vectors / np.sqrt(np.maximum(values, 0.25))
        draws = np.random.default_rng(0).standard_normal((_DRAWS // 2, size))
        draws = np.concatenate([draws, -draws])
        logs = np.clip(mode + draws @ root.T, low, high)
        heights = np.array([0.5 * float(z @ z) - self.value(one, linear) for z, one in zip(draws, logs, strict=True)])
        share = np.exp(heights - heights.max())
        share /= share.sum()
        means = np.log(share @ np.exp(logs))
        return np.where(np.array(self.free) == "length", share @ logs, means)


def evidence_slope(linear: Linearised, names: Sequence[str]) -> np.ndarray:
    """Derivatives of the log evidence with respect to the logarithms of hyperparameters.

    `½ (wᵀ dC w - tr(C⁻¹ dC))` with `C = V + A Aᵀ` and `w = C⁻¹ y`, the weights.
    """
    regression, chosen, w = linear.regression, linear.chosen, linear.weights
    found = {}
    if "amplitude" in names:
        projected = linear.basis.T @ linear.inverse_root
        inverse = linear.inverse_root.T @ linear.inverse_root - projected.T @ projected
        outer = (np.outer(w, w) - inverse) * np.outer(linear.slope, linear.slope)
        found["amplitude"] = chosen.amplitude**2 * np.vdot(outer, correlation(regression.distance, chosen.length))
        bend = correlation_slope(regression.distance, chosen.length)
        found["length"] = 0.5 * chosen.amplitude**2 * np.vdot(outer, bend)
        trace = float(np.trace(inverse))
    else:
        leverage = np.einsum("nf,nf->n", linear.basis, linear.basis)
        trace = float(np.sum((1 - leverage) * linear.inverse_root.diagonal() ** 2))
    found["misfit"] = chosen.misfit**2 * (float(w @ w) - trace)
    rows = regression.correcting
    determined = 1 - np.einsum("fg,fg->f", linear.root_inverse[rows], linear.root_inverse[rows])
    found["correction"] = float(np.sum(linear.coefficients[rows] ** 2) - np.sum(determined))
    return np.array([found[name] for name in names])
