"""Models to scores with standard errors."""

from paretomerge.evaluation.base import Evaluation, Evaluator, evaluate, evaluate_one, standard_error
from paretomerge.evaluation.supervised import SupervisedEvaluator, supervised_objectives

__all__ = [
    "Evaluation",
    "Evaluator",
    "SupervisedEvaluator",
    "evaluate",
    "evaluate_one",
    "standard_error",
    "supervised_objectives",
]
