"""Few scores to a prediction with uncertainty at every weighting."""

from paretomerge.surrogates.base import Fitted, FittedSurrogate, Surrogate, fit_surrogate
from paretomerge.surrogates.design import simplex_design
from paretomerge.surrogates.links import Link, identity_link, link_of, sigmoid_link, softplus_link
from paretomerge.surrogates.posterior_informed import PosteriorInformed
from paretomerge.surrogates.quadratic import Quadratic

__all__ = [
    "Fitted",
    "FittedSurrogate",
    "Link",
    "PosteriorInformed",
    "Quadratic",
    "Surrogate",
    "fit_surrogate",
    "identity_link",
    "link_of",
    "sigmoid_link",
    "simplex_design",
    "softplus_link",
]
