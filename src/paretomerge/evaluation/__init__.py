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
from paretomerge.evaluation.by_task import ByTask
from paretomerge.evaluation.callables import ModuleEvaluator
from paretomerge.evaluation.combined import CombinedEvaluator
from paretomerge.evaluation.command import CommandEvaluator, require_program
from paretomerge.evaluation.generation import NORMALISATIONS, ExactMatchEvaluator
from paretomerge.evaluation.harness import (
    HarnessEvaluator,
    HarnessSettings,
    HarnessTask,
    LanguageModel,
    harness_digest,
    harness_objectives,
    harness_version,
)
from paretomerge.evaluation.metrics import (
    METRICS,
    NOT_MEANS,
    Metric,
    metrics_of,
    problem_objectives,
    require_metrics,
)
from paretomerge.evaluation.multiple_choice import MultipleChoiceEvaluator
from paretomerge.evaluation.of_problem import problem_evaluator
from paretomerge.evaluation.paired import bootstrap_deviations, paired_difference, shared_covariance
from paretomerge.evaluation.ratios import f1_scores, perplexity_scores, ratio_scores
from paretomerge.evaluation.subsets import Part, count_examples, in_own_order, join_parts, require_means, takes_examples
from paretomerge.evaluation.supervised import SupervisedEvaluator, supervised_objectives

__all__ = [
    "ByTask",
    "CombinedEvaluator",
    "CommandEvaluator",
    "Evaluation",
    "Evaluator",
    "ExactMatchEvaluator",
    "HarnessEvaluator",
    "HarnessSettings",
    "HarnessTask",
    "LanguageModel",
    "METRICS",
    "Metric",
    "Metrics",
    "ModuleEvaluator",
    "MultipleChoiceEvaluator",
    "NORMALISATIONS",
    "NOT_MEANS",
    "Part",
    "SupervisedEvaluator",
    "as_evaluation",
    "bootstrap_deviations",
    "count_examples",
    "evaluate",
    "evaluate_one",
    "f1_scores",
    "harness_digest",
    "harness_objectives",
    "harness_version",
    "in_own_order",
    "join_parts",
    "measure_tasks",
    "metrics_of",
    "paired_difference",
    "perplexity_scores",
    "problem_evaluator",
    "problem_objectives",
    "ratio_scores",
    "require_means",
    "require_metrics",
    "require_program",
    "shared_covariance",
    "standard_error",
    "supervised_objectives",
    "takes_examples",
]
