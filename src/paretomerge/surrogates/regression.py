"""Bayesian regression through a link: `y = g(Φβ) + noise`, `β ~ N(β_0, S_0)`, by penalised Gauss-Newton.

The Gaussian approximation at the mode gives the uncertainty of predictions. Noise has a known part (the standard
errors of the scores) and an unknown one (what the model cannot express), estimated from the residuals.

Shapes: `N` scores, `F` features, `K` queries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paretomerge.surrogates.links import Link

_ITERATIONS = 50


@dataclass(frozen=True, eq=False)
class Regression:
    """A fitted regression: coefficients `[F]`, their covariance `[F, F]`, and the residual variance."""

    link: Link
    coefficients: np.ndarray
    covariance: np.ndarray
    residual_variance: float

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the score at `features [K, F]`, each `[K]`.

        The standard deviation includes the residual variance: it is for a new score, measured without error.
        """
        eta = features @ self.coefficients
        spread = np.einsum("kf,fg,kg->k", features, self.covariance, features)
        variance = self.link.slope(eta) ** 2 * np.maximum(spread, 0) + self.residual_variance
        return self.link.value(eta), np.sqrt(variance)


def fit_regression(
    features: np.ndarray,
    values: np.ndarray,
    stderr: np.ndarray,
    link: Link,
    prior_mean: np.ndarray,
    prior_variance: np.ndarray,
) -> Regression:
    """Fit by damped Gauss-Newton, started at the least squares of the linked scores, which saturated links need.

    Args:
        features: `[N, F]`; `N` may be zero, then the prior is returned.
        values: `[N]`.
        stderr: `[N]`.
        link: `g`.
        prior_mean: `[F]`.
        prior_variance: `[F]`, diagonal.
    """
    precision = np.diag(1.0 / prior_variance)
    if not len(values):
        return Regression(link, prior_mean, np.diag(prior_variance), 0.0)
    floor = max(float(np.mean(stderr**2)), (1e-6 * (np.ptp(values) + 1e-12)) ** 2)
    residual = max(float(np.var(values)), floor) * 0.1
    beta = _start(features, values, link, prior_mean, prior_variance)
    for _ in range(6):
        noise = stderr**2 + residual
        beta, information = _gauss_newton(features, values, noise, link, beta, prior_mean, precision)
        covariance = np.linalg.inv(information + precision)
        # MacKay, 1992: the number of coefficients the data, not the prior, determine.
        determined = len(beta) - float(np.trace(covariance @ precision))
        errors = values - link.value(features @ beta)
        spare = max(len(values) - determined, 0.5)
        residual = max(float(np.sum(errors**2)) / spare - float(np.mean(stderr**2)), 1e-8 * floor)
    return Regression(link, beta, covariance, residual)


def _start(features: np.ndarray, values: np.ndarray, link: Link, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    target = link.inverse(values) - features @ mean
    scale = np.sqrt(variance)
    ridge = 1e-3 * max(float(np.var(target)), 1e-12)
    weighted = features * scale
    solved = np.linalg.solve(weighted.T @ weighted + ridge * np.eye(len(mean)), weighted.T @ target)
    return mean + scale * solved


def _gauss_newton(
    features: np.ndarray,
    values: np.ndarray,
    noise: np.ndarray,
    link: Link,
    beta: np.ndarray,
    prior_mean: np.ndarray,
    precision: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    def objective(candidate: np.ndarray) -> float:
        errors = values - link.value(features @ candidate)
        offset = candidate - prior_mean
        return float(np.sum(errors**2 / noise) + offset @ precision @ offset)

    current = objective(beta)
    information = np.zeros_like(precision)
    for _ in range(_ITERATIONS):
        eta = features @ beta
        jacobian = features * link.slope(eta)[:, None]
        information = jacobian.T @ (jacobian / noise[:, None])
        slope = jacobian.T @ ((values - link.value(eta)) / noise) - precision @ (beta - prior_mean)
        step = np.linalg.solve(information + precision, slope)
        size = 1.0
        while size > 1e-4 and objective(beta + size * step) > current:
            size /= 2
        beta = beta + size * step
        improved = current - objective(beta)
        current = objective(beta)
        if improved <= 1e-10 * (1 + abs(current)):
            break
    return beta, information
