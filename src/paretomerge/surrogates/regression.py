"""Bayesian regression through a link, with features and a Gaussian process: the engine of every surrogate here.

    y = g(η(x)) + noise,     η(x) = φ(x)·β + r(x),     β ~ N(β_0, S_0) with S_0 diagonal,     r ~ GP(0, Matérn 5/2)

At the mode, found by damped Gauss-Newton, the problem is linearised: `y ≈ g(η̂) + J (η - η̂)`. Everything else is then
Gaussian: the posterior of η, the evidence of hyperparameters, scores left out, and how predictions respond to scores.
With `V = J K_r J + noise = L Lᵀ` and `A = L⁻¹ J Φ S_0^½ = Q R` (with the prior's identity stacked below A), wide
priors and exact scores stay apart by orthogonal factors; normal equations would have entries twenty orders of
magnitude apart.

Shapes: `N` scores, `F` features, `K` queries, `D` coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from paretomerge.surrogates.links import Link
from paretomerge.surrogates.residual import correlation

_STEPS = 30
_ROUNDING = 1e-11


@dataclass(frozen=True)
class Hyperparameters:
    """What the evidence chooses.

    Args:
        correction: multiplies the prior's standard deviation of the correcting features.
        amplitude: standard deviation of the Gaussian process, in units of η; zero for none.
        length: its length, in unit coordinates.
        misfit: standard deviation of what neither scores' own noise nor η explain, in units of the score.
    """

    correction: float
    amplitude: float
    length: float
    misfit: float


@dataclass(frozen=True, eq=False)
class Regression:
    """One objective's scores and the model of them; nothing fitted yet.

    Args:
        link: `g`.
        values: scores `[N]`.
        noise: variances of their own noise `[N]`.
        features: `Φ [N, F]`.
        distance: between the scored points `[N, N]`, in unit coordinates.
        prior_mean: `β_0 [F]`.
        prior_stdev: `[F]`.
        correcting: `[F]` booleans, the features whose standard deviation `Hyperparameters.correction` multiplies.
    """

    link: Link
    values: np.ndarray
    noise: np.ndarray
    features: np.ndarray
    distance: np.ndarray
    prior_mean: np.ndarray
    prior_stdev: np.ndarray
    correcting: np.ndarray

    def stdev(self, chosen: Hyperparameters) -> np.ndarray:
        """The prior's standard deviations `[F]` under hyperparameters."""
        return np.where(self.correcting, chosen.correction, 1.0) * self.prior_stdev

    def covariance(self, chosen: Hyperparameters) -> np.ndarray:
        """`K_r [N, N]`."""
        return chosen.amplitude**2 * correlation(self.distance, chosen.length)


@dataclass(frozen=True, eq=False)
class Linearised:
    """The regression linearised at `eta`, and its Gaussian posterior.

    Attributes:
        eta: where it is linearised `[N]`.
        slope: `J [N]`.
        inverse_root: `L⁻¹ [N, N]`.
        whitened: `A [N, F]`.
        basis: the first N rows of Q, `[N, F]`.
        root_inverse: `R⁻¹ [F, F]`.
        target: `L⁻¹ (y - g(η) + J η - J Φ β_0)`, `[N]`.
        coefficients: the posterior mean of `S_0^-½ (β - β_0)`, `[F]`.
        weights: `V⁻¹` times what the coefficients leave of the target, `[N]`; `K_r J weights` is the mean of r.
    """

    regression: Regression
    chosen: Hyperparameters
    eta: np.ndarray
    slope: np.ndarray
    inverse_root: np.ndarray
    whitened: np.ndarray
    basis: np.ndarray
    root_inverse: np.ndarray
    target: np.ndarray
    coefficients: np.ndarray
    weights: np.ndarray

    @property
    def beta(self) -> np.ndarray:
        """The posterior mean of the coefficients `[F]`."""
        return self.regression.prior_mean + self.regression.stdev(self.chosen) * self.coefficients

    def log_evidence(self) -> float:
        """`log p(y)` of the linearised problem, without the constant."""
        # yᵀ(V + A Aᵀ)⁻¹y as a sum of squares, and the determinant by the matrix determinant lemma.
        misfit = self.target - self.whitened @ self.coefficients
        squares = float(misfit @ misfit + self.coefficients @ self.coefficients)
        logarithm = (
            np.log(np.abs(self.inverse_root.diagonal())).sum() + np.log(np.abs(self.root_inverse.diagonal())).sum()
        )
        return float(logarithm) - 0.5 * squares


def linearise(regression: Regression, chosen: Hyperparameters, eta: np.ndarray) -> Linearised:
    """The Gaussian posterior of the problem linearised at `eta [N]`."""
    from scipy.linalg import lapack  # slow to import

    count, size = regression.features.shape
    slope = regression.link.slope(eta)
    centred = regression.values - regression.link.value(eta)
    centred = centred + slope * (eta - regression.features @ regression.prior_mean)
    own = regression.noise + chosen.misfit**2
    if chosen.amplitude and count:
        total = slope[:, None] * regression.covariance(chosen) * slope
        # Exact scores at close points: no matrix holds more than what rounding leaves.
        total[np.diag_indices(count)] += own + _ROUNDING * total.diagonal().mean()
        inverse_root = lapack.dtrtri(np.linalg.cholesky(total), lower=1)[0]
    else:
        inverse_root = np.diag(own**-0.5)
    scaled = (slope[:, None] * regression.features) * regression.stdev(chosen)
    whitened, target = inverse_root @ scaled, inverse_root @ centred
    basis, root = np.linalg.qr(np.concatenate([whitened, np.eye(size)]))
    root_inverse = lapack.dtrtri(root)[0] if size else root
    basis = basis[:count]
    coefficients = root_inverse @ (basis.T @ target)
    weights = inverse_root.T @ (target - whitened @ coefficients)
    return Linearised(
        regression, chosen, eta, slope, inverse_root, whitened, basis, root_inverse, target, coefficients, weights
    )


def find_mode(regression: Regression, chosen: Hyperparameters, start: np.ndarray) -> Linearised:
    """Damped Gauss-Newton from `start [N]`, values of η such as the linked scores; never from zeros or ones."""
    covariance = regression.covariance(chosen) if chosen.amplitude else None
    own, scale = regression.noise + chosen.misfit**2, regression.stdev(chosen)

    def at(coefficients: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
        eta = regression.features @ (regression.prior_mean + scale * coefficients)
        penalty = float(coefficients @ coefficients)
        if covariance is not None:
            moved = covariance @ weights
            eta, penalty = eta + moved, penalty + float(weights @ moved)
        return eta, float(np.sum((regression.values - regression.link.value(eta)) ** 2 / own)) + penalty

    linear = linearise(regression, chosen, start)
    state = (linear.coefficients, linear.slope * linear.weights)
    eta, current = at(*state)
    for _ in range(_STEPS):
        linear = linearise(regression, chosen, eta)
        wanted, size = (linear.coefficients, linear.slope * linear.weights), 1.0
        while True:
            moved = tuple(old + size * (new - old) for old, new in zip(state, wanted, strict=True))
            there, reached = at(*moved)
            if reached <= current or size < 1e-3:
                break
            size /= 2
        if reached > current:
            break
        done = current - reached <= 1e-6 * (1 + abs(reached))
        state, eta, current = moved, there, reached
        if done:
            break
    return linearise(regression, chosen, eta)


def constrained_to(linear: Linearised, beta: np.ndarray, stiffness: np.ndarray) -> Linearised:
    """The posterior around other coefficients `beta [F]`, for a regression without a Gaussian process.

    Args:
        linear: the free posterior.
        beta: where a constraint pushes the mode.
        stiffness: rows `[·, F]` whose squares the constraint adds to the precision of β.
    """
    regression, scale = linear.regression, linear.regression.stdev(linear.chosen)
    there = linearise(regression, linear.chosen, regression.features @ beta)
    coefficients = (beta - regression.prior_mean) / scale
    basis, root = np.linalg.qr(np.concatenate([there.whitened, np.eye(len(beta)), stiffness * scale]))
    return replace(
        there,
        basis=basis[: len(there.eta)],
        root_inverse=np.linalg.inv(root),
        coefficients=coefficients,
        weights=there.inverse_root.T @ (there.target - there.whitened @ coefficients),
    )
