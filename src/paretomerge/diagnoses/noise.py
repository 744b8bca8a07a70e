"""How much of the differences between measured scores is noise of the evaluation set.

The variance of `N` scores over models is, in expectation, that of the models plus that of the noise:

    E var_i(y_i)  =  signal  +  noise,      noise = mean over pairs i ≠ j of ½ var(e_i - e_j)

Models that are scored on the same examples share most of their errors, and only what they do not share is noise here.

Shapes: `N` scores, `M` objectives.
"""

from __future__ import annotations

import numpy as np

from paretomerge.types import Scores


def difference_variances(scores: Scores) -> np.ndarray:
    """`[M, N, N]`, the variance of the error of each difference between two models' scores."""
    own = scores.own_variance.T
    total = np.zeros((own.shape[0], own.shape[1], own.shape[1])) if scores.shared is None else scores.shared.copy()
    rows = np.arange(own.shape[1])
    total[:, rows, rows] += own
    diagonal = np.einsum("mnn->mn", total)
    return np.maximum(diagonal[:, :, None] + diagonal[:, None, :] - 2 * total, 0.0)


def noise_variance(scores: Scores) -> np.ndarray:
    """`[M]`, the part of the scores' variance over models that is noise; zeros for fewer than two models."""
    count = len(scores)
    if count < 2:
        return np.zeros(len(scores.objectives))
    return np.asarray(difference_variances(scores).sum(axis=(1, 2)) / (2 * count * (count - 1)))


def score_variance(scores: Scores) -> np.ndarray:
    """`[M]`, the variance of the scores over models; zeros for fewer than two."""
    return scores.values.var(axis=0, ddof=1) if len(scores) > 1 else np.zeros(len(scores.objectives))
