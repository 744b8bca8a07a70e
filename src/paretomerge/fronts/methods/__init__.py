"""Named methods: a budget of evaluations in, a front with uncertainty out."""

from paretomerge.fronts.methods.base import Evaluate, FrontEstimate, FrontMethod, FrontProblem, PredictedLosses

__all__ = ["Evaluate", "FrontEstimate", "FrontMethod", "FrontProblem", "PredictedLosses"]
