"""The verbs: fit one surrogate, or keep the one of several that predicts left-out scores best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import is_dataclass, replace
from typing import Any, cast

import numpy as np

from paretomerge.errors import DataError
from paretomerge.surrogates.base import Fitted, Surrogate
from paretomerge.types import Domain, Scores, Simplex


def fit_surrogate(scores: Scores, surrogate: Surrogate, domain: Domain | None = None) -> Fitted:
    """Fit a surrogate to scores.

    Args:
        scores: measured at points of the domain; none at all is allowed where the surrogate knows something by itself.
        surrogate: its settings.
        domain: where it will predict; the simplex of the scores' tasks when not given.

    Raises:
        DataError: too few scores for the surrogate, or scores of another domain's coordinates.
        WeightsError: scored points outside the domain.
    """
    chosen = Simplex(scores.tasks) if domain is None else domain
    if chosen.names != scores.tasks:
        raise DataError(
            f"the scores are at coordinates {', '.join(scores.tasks)}, the domain has {', '.join(chosen.names)}: "
            "give the domain in which the scores were measured"
        )
    if len(scores):
        chosen.checked(scores.weights)
    return surrogate.fit(scores, chosen)


def choose_surrogate(scores: Scores, candidates: Sequence[Surrogate], domain: Domain | None = None) -> Fitted:
    """The candidate that predicts left-out scores best; its warnings say what was dropped.

    Compared is the leave-one-out error in units of the scores' variance, averaged over the objectives in which it can
    be computed for all candidates. Candidates that need more scores are left out; with equal errors, or with too few
    scores to compare, the first that can be fitted is kept.

    Raises:
        DataError: no candidates, or none that can be fitted to so few scores.
    """
    fitted: list[Fitted] = []
    refused = []
    for candidate in candidates:
        try:
            fitted.append(fit_surrogate(scores, candidate, domain))
        except DataError as error:
            refused.append(f"{type(candidate).__name__} was left out: {error}")
    if not fitted:
        raise DataError("; ".join(refused) or "no surrogates to choose from: give at least one")
    errors = 1 - np.stack([one.fit_quality for one in fitted])
    comparable = np.isfinite(errors).all(axis=0)
    means = errors[:, comparable].mean(axis=1) if comparable.any() else np.zeros(len(fitted))
    best = int(np.argmin(means))
    notes = [
        f"{_name(one)} was dropped for {_name(fitted[best])}: leave-one-out error {mean:.3g} against "
        f"{means[best]:.3g} of the scores' variance"
        for one, mean in zip(fitted, means, strict=True)
        if one is not fitted[best] and comparable.any()
    ]
    return _with_warnings(fitted[best], (*refused, *notes))


def _name(fitted: Fitted) -> str:
    return type(getattr(fitted, "surrogate", fitted)).__name__


def _with_warnings(fitted: Fitted, more: Sequence[str]) -> Fitted:
    if not more or not is_dataclass(fitted):
        return fitted
    return cast(Fitted, replace(cast(Any, fitted), warnings=(*fitted.warnings, *more)))
