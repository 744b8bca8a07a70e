"""Models to scores with standard errors."""

from paretomerge.evaluation.base import (
    Evaluation,
    Evaluator,
    Metrics,
    as_evaluation,
    evaluate,
    evaluate_one,
    measure_tasks,
    standard_error,
)
from paretomerge.evaluation.paired import bootstrap_deviations, paired_difference, shared_covariance
from paretomerge.evaluation.subsets import Part, count_examples, in_own_order, join_parts, takes_examples
from paretomerge.evaluation.supervised import SupervisedEvaluator, supervised_objectives

__all__ = [
    "Evaluation",
    "Evaluator",
    "Metrics",
    "Part",
    "SupervisedEvaluator",
    "as_evaluation",
    "bootstrap_deviations",
    "count_examples",
    "evaluate",
    "evaluate_one",
    "in_own_order",
    "join_parts",
    "measure_tasks",
    "paired_difference",
    "shared_covariance",
    "standard_error",
    "supervised_objectives",
    "takes_examples",
]
