"""Pareto fronts of multitask finetuning, estimated from single-task finetunes.

Names are imported on first use (PEP 562), so that `import paretomerge` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Averaging": "merging",
    "Coefficients": "types",
    "Dense": "posteriors",
    "Diagonal": "posteriors",
    "FitDense": "curvature",
    "FitDiagonal": "curvature",
    "FitIsotropic": "curvature",
    "FitSubspace": "curvature",
    "Front": "types",
    "Isotropic": "posteriors",
    "Knee": "choices",
    "Objective": "types",
    "PosteriorInformed": "surrogates",
    "PosteriorMerge": "merging",
    "Problem": "types",
    "Product": "posteriors",
    "Quadratic": "surrogates",
    "Recipe": "recipes",
    "ReferencePoint": "choices",
    "Scores": "types",
    "Subspace": "posteriors",
    "TaskArithmetic": "merging",
    "Thresholds": "choices",
    "TrainingRecipe": "training",
    "ByWeights": "choices",
    "Weights": "types",
    "choose": "choices",
    "compare_preview": "fronts",
    "estimate_front": "fronts",
    "evaluate": "evaluation",
    "export": "exports",
    "finetune": "training",
    "fit_curvatures": "curvature",
    "fit_posterior": "curvature",
    "fit_surrogate": "surrogates",
    "hypervolume": "fronts",
    "is_nondominated": "fronts",
    "load_recipe": "recipes",
    "merge": "merging",
    "open_checkpoint": "checkpoints",
    "report": "reports",
    "run": "stages",
    "simplex_grid": "types",
}
_MODULES = ("errors", "testing")

__all__ = sorted([*_HOMES, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"paretomerge.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'paretomerge' has no attribute {name!r}")
    attribute = "export_checkpoint" if name == "export" else name
    value = getattr(import_module(f"paretomerge.{_HOMES[name]}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
