"""Gaussian distributions over parameters, one file per family."""

from paretomerge.posteriors.base import Elementwise, Matrix, Posterior, cholesky
from paretomerge.posteriors.basis import (
    Basis,
    DirectionLabel,
    Grouping,
    gradient_basis,
    group_names,
    task_vector_basis,
)
from paretomerge.posteriors.damping import damp, relative_strength
from paretomerge.posteriors.dense import Dense
from paretomerge.posteriors.diagonal import Diagonal
from paretomerge.posteriors.isotropic import Isotropic
from paretomerge.posteriors.kronecker import Factored, Kronecker, KroneckerFactors
from paretomerge.posteriors.low_rank import LowRank
from paretomerge.posteriors.predicted_loss import PredictedLoss
from paretomerge.posteriors.product import Product
from paretomerge.posteriors.subspace import Subspace

__all__ = [
    "Basis",
    "Dense",
    "Diagonal",
    "DirectionLabel",
    "Elementwise",
    "Factored",
    "Grouping",
    "Isotropic",
    "Kronecker",
    "KroneckerFactors",
    "LowRank",
    "Matrix",
    "Posterior",
    "PredictedLoss",
    "Product",
    "Subspace",
    "cholesky",
    "damp",
    "gradient_basis",
    "group_names",
    "relative_strength",
    "task_vector_basis",
]
