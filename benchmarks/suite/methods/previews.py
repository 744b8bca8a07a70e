"""Previews by the package's own pipeline: fit, choose the strength on validation data, merge at every weighting.

Shapes: `K` weightings, `T` tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from benchmarks.suite.methods.base import Found, Method
from benchmarks.suite.methods.fits import Fitted, error_of, few_examples, fit_once
from benchmarks.suite.methods.fits import fitted_to as fitted_to
from benchmarks.suite.methods.tuning import least_loss, tuning_weights
from benchmarks.suite.setting import Setting
from paretomerge.curvature import FitMethod
from paretomerge.stages import PreviewMethod, preview_models
from paretomerge.stages.fitting.previews import Preview, coordinates_loss, merged_models, only_strength
from paretomerge.types import Ledger

FACTORS = {"labels": "route"} | {
    name: name
    for name in (
        *("location", "groups", "enrich", "centres", "validated", "examples", "damping"),
        *("corrected", "rank", "common_bases"),
    )
}
"""Setting of a fit → factor."""


@dataclass(frozen=True, eq=False)
class Previewed:
    """Merges at the setting's weightings, and the fit they come from."""

    preview: Preview
    fitted: Fitted


def previewed(method: PreviewMethod, *, keep_fit: bool = False, **factors: Any) -> Method:
    """One of the package's preview methods; its curvature sees as many examples as the setting says."""

    def fit(setting: Setting) -> Fitted:
        return fit_once(setting, method.fit, keep=keep_fit)

    return from_fit(method, fit, {**factors_of(method.fit), **factors})


def from_fit(
    method: PreviewMethod, fit: Callable[[Setting], Fitted], factors: Mapping[str, Any], runs: int = 1
) -> Method:
    """Previews whose posteriors are fitted in a way of their own.

    With several runs per task there is no curvature error: their task vectors are not those of the truth.
    """

    def find(setting: Setting) -> Found:
        found = merged(setting, method, fit(setting))
        preview = found.preview

        def checks() -> dict[str, Any]:
            known: dict[str, Any] = {} if runs > 1 else error_of(setting, preview.curvatures)
            if preview.curvatures.losses and not method.recentre_steps:
                predicted = coordinates_loss(preview.curvatures, preview.strength, setting.weights)
                known["predicted"] = predicted.tolist()
            return known

        facts = {"strength": preview.strength}
        return Found(setting.weights, preview.models, preview.ledger, facts, found.fitted.core_seconds, checks)

    return Method(method.name, find, factors=factors, runs=runs)


def merged(setting: Setting, method: PreviewMethod, fitted: Fitted) -> Previewed:
    """Choose the strength where there are several, and merge at every weighting."""
    strength, evaluations = choose_strength(setting, method, fitted)
    # Recentring takes gradients of all the training data it is given.
    problem = few_examples(setting.problem, setting.examples) if method.recentre_steps else setting.problem
    preview = preview_models(
        problem,
        fitted.base,
        setting.finetunes,
        replace(method, fit=fitted.curvatures.method, strengths=(strength,)),
        setting.weights,
        curvatures=fitted.curvatures,
        seed=setting.seed,
    )
    return Previewed(replace(preview, ledger=preview.ledger + Ledger(evaluations=evaluations)), fitted)


def choose_strength(setting: Setting, method: PreviewMethod, fitted: Fitted) -> tuple[float, int]:
    """The candidate with the lowest weighted validation loss, averaged over a few weightings; and evaluations."""
    if len(method.strengths) == 1:
        return only_strength(method, fitted.curvatures), 0
    rows = tuning_weights(len(setting.tasks))
    best, _ = least_loss(
        setting,
        method.name,
        method.strengths,
        lambda strength, rows: merged_models(fitted.base, method, fitted.curvatures, strength, rows),
        rows,
    )
    return method.strengths[best], len(method.strengths) * len(rows)


def factors_of(fit: FitMethod) -> Mapping[str, Any]:
    """The settings of a fit that studies compare, as plain values."""
    known: dict[str, Any] = {"family": fit.family}
    for field in fields(fit):
        value = getattr(fit, field.name)
        if field.name in FACTORS:
            known[FACTORS[field.name]] = value if isinstance(value, int | float | str) else str(value)
    if known.get("examples") == "None":
        del known["examples"]  # as the setting says
    if known["family"] in ("subspace", "low_rank", "dense"):
        known.setdefault("route", "ggn")
    return known
