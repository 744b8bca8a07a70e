"""Quadratic surrogate on the simplex: MAP's (arXiv 2406.07529) in Scheffé form, Bayesian, with a link.

    y_n(α) = g( Σ_i β_i α_i + Σ_{i<j} β_ij α_i α_j )

On the simplex the constant and one linear term are redundant, which leaves `T(T+1)/2` coefficients (Scheffé, 1958,
Experiments with mixtures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from paretomerge.surrogates.base import require_scores
from paretomerge.surrogates.links import Link, identity_link, link_of
from paretomerge.types import Objective, Scores


@dataclass(frozen=True)
class Quadratic:
    """Settings of the quadratic surrogate.

    Args:
        links: `"bounds"` takes the link that respects each objective's bounds, `"identity"` none.
        prior_scale: standard deviation of the coefficients, in units of the scores' own spread. Wide, so that it
            only matters where the design leaves a coefficient undetermined.
        allow_underdetermined: accept fewer scores than coefficients, and let the prior fill in.
    """

    links: Literal["bounds", "identity"] = "bounds"
    prior_scale: float = 10.0
    allow_underdetermined: bool = False

    def features(self, weights: np.ndarray, tasks: Sequence[str], objective: Objective) -> np.ndarray:
        """`[K, T(T+1)/2]`: the weights, then their pairwise products."""
        pairs = combinations(range(weights.shape[1]), 2)
        return np.concatenate([weights, *(weights[:, [i]] * weights[:, [j]] for i, j in pairs)], axis=1)

    def prior(self, scores: Scores, objective: int, link: Link) -> tuple[np.ndarray, np.ndarray]:
        """Corner values near the mean score, no interaction."""
        tasks = len(scores.tasks)
        count = tasks * (tasks + 1) // 2
        if not self.allow_underdetermined:
            require_scores(scores, count, f"a quadratic in {tasks} weights has {count} coefficients: it")
        eta = link.inverse(scores.values[:, objective])
        mean = np.zeros(count)
        mean[:tasks] = eta.mean() if len(eta) else 0.0
        spread = max(float(np.std(eta)) if len(eta) else 0.0, 1e-3)
        return mean, np.full(count, (self.prior_scale * spread) ** 2)

    def link(self, objective: Objective) -> Link:
        """As `links` says."""
        return link_of(objective) if self.links == "bounds" else identity_link()
