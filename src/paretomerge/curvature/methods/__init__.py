"""How posteriors are fitted: one frozen dataclass of settings per family, all data-free until `fit` is called.

`damping` (for subspaces: the ridge) is relative to the mean diagonal of the tasks' average curvature, so one
number means the same for every model. It is not part of the curvature: a fit can be damped again at no cost.
"""

from __future__ import annotations

from paretomerge.curvature.methods.dense import FitDense
from paretomerge.curvature.methods.diagonal import FitDiagonal
from paretomerge.curvature.methods.isotropic import FitIsotropic
from paretomerge.curvature.methods.kronecker import FitKronecker
from paretomerge.curvature.methods.low_rank import FitLowRank
from paretomerge.curvature.methods.subspace import Enrichment, FitSubspace

FitMethod = FitIsotropic | FitDiagonal | FitKronecker | FitLowRank | FitDense | FitSubspace

__all__ = [
    "Enrichment",
    "FitDense",
    "FitDiagonal",
    "FitIsotropic",
    "FitKronecker",
    "FitLowRank",
    "FitMethod",
    "FitSubspace",
]
