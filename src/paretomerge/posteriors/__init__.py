"""Gaussian distributions over parameters, one file per family."""

from paretomerge.posteriors.base import Elementwise, Matrix, Posterior, cholesky
from paretomerge.posteriors.basis import (
    Basis,
    DirectionLabel,
    gradient_basis,
    task_vector_basis,
)
from paretomerge.posteriors.block_density import (
    Point,
    block_centre,
    block_log_density,
    half_distance,
    log_normaliser,
)
from paretomerge.posteriors.common_bases import common_frame, diagonal_in, seen_from, share_bases
from paretomerge.posteriors.damping import damp, relative_strength
from paretomerge.posteriors.dense import Dense
from paretomerge.posteriors.diagonal import Diagonal
from paretomerge.posteriors.evidence import choose_by_evidence, evidence
from paretomerge.posteriors.expanded import Curvature, Expanded
from paretomerge.posteriors.grouping import Grouping, group_names, grouping_function
from paretomerge.posteriors.isotropic import Isotropic
from paretomerge.posteriors.kronecker import Factored, Kronecker, KroneckerFactors
from paretomerge.posteriors.lending import Lending, LendingCorrection
from paretomerge.posteriors.low_rank import LowRank
from paretomerge.posteriors.mixture import Mixture, components_of, soup, without_lending
from paretomerge.posteriors.operators import precision_product, precision_solve
from paretomerge.posteriors.predicted_loss import PredictedLoss, predicted_at
from paretomerge.posteriors.product import Product
from paretomerge.posteriors.provenance import UNITS, Provenance, Units
from paretomerge.posteriors.subspace import Subspace

__all__ = [
    "UNITS",
    "Basis",
    "Curvature",
    "Dense",
    "Diagonal",
    "DirectionLabel",
    "Elementwise",
    "Expanded",
    "Factored",
    "Grouping",
    "Isotropic",
    "Kronecker",
    "KroneckerFactors",
    "Lending",
    "LendingCorrection",
    "LowRank",
    "Matrix",
    "Mixture",
    "Point",
    "Posterior",
    "PredictedLoss",
    "Product",
    "Provenance",
    "Subspace",
    "Units",
    "block_centre",
    "block_log_density",
    "choose_by_evidence",
    "cholesky",
    "common_frame",
    "components_of",
    "damp",
    "evidence",
    "diagonal_in",
    "gradient_basis",
    "group_names",
    "grouping_function",
    "half_distance",
    "log_normaliser",
    "precision_product",
    "precision_solve",
    "predicted_at",
    "relative_strength",
    "soup",
    "seen_from",
    "share_bases",
    "task_vector_basis",
    "without_lending",
]
