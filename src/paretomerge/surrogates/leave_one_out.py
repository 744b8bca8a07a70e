"""How well each score is predicted from all the others, without refitting.

For the linearised problem with covariance C of the scores, the score left out is missed by `[C⁻¹y]_i / [C⁻¹]_ii`
(Rasmussen & Williams, 2006, 5.4.2); hyperparameters and the linearisation are those of all scores.
"""

from __future__ import annotations

import numpy as np

from paretomerge.surrogates.regression import Linearised

FEWEST = 3
"""With fewer scores there is nothing to tell a good fit from a bad one."""


def predict_left_out(linear: Linearised) -> np.ndarray:
    """`[N]`, each score as the others predict it, through the link."""
    regression = linear.regression
    own = np.einsum("nm,nm->m", linear.inverse_root, linear.inverse_root)
    known = linear.basis.T @ linear.inverse_root
    inverse = np.maximum(own - np.einsum("fm,fm->m", known, known), 1e-12 * own)
    error = linear.weights / inverse
    # The error is that of the tangent at the mode; divided by its slope it is an error of η.
    moved = regression.values - regression.link.value(linear.eta) - error
    slope = np.maximum(linear.slope, 1e-9 * max(float(linear.slope.max(initial=0.0)), 1e-300))
    return regression.link.value(linear.eta + moved / slope)


def quality_of(values: np.ndarray, predicted: np.ndarray) -> float:
    """`R² = 1 - mean((y - ŷ)²) / var(y)`; NaN with fewer than three scores, or when they do not vary."""
    if len(values) < FEWEST or float(np.ptp(values)) == 0:
        return float("nan")
    return 1 - float(np.mean((values - predicted) ** 2)) / float(np.var(values))


def poor_fit(name: str, count: int, quality: float) -> str:
    """What to say of an objective whose R² is negative."""
    return (
        f"{name}: each of {count} scores is predicted from the others worse than by their mean (leave-one-out R² "
        f"{quality:.2f}): evaluate more points, or take another surrogate or posterior"
    )
