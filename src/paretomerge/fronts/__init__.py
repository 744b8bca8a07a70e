"""Fronts: which points are non-dominated, how much they dominate, and how good an estimate of them is."""

from paretomerge.fronts.closed_form import closed_form_front
from paretomerge.fronts.dominance import front_from_scores, is_nondominated, nondominated_scores
from paretomerge.fronts.estimate import Predictor, estimate_front
from paretomerge.fronts.hypervolume import hypervolume, reference_point
from paretomerge.fronts.points import Points, minimised_values, normalised_values
from paretomerge.fronts.preview import PreviewQuality, compare_preview
from paretomerge.fronts.quality import additive_epsilon, generational_distance, hypervolume_ratio, igd_plus

__all__ = [
    "Points",
    "Predictor",
    "PreviewQuality",
    "additive_epsilon",
    "closed_form_front",
    "compare_preview",
    "estimate_front",
    "front_from_scores",
    "generational_distance",
    "hypervolume",
    "hypervolume_ratio",
    "igd_plus",
    "is_nondominated",
    "minimised_values",
    "nondominated_scores",
    "normalised_values",
    "reference_point",
]
