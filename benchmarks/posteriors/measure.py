"""One row: previews by one method at every strength, held against the truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from benchmarks.posteriors.settings import Setting
from benchmarks.suite.curvature_error import curvature_error

from paretomerge import Averaging, Scores, compare_preview, fit_curvatures
from paretomerge.curvature import Curvatures, FitMethod
from paretomerge.errors import PosteriorError
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.merging import MergeRule, PosteriorMerge
from paretomerge.posteriors import choose_by_evidence
from paretomerge.stages.fitting.previews import PreviewMethod, merged_models, weighted_loss
from paretomerge.types import simplex_grid

STRENGTHS = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)
HABIT = 0.1
"""The damping of somebody who chooses nothing."""


@dataclass(frozen=True)
class Row:
    """A method, and the factors it is a level of.

    Args:
        name: unique in its setting.
        factors: family, route, location and so on, for the analysis.
        fit: how the posteriors are fitted.
        rule: how they are merged.
        strengths: candidates of the damping.
        curvatures: makes the curvatures in another way than `fit_curvatures`.
        split: whose examples curvature is measured on.
    """

    name: str
    factors: Mapping[str, Any]
    fit: FitMethod
    rule: MergeRule = field(default_factory=PosteriorMerge)
    strengths: tuple[float, ...] = STRENGTHS
    curvatures: Callable[[Setting], Curvatures] | None = None
    split: str = "training"

    @property
    def method(self) -> PreviewMethod:
        """As the pipeline knows it."""
        return PreviewMethod(self.name, self.fit, self.rule, self.strengths, split=self.split)  # type: ignore[arg-type]


def measure(setting: Setting, row: Row) -> dict[str, Any]:
    """Validation losses at every strength; test errors at those that validation, evidence and habit choose; costs."""
    # Without the cache of cast weights: it would not notice that a model is overwritten by the next one.
    with torch.autocast("cpu", torch.bfloat16, enabled=setting.name == "sentiment", cache_enabled=False):
        return _measure(setting, row)


def _measure(setting: Setting, row: Row) -> dict[str, Any]:
    started = time.perf_counter()
    curvatures = row.curvatures(setting) if row.curvatures else fitted(setting, row)
    seconds = time.perf_counter() - started
    validation = {f"{strength:g}": validation_loss(setting, row, curvatures, strength) for strength in row.strengths}
    chosen = {
        "validation": min(validation, key=lambda strength: _or_infinite(validation[strength])),
        "evidence": chosen_by_evidence(setting, row, curvatures),
        "fixed": f"{HABIT:g}" if f"{HABIT:g}" in validation else None,
    }
    at = {}
    for strength in {name for name in chosen.values() if name is not None and validation[name] is not None}:
        models = list(merged_models(setting.base, row.method, curvatures, float(strength), setting.weights))
        at[strength] = quality(setting.score(models), setting.truth)
    return {
        "name": row.name,
        "factors": dict(row.factors),
        "validation_losses": validation,
        "chosen": chosen,
        "at": at,
        "curvature_error": curvature_error(setting.true_curvature, curvatures) if setting.name == "digits" else None,
        "fit": asdict(curvatures.ledger),
        "fit_seconds": seconds,
        "seconds": time.perf_counter() - started,
    }


def fitted(setting: Setting, row: Row) -> Curvatures:
    """The row's curvature."""
    return fit_curvatures(setting.problem, setting.base, setting.finetunes, row.fit, row.split, setting.seed)  # type: ignore[arg-type]


def validation_loss(setting: Setting, row: Row, curvatures: Curvatures, strength: float) -> float | None:
    """`Σ α_t l_t` on validation data, averaged over the equal weights and three others; `None` where it cannot be."""
    weights = simplex_grid(len(setting.finetunes), 6)
    weights = weights[np.isin(weights.max(axis=1), (4 / 6, 2 / 6)) & (weights > 0).all(axis=1)]
    evaluator = SupervisedEvaluator(setting.problem, "validation")
    try:
        models = merged_models(setting.base, row.method, curvatures, strength, weights)
        losses = [weighted_loss(evaluator, m, setting.finetunes, w) for m, w in zip(models, weights, strict=True)]
    except PosteriorError:
        return None
    return float(np.mean(losses))


def quality(scores: Scores, truth: Scores) -> dict[str, float]:
    """Errors of previews; where tasks have weight zero, apart."""
    losses = compare_preview(scores.select("loss"), truth.select("loss"))
    hits = compare_preview(scores.select("accuracy"), truth.select("accuracy"))
    off = np.abs(scores.select("loss").values - truth.select("loss").values)
    weighted = truth.weights > 0
    inside = weighted.all(axis=1)
    found = {
        "loss_error": losses.preview_error,
        "loss_bias": losses.bias,
        "interior": float(off[inside].mean()),
        "accuracy_error": hits.preview_error,
        "rank_correlation": losses.as_dict()["rank_correlation"],
        "scalarised_loss": float((scores.select("loss").values * scores.weights).sum(axis=1).mean()),
    }
    if not inside.all():
        found["unweighted"] = float(off[~weighted].mean())
    return found


def chosen_by_evidence(setting: Setting, row: Row, curvatures: Curvatures) -> str | None:
    """The strength with the largest marginal likelihood, where the family has one."""
    if isinstance(row.rule, Averaging) or not curvatures.losses:
        return None
    count = sum(len(y) for task in setting.problem.tasks for _, y in setting.problem.batches(task, "training"))
    try:
        return f"{choose_by_evidence(curvatures.bare, count, row.strengths):g}"
    except PosteriorError:
        return None


def _or_infinite(value: float | None) -> float:
    return value if value is not None and np.isfinite(value) else np.inf


def one_thread() -> None:
    """The same sums in the same order, whatever else the machine does."""
    torch.set_num_threads(1)
