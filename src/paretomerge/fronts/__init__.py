"""Fronts: which points are non-dominated, how much they dominate, and how good an estimate of them is."""

from paretomerge.fronts.closed_form import closed_form_front
from paretomerge.fronts.dominance import front_from_scores, is_nondominated, nondominated_scores
from paretomerge.fronts.estimate import estimate_front
from paretomerge.fronts.hypervolume import hypervolume, reference_point
from paretomerge.fronts.points import Points, minimised_values, normalised_values
from paretomerge.fronts.predictions import Predictor
from paretomerge.fronts.preview import PreviewQuality, compare_preview
from paretomerge.fronts.quality import additive_epsilon, generational_distance, hypervolume_ratio, igd_plus
from paretomerge.fronts.recalibrated import RecalibratedFront, recalibrated_front
from paretomerge.fronts.search import check_search_available, preferred_point, search_front
from paretomerge.fronts.uncertainty import FrontUncertainty, ScoreUncertainty, front_uncertainty, score_uncertainty

__all__ = [
    "FrontUncertainty",
    "Points",
    "Predictor",
    "PreviewQuality",
    "RecalibratedFront",
    "ScoreUncertainty",
    "additive_epsilon",
    "check_search_available",
    "closed_form_front",
    "compare_preview",
    "estimate_front",
    "front_from_scores",
    "front_uncertainty",
    "generational_distance",
    "hypervolume",
    "hypervolume_ratio",
    "igd_plus",
    "is_nondominated",
    "minimised_values",
    "nondominated_scores",
    "normalised_values",
    "preferred_point",
    "recalibrated_front",
    "reference_point",
    "search_front",
    "score_uncertainty",
]
