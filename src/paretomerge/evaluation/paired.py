"""What models that were scored on the same examples share: their errors, and so the sharpness of their differences.

An easy sample of examples flatters every model alike. The errors of such scores are correlated, a difference between
two models is known better than either level, and a front is shifted as a whole rather than point by point.

Everything here speaks of the error `mean over the examples used - mean over all examples there could be`. An evaluator
that is random by itself (sampled answers) adds noise that per-example scores cannot tell from it, unless it draws anew
for every model: then the covariances see only what is shared, and standard errors see both.

Shapes: `N` models, `M` objectives, `n` examples, `B` bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paretomerge.errors import DataError
from paretomerge.evaluation.base import Evaluation, standard_error
from paretomerge.types import Objective

_LARGEST_TABLE = 4_000_000
"""Numbers held at once while resampling."""


def shared_covariance(
    evaluations: Sequence[Evaluation],
    objectives: Sequence[Objective] | None = None,
    *,
    population: int | None = None,
) -> np.ndarray | None:
    """`Σ_m [i, j] = cov(y_i, y_j) / n` of the mean scores of `N` models on the same `n` examples: `[M, N, N]`.

    The diagonal is the squared standard errors: what is measured on given examples has no other error. An objective
    whose examples cannot be paired (models scored on different numbers of examples, or one aggregate score) gets
    zeros, as errors that are independent.

    Args:
        evaluations: one per model, with its per-example scores.
        objectives: which ones, and in which order; those of the first evaluation when not given.
        population: how many examples there are in all, when the target is their mean and the `n` used are a random
            part of them: variances shrink by `1 - n / population` (Cochran, 1977, Sampling Techniques, 2.6). Standard
            errors beside them must shrink by its root, or the rest counts as each score's own noise.

    Returns:
        What `Scores.shared` holds; `None` when no objective can be paired.

    Raises:
        DataError: an evaluation without per-example scores of an objective, or a population smaller than its sample.
    """
    names = _names(evaluations, objectives)
    shared = np.zeros((len(names), len(evaluations), len(evaluations)))
    paired = False
    for row, name in enumerate(names):
        columns = _columns(evaluations, name)
        count = len(columns[0])
        if count < 2 or any(len(column) != count for column in columns):
            continue
        centred = _centred(columns)
        product = centred @ centred.T
        # BLAS need not give the same bits on both sides of the diagonal, nor those of the standard error on it.
        shared[row] = (product + product.T) / 2 / (count * (count - 1))
        np.fill_diagonal(shared[row], [standard_error(column) ** 2 for column in columns])
        shared[row] *= _unseen(count, population, name)
        paired = True
    return shared if paired else None


def bootstrap_deviations(
    evaluations: Sequence[Evaluation],
    draws: int,
    rng: np.random.Generator,
    objectives: Sequence[Objective] | None = None,
    *,
    population: int | None = None,
) -> np.ndarray:
    """Paired bootstrap `[B, N, M]`: how far the mean scores move when examples are drawn anew, with replacement.

    Every model meets the same resampled examples (Efron & Tibshirani, 1993, An Introduction to the Bootstrap, 8). The
    deviations are scaled by `√(n / (n - 1))`, so that their covariance is that of `shared_covariance`; unlike normal
    draws they keep the skewness of the scores. Objectives of one task (loss and accuracy) are resampled together when
    `objectives` say which task they are of, and apart otherwise; different tasks always apart. Lone numbers without
    per-example scores get normal noise of the size of their standard errors, independent between models.

    Args:
        evaluations: one per model. Where the numbers of examples differ, each model is resampled alone.
        draws: `B`.
        rng: the randomness.
        objectives: which ones, and in which order; those of the first evaluation when not given.
        population: as in `shared_covariance`.

    Raises:
        DataError: as in `shared_covariance`, or fewer than one draw.
    """
    if draws < 1:
        raise DataError(f"{draws} bootstrap draws: at least one is needed")
    names = _names(evaluations, objectives)
    tasks = list(names) if objectives is None else [objective.task for objective in objectives]
    deviations = np.zeros((draws, len(evaluations), len(names)))
    # One stream of random numbers per task, so that objectives of the same task can be resampled one after the other.
    seeds = dict(zip(dict.fromkeys(tasks), rng.integers(2**63, size=len(set(tasks))).tolist(), strict=True))
    for column, (name, task) in enumerate(zip(names, tasks, strict=True)):
        scores = _columns(evaluations, name)
        stream = np.random.default_rng(seeds[task])
        if all(len(values) == 1 for values in scores):
            errors = [_error_of(evaluation, name) for evaluation in evaluations]
            deviations[:, :, column] = stream.standard_normal((draws, len(evaluations))) * errors
            continue
        if len({len(values) for values in scores}) == 1:
            deviations[:, :, column] = _resampled(
                _centred(scores), draws, stream, _unseen(len(scores[0]), population, name)
            )
            continue
        for model, values in enumerate(scores):
            unseen = _unseen(len(values), population, name)
            deviations[:, model, column] = _resampled(_centred([values]), draws, stream, unseen)[:, 0]
    return deviations


def paired_difference(one: Evaluation, other: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error `[M]` of `one - other` for every objective.

    On the same examples the error is `s(y_one - y_other) / √n`. On different numbers of examples, and of lone numbers,
    the errors count as independent: `√(e_one² + e_other²)`.

    Raises:
        DataError: evaluations without per-example scores, or of different objectives.
    """
    names = _names([one], None)
    if set(names) != set(other.examples):
        raise DataError(
            f"the evaluations have different objectives ({', '.join(names)}; {', '.join(other.examples)}): "
            "compare models on the same ones"
        )
    mean, stderr = [], []
    for name in names:
        ours, theirs = one.examples[name], other.examples[name]
        mean.append(float(ours.mean() - theirs.mean()))
        paired = len(ours) == len(theirs) > 1
        apart = float(np.hypot(_error_of(one, name), _error_of(other, name)))
        stderr.append(standard_error(ours - theirs) if paired else apart)
    return np.array(mean), np.array(stderr)


def _names(evaluations: Sequence[Evaluation], objectives: Sequence[Objective] | None) -> tuple[str, ...]:
    if not evaluations:
        raise DataError("no evaluations: nothing was measured yet")
    names = tuple(evaluations[0].examples) if objectives is None else tuple(objective.name for objective in objectives)
    if not names:
        raise DataError("the evaluations have no per-example scores: an evaluator that returns them is needed")
    return names


def _columns(evaluations: Sequence[Evaluation], name: str) -> list[np.ndarray]:
    for index, evaluation in enumerate(evaluations):
        if name not in evaluation.examples:
            raise DataError(
                f"evaluation {index} has no per-example scores of {name!r} (it has "
                f"{', '.join(evaluation.examples) or 'none'}): measure the same objectives on every model"
            )
    return [np.asarray(evaluation.examples[name], dtype=np.float64) for evaluation in evaluations]


def _error_of(evaluation: Evaluation, name: str) -> float:
    """The standard error of a mean score; of a lone number as it was given."""
    return float(evaluation.stderr[list(evaluation.examples).index(name)])


def _centred(columns: Sequence[np.ndarray]) -> np.ndarray:
    table = np.stack(columns)
    return table - table.mean(axis=1, keepdims=True)


def _unseen(count: int, population: int | None, name: str) -> float:
    if population is None:
        return 1.0
    if population < count:
        raise DataError(f"{name!r} was scored on {count} examples, more than the {population} there are in all")
    return 1.0 - count / population


def _resampled(centred: np.ndarray, draws: int, rng: np.random.Generator, unseen: float) -> np.ndarray:
    """`[B, N]` means of resampled centred scores `[N, n]`."""
    count = centred.shape[1]
    if count < 2:
        return np.zeros((draws, len(centred)))
    means = np.empty((draws, len(centred)))
    step = max(1, _LARGEST_TABLE // count)
    for start in range(0, draws, step):
        times = rng.multinomial(count, np.full(count, 1.0 / count), size=min(step, draws - start))
        means[start : start + step] = times @ centred.T / count
    return means * np.sqrt(count / (count - 1) * unseen)
