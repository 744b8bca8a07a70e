"""How sure an estimated front is: intervals, probabilities, hypervolume and attainment surfaces."""

from paretomerge.fronts.uncertainty.attainment import AttainmentSurface, attainment_surfaces
from paretomerge.fronts.uncertainty.front import FrontUncertainty, front_uncertainty
from paretomerge.fronts.uncertainty.nondominated import probability_nondominated
from paretomerge.fronts.uncertainty.parts import PARTS, ScoreUncertainty, score_uncertainty
from paretomerge.fronts.uncertainty.volume import Interval, hypervolume_draws, hypervolume_interval

__all__ = [
    "PARTS",
    "AttainmentSurface",
    "FrontUncertainty",
    "Interval",
    "ScoreUncertainty",
    "attainment_surfaces",
    "front_uncertainty",
    "hypervolume_draws",
    "hypervolume_interval",
    "probability_nondominated",
    "score_uncertainty",
]
