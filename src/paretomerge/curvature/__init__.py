"""Model and data to curvature: Fisher and Gauss-Newton matrices, and the posteriors made of them."""

from paretomerge.curvature.adam import adam_posterior, named_groups, trainer_groups
from paretomerge.curvature.continuation import Continuation, continue_joint, fade
from paretomerge.curvature.cost import FitCost, estimate_cost
from paretomerge.curvature.enrichment import scaled_gradients
from paretomerge.curvature.families import measured_part
from paretomerge.curvature.fisher import DiagonalFisher, diagonal_fisher
from paretomerge.curvature.fit import (
    Curvatures,
    fit_curvatures,
    fit_piece,
    fit_posterior,
    fits_apart,
    isotropic_curvatures,
)
from paretomerge.curvature.gauss_newton import Expansion, dense_gauss_newton, expand_in_subspace
from paretomerge.curvature.gradients import LossGradient, loss_gradient
from paretomerge.curvature.kronecker import KroneckerCurvature, kronecker_curvature
from paretomerge.curvature.methods import (
    FitDense,
    FitDiagonal,
    FitIsotropic,
    FitKronecker,
    FitLowRank,
    FitMethod,
    FitSubspace,
)
from paretomerge.curvature.newton import NewtonCorrection, newton_correct
from paretomerge.curvature.pieces import Piece, Pieces, PieceStore
from paretomerge.curvature.points import average
from paretomerge.curvature.predictor import LossModel, module_predictor, parameters_of
from paretomerge.curvature.recentre import recentre

__all__ = [
    "Continuation",
    "Curvatures",
    "DiagonalFisher",
    "Expansion",
    "FitCost",
    "FitDense",
    "FitDiagonal",
    "FitIsotropic",
    "FitKronecker",
    "FitLowRank",
    "FitMethod",
    "FitSubspace",
    "KroneckerCurvature",
    "LossGradient",
    "LossModel",
    "NewtonCorrection",
    "Piece",
    "PieceStore",
    "Pieces",
    "adam_posterior",
    "average",
    "continue_joint",
    "dense_gauss_newton",
    "diagonal_fisher",
    "estimate_cost",
    "expand_in_subspace",
    "fade",
    "fit_curvatures",
    "fit_piece",
    "fit_posterior",
    "fits_apart",
    "isotropic_curvatures",
    "kronecker_curvature",
    "loss_gradient",
    "measured_part",
    "module_predictor",
    "named_groups",
    "newton_correct",
    "parameters_of",
    "recentre",
    "scaled_gradients",
    "trainer_groups",
]
