"""Named methods: a budget of evaluations in, a front with uncertainty out."""

from paretomerge.fronts.methods.base import Evaluate, FrontEstimate, FrontMethod, FrontProblem, PredictedLosses
from paretomerge.fronts.methods.bayesian_map import BayesianMap
from paretomerge.fronts.methods.informed import Informed
from paretomerge.fronts.methods.map import Map
from paretomerge.fronts.methods.nested import NestedMap
from paretomerge.fronts.methods.preference import for_preference
from paretomerge.fronts.methods.spaced import Spaced

__all__ = [
    "BayesianMap",
    "Evaluate",
    "FrontEstimate",
    "FrontMethod",
    "FrontProblem",
    "Informed",
    "Map",
    "NestedMap",
    "PredictedLosses",
    "Spaced",
    "for_preference",
]
