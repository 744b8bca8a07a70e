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
    """A fitted regression: coefficients `[F]`, their covariance `[F, F]`, and two variances of the residuals.

    `residual_variance` is what the standard errors do not explain, as the fit weighs scores; `score_variance` is all
    that is seen in the residuals, for predicting another score.
    """

    link: Link
    coefficients: np.ndarray
    covariance: np.ndarray
    residual_variance: float
    score_variance: float

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the score at `features [K, F]`, each `[K]`.

        The standard deviation includes the score variance: it is for a new score on the same examples.
        """
        eta = features @ self.coefficients
        spread = np.einsum("kf,fg,kg->k", features, self.covariance, features)
        variance = self.link.slope(eta) ** 2 * np.maximum(spread, 0) + self.score_variance
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
    scale = np.sqrt(prior_variance)
    if not len(values):
        return Regression(link, prior_mean, np.diag(prior_variance), 0.0, 0.0)
    floor = max(float(np.mean(stderr**2)), (1e-6 * (np.ptp(values) + 1e-12)) ** 2)
    residual = max(float(np.var(values)), floor) * 0.1
    beta = _start(features, values, link, prior_mean, prior_variance)
    for _ in range(6):
        noise = stderr**2 + residual
        beta, root = _gauss_newton(features, values, noise, link, beta, prior_mean, scale)
        inverse = np.linalg.inv(root)
        # MacKay, 1992: the number of coefficients the data, not the prior, determine.
        determined = len(beta) - float(np.sum(inverse**2))
        errors = values - link.value(features @ beta)
        spare = max(len(values) - determined, 0.5)
        residual = max(float(np.sum(errors**2)) / spare - float(np.mean(stderr**2)), 1e-8 * floor)
    covariance = (inverse @ inverse.T) * scale[:, None] * scale
    # Scores of different weightings share their examples, so their standard errors largely move together and show
    # nothing in the residuals. What does show is what the model cannot express: nothing is subtracted from it.
    seen = max(float(np.sum(errors**2)) / spare, residual)
    return Regression(link, beta, covariance, residual, seen)


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
    scale: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The mode, and `R` with `RᵀR` the posterior precision there, in units of the prior's standard deviations.

    By orthogonal factors, never by normal equations: exact scores of too few weightings leave the precision with
    entries twenty orders of magnitude apart.
    """

    def residuals(candidate: np.ndarray) -> np.ndarray:
        errors = (values - link.value(features @ candidate)) / np.sqrt(noise)
        return np.concatenate([errors, (prior_mean - candidate) / scale])

    current = float(np.sum(residuals(beta) ** 2))
    root = np.eye(len(beta))
    for _ in range(_ITERATIONS):
        slope = link.slope(features @ beta) / np.sqrt(noise)
        basis, root = np.linalg.qr(np.concatenate([features * slope[:, None] * scale, np.eye(len(beta))]))
        step = scale * np.linalg.solve(root, basis.T @ residuals(beta))
        size = 1.0
        while size > 1e-4 and np.sum(residuals(beta + size * step) ** 2) > current:
            size /= 2
        beta = beta + size * step
        previous, current = current, float(np.sum(residuals(beta) ** 2))
        if previous - current <= 1e-10 * (1 + abs(current)):
            break
    return beta, root
