"""How good a preview is: what was predicted or merged, against the truth at the same weightings.

Shapes: `K` weightings, `M` objectives, `T` tasks.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from paretomerge.errors import DataError
from paretomerge.fronts.hypervolume import reference_point, require_reference
from paretomerge.fronts.quality import additive_epsilon, generational_distance, hypervolume_ratio, igd_plus
from paretomerge.types import Scores, require_tasks

SAME_WEIGHTING = 1e-6


@dataclass(frozen=True)
class PreviewQuality:
    """A preview held against the truth, at the same weightings.

    Args:
        hypervolume_ratio: preview over truth, two-sided: 1.02 is as wrong as 0.98.
        igd_plus: how far the true points are from being reached.
        generational_distance: how far the preview's points are from the truth.
        additive_epsilon: how much must be granted in every objective to reach the truth.
        preview_error: mean over weightings and objectives of `|preview - truth|`.
        bias: mean over weightings and objectives of `preview - truth`, in the objectives' own directions.
        rank_correlation: Spearman's over weightings, averaged over the objectives that vary; NaN if none does.
        preview_error_by_objective, bias_by_objective, rank_correlation_by_objective: objective → value.
        constant_objectives: those left out of the rank correlation, because the preview or the truth has one
            value at all weightings (or there are fewer than two).
        reference: objective → the reference point of both hypervolumes.
        weightings: `K`.
        normalised: whether the three distances were divided by the truth's range per objective.
    """

    hypervolume_ratio: float
    igd_plus: float
    generational_distance: float
    additive_epsilon: float
    preview_error: float
    bias: float
    rank_correlation: float
    preview_error_by_objective: dict[str, float]
    bias_by_objective: dict[str, float]
    rank_correlation_by_objective: dict[str, float]
    constant_objectives: tuple[str, ...]
    reference: dict[str, float]
    weightings: int
    normalised: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON: plain numbers, `None` where the rank correlation is undefined, a list of names."""
        plain = asdict(self)
        plain["constant_objectives"] = list(self.constant_objectives)
        if math.isnan(self.rank_correlation):
            plain["rank_correlation"] = None
        return plain


def compare_preview(
    preview: Scores,
    truth: Scores,
    metric: str | None = None,
    *,
    reference: ArrayLike | None = None,
    normalise: bool = False,
) -> PreviewQuality:
    """Compare two sets of scores weighting by weighting and as fronts.

    Args:
        preview: what was predicted, or measured on merged models.
        truth: the jointly finetuned models, at the same weightings in any order.
        metric: compare only the objectives with this metric, for example `"loss"`; all of them if not given.
        reference: the reference point `[M]` of both hypervolumes, in the order of the truth's (selected)
            objectives and in their directions; the worst of both sets plus 10 % of the range if not given.
        normalise: divide the distances (IGD+, GD, additive epsilon) by the truth's range per objective; the
            preview error and the bias always keep the objectives' own units.

    Raises:
        DataError: different objectives or weightings, or a weighting that occurs twice.
        WeightsError: different tasks.
    """
    if metric is not None:
        preview, truth = preview.select(metric), truth.select(metric)
    _require_same_objectives(preview, truth)
    preview = _matched(preview, truth)
    corner = reference_point(preview, truth) if reference is None else reference
    corner = require_reference(corner, len(truth.objectives))
    names = [objective.name for objective in truth.objectives]
    difference = preview.values - truth.values
    correlations = {
        name: value
        for name, value in zip(names, _spearman(preview.values, truth.values), strict=True)
        if not math.isnan(value)
    }
    return PreviewQuality(
        hypervolume_ratio=hypervolume_ratio(preview, truth, reference=corner),
        igd_plus=igd_plus(preview, truth, normalise=normalise),
        generational_distance=generational_distance(preview, truth, normalise=normalise),
        additive_epsilon=additive_epsilon(preview, truth, normalise=normalise),
        preview_error=float(np.abs(difference).mean()),
        bias=float(difference.mean()),
        rank_correlation=float(np.mean(list(correlations.values()))) if correlations else math.nan,
        preview_error_by_objective=_named(names, np.abs(difference).mean(axis=0)),
        bias_by_objective=_named(names, difference.mean(axis=0)),
        rank_correlation_by_objective=correlations,
        constant_objectives=tuple(name for name in names if name not in correlations),
        reference=_named(names, corner),
        weightings=len(truth),
        normalised=normalise,
    )


def _require_same_objectives(preview: Scores, truth: Scores) -> None:
    ours, theirs = ([(o.name, o.direction) for o in scores.objectives] for scores in (preview, truth))
    if ours != theirs:
        raise DataError(
            f"the preview has the objectives {', '.join(map(' '.join, ours))}, the truth "
            f"{', '.join(map(' '.join, theirs))}: compare the same ones in the same order (metric= selects some)"
        )


def _matched(preview: Scores, truth: Scores) -> Scores:
    """The rows of `preview` in the order of the truth's weightings, with the truth's objectives and tasks."""
    require_tasks(preview.tasks, truth.tasks)
    if not len(truth):
        raise DataError("the truth has no scores: there is nothing to compare with")
    ours = preview.weights[:, [preview.tasks.index(task) for task in truth.tasks]]
    for what, weights in (("preview", ours), ("truth", truth.weights)):
        _require_distinct(weights, truth.tasks, what)
    same = np.abs(truth.weights[:, None] - ours).max(axis=2, initial=0.0) <= SAME_WEIGHTING
    for lacking, weights, found in (
        ("preview", truth.weights, same.any(axis=1)),
        ("truth", ours, same.any(axis=0)),
    ):
        if not found.all():
            raise DataError(
                f"the {lacking} has no score at {int((~found).sum())} of the other's {len(found)} weightings, such "
                f"as {_show(truth.tasks, weights[~found][0])}: compare at the same weightings (take() selects rows)"
            )
    rows = same.argmax(axis=1)
    taken = preview.take(rows)
    return Scores(truth.tasks, ours[rows], taken.values, taken.stderr, truth.objectives, taken.origin)


def _require_distinct(weights: np.ndarray, tasks: tuple[str, ...], what: str) -> None:
    close = np.abs(weights[:, None] - weights).max(axis=2, initial=0.0) <= SAME_WEIGHTING
    repeated = np.flatnonzero(close.sum(axis=1) > 1)
    if len(repeated):
        raise DataError(
            f"the {what} has several scores at {_show(tasks, weights[repeated[0]])}: average repeated runs first"
        )


def _spearman(ours: np.ndarray, theirs: np.ndarray) -> list[float]:
    """Per objective the correlation of the (average) ranks; NaN where either side is constant."""
    from scipy.stats import rankdata  # slow to import, and few verbs need it

    result = []
    for a, b in zip(ours.T, theirs.T, strict=True):
        # np.ptp and not the spread of the ranks: exact for any values.
        if np.ptp(a) == 0 or np.ptp(b) == 0:
            result.append(math.nan)
        else:
            result.append(float(np.corrcoef(rankdata(a), rankdata(b))[0, 1]))
    return result


def _named(names: list[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def _show(tasks: tuple[str, ...], weights: np.ndarray) -> str:
    return ", ".join(f"{task}={weight:.4g}" for task, weight in zip(tasks, weights, strict=True))
