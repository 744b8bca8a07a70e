"""Pareto fronts of multitask finetuning, estimated from single-task finetunes.

Names are imported on first use (PEP 562), so that `import paretomerge` costs nothing. In a notebook, `Scores`, `Front`
and `Choice` show themselves as tables and pictures.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from paretomerge.notebooks import register_displays

if TYPE_CHECKING:
    from paretomerge import errors, testing
    from paretomerge.checkpoints import load_posterior, open_checkpoint, save_posterior
    from paretomerge.choices import (
        ByWeights,
        Classification,
        Knee,
        MinimumRegret,
        OneStandardError,
        ReferencePoint,
        Thresholds,
        choose,
    )
    from paretomerge.curvature import (
        FitDense,
        FitDiagonal,
        FitIsotropic,
        FitKronecker,
        FitLowRank,
        FitSubspace,
        fit_curvatures,
        fit_posterior,
        newton_correct,
    )
    from paretomerge.evaluation import evaluate
    from paretomerge.exports import export_checkpoint as export
    from paretomerge.fronts import compare_preview, estimate_front, hypervolume, is_nondominated
    from paretomerge.fronts.methods import BayesianMap, FrontProblem, Informed, Map, NestedMap, Spaced
    from paretomerge.fronts.search import search_front
    from paretomerge.fronts.uncertainty import front_uncertainty
    from paretomerge.merging import (
        Averaging,
        Breadcrumbs,
        ByPattern,
        Dare,
        Della,
        FisherWeighted,
        MixtureMerge,
        PosteriorMerge,
        ResidentMerge,
        Slerp,
        TaskArithmetic,
        Ties,
        WeightedSum,
        merge,
        sample_merged,
    )
    from paretomerge.planning import Cluster, Machine
    from paretomerge.posteriors import (
        Dense,
        Diagonal,
        Isotropic,
        Kronecker,
        LowRank,
        Mixture,
        Product,
        Provenance,
        Subspace,
        damp,
    )
    from paretomerge.problems import (
        causal_lm_problem,
        causal_lm_questions,
        image_classification_problem,
        sequence_classification_problem,
    )
    from paretomerge.recipes import Recipe, load_recipe
    from paretomerge.reports import report
    from paretomerge.stages import measure_machine, plan, run
    from paretomerge.surrogates import (
        PlainGaussianProcess,
        PosteriorInformed,
        Quadratic,
        choose_surrogate,
        fit_surrogate,
    )
    from paretomerge.training import (
        Ivon,
        IvonSettings,
        LoraSettings,
        TrainingRecipe,
        finetune,
        finetune_runs,
        mixture_of_runs,
        refresh_statistics,
    )
    from paretomerge.types import (
        Box,
        Coefficients,
        Constraint,
        Front,
        Objective,
        PatternWeights,
        Problem,
        Scores,
        Simplex,
        Weights,
        simplex_grid,
    )

__all__ = [
    "Averaging",
    "BayesianMap",
    "Box",
    "Breadcrumbs",
    "ByPattern",
    "ByWeights",
    "Classification",
    "Cluster",
    "Coefficients",
    "Constraint",
    "Dare",
    "Della",
    "Dense",
    "Diagonal",
    "FisherWeighted",
    "FitDense",
    "FitDiagonal",
    "FitIsotropic",
    "FitKronecker",
    "FitLowRank",
    "FitSubspace",
    "Front",
    "FrontProblem",
    "Informed",
    "Isotropic",
    "Ivon",
    "IvonSettings",
    "Knee",
    "Kronecker",
    "LoraSettings",
    "LowRank",
    "Machine",
    "Map",
    "MinimumRegret",
    "Mixture",
    "MixtureMerge",
    "NestedMap",
    "Objective",
    "OneStandardError",
    "PatternWeights",
    "PlainGaussianProcess",
    "PosteriorInformed",
    "PosteriorMerge",
    "Problem",
    "Product",
    "Provenance",
    "Quadratic",
    "Recipe",
    "ReferencePoint",
    "ResidentMerge",
    "Scores",
    "Simplex",
    "Slerp",
    "Spaced",
    "Subspace",
    "TaskArithmetic",
    "Thresholds",
    "Ties",
    "TrainingRecipe",
    "WeightedSum",
    "Weights",
    "causal_lm_problem",
    "causal_lm_questions",
    "choose",
    "choose_surrogate",
    "compare_preview",
    "damp",
    "errors",
    "estimate_front",
    "evaluate",
    "export",
    "finetune",
    "finetune_runs",
    "fit_curvatures",
    "fit_posterior",
    "fit_surrogate",
    "front_uncertainty",
    "hypervolume",
    "image_classification_problem",
    "is_nondominated",
    "load_posterior",
    "load_recipe",
    "measure_machine",
    "merge",
    "mixture_of_runs",
    "newton_correct",
    "open_checkpoint",
    "plan",
    "refresh_statistics",
    "report",
    "run",
    "sample_merged",
    "save_posterior",
    "search_front",
    "sequence_classification_problem",
    "simplex_grid",
    "testing",
]

_HOMES = {
    "Averaging": "merging",
    "BayesianMap": "fronts.methods",
    "Box": "types",
    "Breadcrumbs": "merging",
    "ByPattern": "merging",
    "ByWeights": "choices",
    "Classification": "choices",
    "Cluster": "planning",
    "Coefficients": "types",
    "Constraint": "types",
    "Dare": "merging",
    "Della": "merging",
    "Dense": "posteriors",
    "Diagonal": "posteriors",
    "FisherWeighted": "merging",
    "FitDense": "curvature",
    "FitDiagonal": "curvature",
    "FitIsotropic": "curvature",
    "FitKronecker": "curvature",
    "FitLowRank": "curvature",
    "FitSubspace": "curvature",
    "Front": "types",
    "FrontProblem": "fronts.methods",
    "Informed": "fronts.methods",
    "Isotropic": "posteriors",
    "Ivon": "training",
    "IvonSettings": "training",
    "Knee": "choices",
    "Kronecker": "posteriors",
    "LoraSettings": "training",
    "LowRank": "posteriors",
    "Machine": "planning",
    "Map": "fronts.methods",
    "MinimumRegret": "choices",
    "Mixture": "posteriors",
    "MixtureMerge": "merging",
    "NestedMap": "fronts.methods",
    "Objective": "types",
    "OneStandardError": "choices",
    "PatternWeights": "types",
    "PlainGaussianProcess": "surrogates",
    "PosteriorInformed": "surrogates",
    "PosteriorMerge": "merging",
    "Problem": "types",
    "Product": "posteriors",
    "Provenance": "posteriors",
    "Quadratic": "surrogates",
    "Recipe": "recipes",
    "ReferencePoint": "choices",
    "ResidentMerge": "merging",
    "Scores": "types",
    "Simplex": "types",
    "Slerp": "merging",
    "Spaced": "fronts.methods",
    "Subspace": "posteriors",
    "TaskArithmetic": "merging",
    "Thresholds": "choices",
    "Ties": "merging",
    "TrainingRecipe": "training",
    "WeightedSum": "merging",
    "Weights": "types",
    "causal_lm_problem": "problems",
    "causal_lm_questions": "problems",
    "choose": "choices",
    "choose_surrogate": "surrogates",
    "compare_preview": "fronts",
    "damp": "posteriors",
    "estimate_front": "fronts",
    "evaluate": "evaluation",
    "export": "exports",
    "finetune": "training",
    "finetune_runs": "training",
    "fit_curvatures": "curvature",
    "fit_posterior": "curvature",
    "fit_surrogate": "surrogates",
    "front_uncertainty": "fronts.uncertainty",
    "hypervolume": "fronts",
    "image_classification_problem": "problems",
    "is_nondominated": "fronts",
    "load_posterior": "checkpoints",
    "load_recipe": "recipes",
    "measure_machine": "stages",
    "merge": "merging",
    "mixture_of_runs": "training",
    "newton_correct": "curvature",
    "open_checkpoint": "checkpoints",
    "plan": "stages",
    "refresh_statistics": "training",
    "report": "reports",
    "run": "stages",
    "sample_merged": "merging",
    "save_posterior": "checkpoints",
    "search_front": "fronts.search",
    "sequence_classification_problem": "problems",
    "simplex_grid": "types",
}
_MODULES = ("errors", "testing")
_RENAMED = {"export": "export_checkpoint"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"paretomerge.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'paretomerge' has no attribute {name!r}")
    value = getattr(import_module(f"paretomerge.{_HOMES[name]}"), _RENAMED.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)


register_displays()
