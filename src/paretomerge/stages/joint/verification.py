"""What a verification found: previews against truths, intervals against truths, and the front after recalibration.

Shapes: `N` verified weightings, `K` points of the front, `M` objectives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from paretomerge.fronts import PreviewQuality, RecalibratedFront, compare_preview
from paretomerge.stages.joint.truths import Truth
from paretomerge.surrogates import LeftOut
from paretomerge.types import Front, Objective, Scores


@dataclass(frozen=True, eq=False)
class Verification:
    """Previews held against jointly finetuned models on test data.

    Attributes:
        previews, truths: scores of the merged models and of the trained ones at the `N` verified weightings.
        trained: where each truth comes from.
        quality: metric → how far previews and truths are apart.
        lower, upper: `[N, M]`, the previews' intervals: those of the front at its own points, elsewhere the test
            score's own.
        left_out: every truth as it is predicted from the other truths and the single finetunes.
        recalibrated: the front of joint finetuning that everything known together gives.
        before: the front of merged models that it was made of.
    """

    previews: Scores
    truths: Scores
    trained: tuple[Truth, ...]
    quality: dict[str, PreviewQuality]
    lower: np.ndarray
    upper: np.ndarray
    left_out: LeftOut
    recalibrated: RecalibratedFront
    before: Front

    @property
    def inside(self) -> np.ndarray:
        """`[N, M]`, whether each truth lies in its preview's interval, give or take its own error on test data."""
        from scipy.special import ndtri

        slack = float(ndtri((1 + self.left_out.level) / 2)) * self.truths.stderr
        middle, half = (self.lower + self.upper) / 2, (self.upper - self.lower) / 2
        return np.abs(self.truths.values - middle) <= np.hypot(half, slack)

    @property
    def inside_after(self) -> np.ndarray:
        """`[N, M]`, whether each truth lies in the interval that the other truths give it."""
        values = self.truths.values
        return (values >= self.left_out.lower) & (values <= self.left_out.upper)

    def coverage(self) -> dict[str, Any]:
        """Shares of truths inside the intervals, overall and per objective."""
        names = [objective.name for objective in self.truths.objectives]

        def shares(inside: np.ndarray) -> dict[str, Any]:
            per_objective = dict(zip(names, inside.mean(axis=0).tolist(), strict=True))
            return {"share": float(inside.mean()), "by_objective": per_objective, "inside": inside.tolist()}

        return {
            "level": self.left_out.level,
            "before": {**shares(self.inside), "lower": self.lower.tolist(), "upper": self.upper.tolist()},
            "after": {
                **shares(self.inside_after),
                "lower": self.left_out.lower.tolist(),
                "upper": self.left_out.upper.tolist(),
            },
        }

    def recalibration(self) -> dict[str, Any]:
        """What knowing the truths changes: errors per metric with each truth left out, and how far the front moved."""
        found: dict[str, Any] = {"predicted": self.left_out.mean.tolist(), "error_before": {}, "error_after": {}}
        before = np.abs(self.previews.values - self.truths.values)
        after = np.abs(self.left_out.mean - self.truths.values)
        for metric, columns in _by_metric(self.truths.objectives).items():
            found["error_before"][metric] = float(before[:, columns].mean())
            found["error_after"][metric] = float(after[:, columns].mean())
        names = [objective.name for objective in self.before.objectives]
        found["moved"] = dict(zip(names, self.recalibrated.moved.mean(axis=0).tolist(), strict=True))
        return found

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, for people: errors, order, coverage, and what is left of the front."""
        changed, said = self.recalibration(), []
        for metric, quality in self.quality.items():
            ranks = quality.as_dict()["rank_correlation"]
            order = "" if ranks is None else f", rank correlation over the weightings {ranks:.2f}"
            said.append(f"{metric}: the preview errs by {quality.preview_error:.3g} on average{order}")
        known = "the finetunes and the other trainings" if len(self.truths) > 1 else "the finetunes alone"
        errors = ", ".join(
            f"{metric} {changed['error_before'][metric]:.3g} before and {error:.3g} after"
            for metric, error in changed["error_after"].items()
        )
        said.append(f"errors when each truth is predicted from {known}: {errors}")
        count, level = self.inside.size, 100 * self.left_out.level
        said.append(
            f"{int(self.inside.sum())} of {count} truths lie in the previews' {level:g} % intervals, "
            f"{int(self.inside_after.sum())} in those of the recalibration"
        )
        moves = ", ".join(f"{name} by {value:+.3g}" for name, value in changed["moved"].items())
        left, size = len(self.recalibrated.survivors), len(self.before)
        rest = "all of its points survive" if left == size else f"{left} of its {size} points survive, not dominated"
        said.append(f"recalibration moves the front's {moves} on average; {rest}")
        return tuple(said)

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "previews": self.previews.as_dict(),
            "truths": self.truths.as_dict(),
            "trained": [one.as_dict() for one in self.trained],
            "quality": {metric: quality.as_dict() for metric, quality in self.quality.items()},
            "coverage": self.coverage(),
            "recalibration": self.recalibration(),
            "survivors": {"points": self.recalibrated.survivors.tolist(), "of": len(self.before)},
            "sentences": list(self.sentences),
        }


def qualities(previews: Scores, truths: Scores) -> dict[str, PreviewQuality]:
    """Preview quality for each metric that every task has."""
    metrics = list(dict.fromkeys(objective.metric for objective in truths.objectives))
    return {metric or "score": compare_preview(previews.select(metric), truths.select(metric)) for metric in metrics}


def _by_metric(objectives: tuple[Objective, ...]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for column, objective in enumerate(objectives):
        found.setdefault(objective.metric or "score", []).append(column)
    return found
