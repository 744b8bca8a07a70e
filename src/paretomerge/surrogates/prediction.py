"""What a linearised regression says elsewhere: means, covariances, and how they respond to the scores.

Shapes: `N` scores, `F` features, `K` queries, `S` draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paretomerge.surrogates.links import Link
from paretomerge.surrogates.regression import Linearised
from paretomerge.surrogates.residual import correlation

_NODES, _SHARES = np.polynomial.hermite_e.hermegauss(9)
_SHARES = _SHARES / _SHARES.sum()


@dataclass(frozen=True, eq=False)
class Latent:
    """The posterior of η at `K` queries.

    Attributes:
        mean: `[K]`.
        kriged: `L⁻¹ J K_r(scores, queries)`, `[N, K]`.
        spread: `R⁻ᵀ (S_0^½ φ - Aᵀ kriged)`, `[F, K]`: what the coefficients' uncertainty adds.
        variance: `[K]`.
    """

    mean: np.ndarray
    kriged: np.ndarray
    spread: np.ndarray
    variance: np.ndarray


def predict_latent(linear: Linearised, features: np.ndarray, distance: np.ndarray) -> Latent:
    """η at queries with `features [K, F]` and `distance [K, N]` to the scored points (universal kriging)."""
    regression, chosen = linear.regression, linear.chosen
    scaled = features * regression.stdev(chosen)
    mean = features @ regression.prior_mean + scaled @ linear.coefficients
    if chosen.amplitude and len(linear.eta):
        covariance = chosen.amplitude**2 * correlation(distance, chosen.length)
        mean = mean + covariance @ (linear.slope * linear.weights)
        kriged = (linear.inverse_root * linear.slope) @ covariance.T
        spread = linear.root_inverse.T @ (scaled.T - linear.whitened.T @ kriged)
        variance = chosen.amplitude**2 - np.einsum("nk,nk->k", kriged, kriged)
    else:
        kriged = np.zeros((len(linear.eta), len(features)))
        spread = linear.root_inverse.T @ scaled.T
        variance = np.full(len(features), chosen.amplitude**2)
    variance = np.maximum(variance, 0.0) + np.einsum("fk,fk->k", spread, spread)
    return Latent(mean, kriged, spread, variance)


def joint_covariance(linear: Linearised, latent: Latent, distance: np.ndarray) -> np.ndarray:
    """Posterior covariance of η `[K, K]` at queries `distance [K, K]` from each other."""
    chosen = linear.chosen
    prior = chosen.amplitude**2 * correlation(distance, chosen.length) if chosen.amplitude else 0.0
    return prior - latent.kriged.T @ latent.kriged + latent.spread.T @ latent.spread


def latent_response(linear: Linearised, latent: Latent) -> np.ndarray:
    """`[K, N]`, the derivative of the mean of η with respect to the scores, hyperparameters held fixed."""
    return (latent.kriged + linear.basis @ latent.spread).T @ linear.inverse_root


def through_link(link: Link, mean: np.ndarray, stdev: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and variance of `g(η)` and the mean of `g'(η)` for Gaussian η of any shape, by Gauss-Hermite quadrature."""
    if link.name == "identity":
        return mean, stdev**2, np.ones_like(mean)
    nodes = mean[..., None] + stdev[..., None] * _NODES
    values = link.value(nodes)
    average = values @ _SHARES
    return average, ((values - average[..., None]) ** 2) @ _SHARES, link.slope(nodes) @ _SHARES
