"""Searches: the front that a fitted surrogate predicts over its domain."""

from paretomerge.fronts.search.dense import dense_points, grid_divisions, is_dense
from paretomerge.fronts.search.landmarks import landmarks
from paretomerge.fronts.search.nsga3 import nsga3_scores, reference_directions
from paretomerge.fronts.search.preference import preferred_point
from paretomerge.fronts.search.quadratics import convex_quadratics, quadratic_points
from paretomerge.fronts.search.search import check_search_available, front_of_predictions, search_front
from paretomerge.fronts.search.thinning import representative, thinned, well_spread

__all__ = [
    "check_search_available",
    "convex_quadratics",
    "dense_points",
    "front_of_predictions",
    "grid_divisions",
    "is_dense",
    "landmarks",
    "nsga3_scores",
    "preferred_point",
    "quadratic_points",
    "reference_directions",
    "representative",
    "search_front",
    "thinned",
    "well_spread",
]
