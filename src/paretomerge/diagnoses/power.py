"""An underpowered evaluation set: its noise is as large as the differences between the models of a front.

The reliability of the scores is the share of their variance over models that is signal,

    reliability = 1 - noise / var_i(y_i)

with noise as in `noise.py`: the squared correlation of scores with what they would be on all examples there could be
(Lord & Novick, 1968, Statistical Theories of Mental Test Scores, 3). It has no unit. Noise is proportional to one over
the number of examples, so a reliability `r` needs `n r / (1 - r) · noise / signal` of them. Models that are near each
other share more of their noise than others, so the order of models along a front is known better than this says.

Shapes: `N` scores, `M` objectives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from paretomerge.diagnoses.diagnosis import Diagnosis, Severity
from paretomerge.diagnoses.noise import difference_variances, noise_variance, score_variance
from paretomerge.types import Scores, to_minimised

FEWEST = 4
"""Models, at least: with fewer the variance over them is anybody's guess."""
ENOUGH = 0.9
"""The reliability that is enough: on digits, losses that have it correlate with test losses by 0.97 and more."""
POOR = 0.5
"""Below this reliability most of what is seen is noise, and the diagnosis is a warning: on digits such losses correlate
with test losses by 0.86 on average, and by less than 0.7 in a tenth of all cases."""
_SURE = 2.0
"""Standard errors by which a model must be worse everywhere to be left out."""


def underpowered(scores: Scores, examples: Mapping[str, int] | None = None) -> tuple[Diagnosis, ...]:
    """One diagnosis for each objective whose scores are too noisy to tell the models of a front apart.

    Args:
        scores: of merged models, with the errors that they share (`Scores.shared`). Those that are surely
            dominated do not count, where enough others are left.
        examples: task → how many examples it was scored on, to say how many are needed.
    """
    kept = _on_front(scores)
    if len(kept) < FEWEST:
        return ()
    noise, variance = noise_variance(kept), score_variance(kept)
    counts = examples or {}
    found = []
    for column, objective in enumerate(kept.objectives):
        if not (noise[column] > 0 and variance[column] > 0):
            continue
        signal = float(max(variance[column] - noise[column], 0.0))
        reliability = signal / float(variance[column])
        if reliability >= ENOUGH:
            continue
        pairs = difference_variances(kept)[column][np.triu_indices(len(kept), 1)]
        evidence = {
            "reliability": reliability,
            "spread": float(np.ptp(kept.values[:, column])),
            "difference_stderr": float(np.sqrt(np.median(pairs))),
        }
        count = counts.get(objective.task)
        needed = examples_needed(count, float(noise[column]), signal) if count else None
        if count:
            evidence |= {"examples": float(count)} | ({} if needed is None else {"needed": float(needed)})
        found.append(_diagnosis(objective.name, objective.task, evidence, objective.unit))
    return tuple(found)


def examples_needed(count: int, noise: float, signal: float, reliability: float = ENOUGH) -> int | None:
    """How many examples make scores as reliable as asked for, when `count` have this noise; `None` without signal.

    >>> examples_needed(100, noise=1.0, signal=1.0)
    900
    """
    if not signal > 0:
        return None
    return math.ceil(count * reliability / (1 - reliability) * noise / signal - 1e-9)


def _on_front(scores: Scores) -> Scores:
    """Without the models that another one surely dominates: better by more than noise in every objective.

    Plain dominance would select by the noise itself, and what it leaves looks like a trade-off whatever there is.
    """
    values = to_minimised(scores.values, scores.objectives).T
    margin = _SURE * np.sqrt(difference_variances(scores))
    dominated = (values[:, :, None] - values[:, None, :] > margin).all(axis=0).any(axis=1)
    return scores if (~dominated).sum() < FEWEST else scores.take(~dominated)


def _diagnosis(name: str, task: str, evidence: dict[str, float], unit: str) -> Diagnosis:
    suffix = f" {unit}" if unit else ""
    on = f" on {evidence['examples']:.0f} examples" if "examples" in evidence else ""
    message = (
        f"{name}: merged models differ by {evidence['spread']:.3g}{suffix} at most{on}, and a difference of two has a "
        f"standard error of {evidence['difference_stderr']:.2g}: {100 * evidence['reliability']:.0f} % of what is seen "
        "is signal"
    )
    if "needed" in evidence:
        remedy = f"score on about {_rounded(evidence['needed'])} examples (front.split, or a larger validation set)"
    elif evidence["reliability"] > 0:
        remedy = "score on more examples (front.split, or a larger validation set)"
    else:
        remedy = "score on many more examples, or take the weights for equal: nothing seen here speaks against it"
    severity: Severity = "warning" if evidence["reliability"] < POOR else "note"
    return Diagnosis("power", severity, message, remedy, evidence, (task,))


def _rounded(count: float) -> str:
    """Two significant digits: more would be a pretence."""
    return f"{float(f'{count:.2g}'):,.0f}"
