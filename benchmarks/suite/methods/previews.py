"""Previews by the package's own pipeline: fit, choose the strength on validation data, merge at every weighting."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from benchmarks.suite.methods.base import Found, Method
from benchmarks.suite.setting import Setting
from paretomerge.stages import PreviewMethod, preview_models
from paretomerge.stages.fitting.previews import coordinates_loss


def previewed(method: PreviewMethod, **factors: Any) -> Method:
    """One of the package's preview methods; its curvature sees as many examples as the setting says."""

    def find(setting: Setting) -> Found:
        fit = fitted_to(setting, method.fit)
        found = preview_models(
            setting.problem,
            setting.base,
            setting.finetunes,
            replace(method, fit=fit),
            setting.weights,
            seed=setting.seed,
        )
        facts: dict[str, Any] = {"strength": found.strength}
        if found.curvatures.losses and not method.recentre_steps:
            facts["predicted"] = coordinates_loss(found.curvatures, found.strength, setting.weights).tolist()
        return Found(setting.weights, found.models, found.ledger, facts)

    return Method(method.name, find, factors={"family": method.fit.family, **factors})


def fitted_to(setting: Setting, fit: Any) -> Any:
    """The fit with the setting's number of examples, where it has one and leaves it at its default."""
    known = {field.name: field.default for field in fields(fit)}
    changed = {
        name: setting.examples
        for name in ("examples", "gradient_examples")
        if name in known and getattr(fit, name) == known[name]
    }
    return replace(fit, **changed)
