"""Strictly increasing links between an unbounded predictor `η` and a bounded metric `y = g(η)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from paretomerge.types import Objective


@dataclass(frozen=True)
class Link:
    """`g`, its derivative as a function of `η`, and its inverse (clipped to the open range)."""

    name: str
    value: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]


def identity_link() -> Link:
    """`y = η`, for unbounded metrics."""
    return Link("identity", lambda eta: eta, np.ones_like, lambda y: y)


def sigmoid_link(low: float = 0.0, high: float = 1.0) -> Link:
    """`y = low + (high - low) σ(η)`, for metrics bounded on both sides."""
    width = high - low

    def slope(eta: np.ndarray) -> np.ndarray:
        return width * expit(eta) * expit(-eta)

    def inverse(y: np.ndarray) -> np.ndarray:
        return logit(np.clip((y - low) / width, 1e-4, 1 - 1e-4))

    return Link("sigmoid", lambda eta: low + width * expit(eta), slope, inverse)


def softplus_link(low: float = 0.0) -> Link:
    """`y = low + log(1 + e^η)`, for metrics bounded below."""

    def inverse(y: np.ndarray) -> np.ndarray:
        excess = np.maximum(y - low, 1e-6)
        return excess + np.log(-np.expm1(-excess))

    return Link("softplus", lambda eta: low + np.logaddexp(0.0, eta), expit, inverse)


def exponential_link(low: float = 0.0) -> Link:
    """`y = low + e^η`: differences of η are ratios of what lies above `low`."""
    return Link(
        "exponential",
        lambda eta: low + np.exp(np.minimum(eta, 700.0)),
        lambda eta: np.exp(np.minimum(eta, 700.0)),
        lambda y: np.log(np.maximum(y - low, 1e-6)),
    )


def arcsine_link(low: float = 0.0, high: float = 1.0) -> Link:
    """`y = low + (high - low) sin²(η/2)`: shares have nearly the same error in η everywhere, and 0 and 1 are finite."""
    width = high - low

    def within(eta: np.ndarray) -> np.ndarray:
        return np.clip(eta, 0.0, np.pi)

    def inverse(y: np.ndarray) -> np.ndarray:
        return 2 * np.arcsin(np.sqrt(np.clip((y - low) / width, 0.0, 1.0)))

    return Link(
        "arcsine",
        lambda eta: low + width * np.sin(within(eta) / 2) ** 2,
        lambda eta: width * np.sin(within(eta)) / 2,
        inverse,
    )


def link_of(objective: Objective) -> Link:
    """The link that respects an objective's bounds: sigmoid, softplus, or identity."""
    low, high = objective.bounds
    if low is not None and high is not None:
        return sigmoid_link(low, high)
    if low is not None:
        return softplus_link(low)
    return identity_link()
