"""Model and data to curvature: Fisher and Gauss-Newton matrices, and the posteriors made of them."""

from paretomerge.curvature.enrichment import scaled_gradients
from paretomerge.curvature.fisher import DiagonalFisher, diagonal_fisher
from paretomerge.curvature.fit import (
    Curvatures,
    average,
    fit_curvatures,
    fit_posterior,
    isotropic_curvatures,
    measured_part,
)
from paretomerge.curvature.gauss_newton import Expansion, dense_gauss_newton, expand_in_subspace
from paretomerge.curvature.gradients import LossGradient, loss_gradient
from paretomerge.curvature.methods import FitDense, FitDiagonal, FitIsotropic, FitMethod, FitSubspace
from paretomerge.curvature.predictor import LossModel, module_predictor, parameters_of
from paretomerge.curvature.recentre import recentre

__all__ = [
    "Curvatures",
    "DiagonalFisher",
    "Expansion",
    "FitDense",
    "FitDiagonal",
    "FitIsotropic",
    "FitMethod",
    "FitSubspace",
    "LossGradient",
    "LossModel",
    "average",
    "dense_gauss_newton",
    "diagonal_fisher",
    "expand_in_subspace",
    "fit_curvatures",
    "fit_posterior",
    "isotropic_curvatures",
    "loss_gradient",
    "measured_part",
    "module_predictor",
    "parameters_of",
    "recentre",
    "scaled_gradients",
]
