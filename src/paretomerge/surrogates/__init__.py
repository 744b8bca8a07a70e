"""Few scores to a prediction with uncertainty at every point of a domain."""

from paretomerge.surrogates.base import Fitted, Surrogate
from paretomerge.surrogates.design import initial_design, simplex_design
from paretomerge.surrogates.discrepancy import FittedDiscrepancy, LeftOut, fit_discrepancy
from paretomerge.surrogates.discrepancy_prior import DiscrepancyPrior
from paretomerge.surrogates.fitted import FittedRegression
from paretomerge.surrogates.fitting import choose_surrogate, fit_surrogate
from paretomerge.surrogates.gaussian_process import FittedGaussianProcess, PlainGaussianProcess
from paretomerge.surrogates.informative import informative_points
from paretomerge.surrogates.links import Link, identity_link, link_of, sigmoid_link, softplus_link
from paretomerge.surrogates.posterior_informed import PosteriorInformed
from paretomerge.surrogates.predicted_quadratics import Quadratics
from paretomerge.surrogates.quadratic import FittedQuadratic, Quadratic

__all__ = [
    "DiscrepancyPrior",
    "Fitted",
    "FittedDiscrepancy",
    "FittedGaussianProcess",
    "FittedQuadratic",
    "FittedRegression",
    "LeftOut",
    "Link",
    "PlainGaussianProcess",
    "PosteriorInformed",
    "Quadratic",
    "Quadratics",
    "Surrogate",
    "choose_surrogate",
    "fit_discrepancy",
    "fit_surrogate",
    "identity_link",
    "informative_points",
    "initial_design",
    "link_of",
    "sigmoid_link",
    "simplex_design",
    "softplus_link",
]
