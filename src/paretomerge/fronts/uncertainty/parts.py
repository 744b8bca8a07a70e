"""What is not known about scores at given points, in three parts that are kept apart and combined as joint draws.

For the score `f(x)` that a model would have on all examples there could be, the prediction `m(x)` from scores `y`
errs by

    f(x) - m(x)  =  [ f̂(x) - m(x) ]  -  R(x) d,        R = ∂m/∂y,   d = y - E y

- **surrogate**: `f̂(x)` is the score on the examples that were used. The surrogate's own posterior speaks of it.
- **examples**: `d` is how far the scores at hand are off because examples are finite. Models that were scored on the
  same examples share most of it (`Scores.shared`, or a paired bootstrap); the surrogate passes it on by its response
  `R`. For a surrogate that is linear in the scores the two parts add up exactly to its mean squared error.
- **parameters**: what happens when the parameters themselves are drawn from the merged posterior; only where
  deviations of sampled models are given. A checkpoint that is shipped has no such error: the part belongs to previews,
  where the merge stands for a finetune that would have ended somewhere else.

What none of them knows: a landscape of another form than the surrogate believes, and examples of another kind. Where
each score is rough by itself (a few answers flip from model to model), the surrogate sees the roughness as its own
misfit and the examples' part passes it on once more: intervals are then too wide rather than too short.

Shapes: `S` draws, `B` bootstrap draws, `K` points, `N` scores, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paretomerge.errors import DataError
from paretomerge.surrogates import Fitted
from paretomerge.types import Objective, Scores

PARTS = ("surrogate", "examples", "parameters")


@dataclass(frozen=True, eq=False)
class ScoreUncertainty:
    """Uncertain scores at `K` points.

    Attributes:
        objectives: the `M` objectives.
        mean: `[K, M]`, the predicted scores, in the objectives' own directions.
        parts: standard deviations `[K, M]` of each part that was asked for; zeros where a part has nothing to say.
        draws: `[S, K, M]`, joint over points (and over objectives as far as the deviations given are), of all parts
            together, within the objectives' bounds.
    """

    objectives: tuple[Objective, ...]
    mean: np.ndarray
    parts: Mapping[str, np.ndarray]
    draws: np.ndarray

    @property
    def combined(self) -> np.ndarray:
        """`[K, M]`, the root of the summed variances: the parts are independent."""
        return np.sqrt(sum((stdev**2 for stdev in self.parts.values()), np.zeros_like(self.mean)))

    def interval(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends `[K, M]` of central intervals, from the draws.

        Ends are the order statistics at `(S + 1) p` (Weibull's plotting positions): if the truth is one more draw of
        the same kind, it falls between them with probability `level`, whatever the shape of the distribution.

        Raises:
            DataError: a level outside (0, 1), or too few draws for it.
        """
        return quantiles(self.draws, level)


def score_uncertainty(
    surrogate: Fitted | Scores,
    points: Any,
    *,
    objectives: Sequence[Objective] | None = None,
    draws: int = 200,
    seed: int = 0,
    deviations: np.ndarray | None = None,
    parameters: np.ndarray | None = None,
    parts: Sequence[str] = PARTS,
) -> ScoreUncertainty:
    """What is not known about the scores at `points [K, D]`.

    Which parts belong in an interval depends on what it is an interval for. The score on the very examples that were
    used: `parts=("surrogate",)`. The score on all examples there could be: surrogate and examples (and that of a
    model that stands for another one: parameters). The mean of *another finite sample* is farther off than that by
    its own sampling error. The mean of a finite set that contains the examples used is nearer: give deviations with
    `population` (see `evaluation.bootstrap_deviations`).

    Args:
        surrogate: a fitted surrogate, or measured scores, whose own points are the only ones that can be asked for.
        points: `[K, D]`, points of its domain.
        objectives: which of its objectives; all when not given.
        draws: `S`.
        seed: of the draws.
        deviations: `[B, N, M]` of all the surrogate's scores and objectives, as `evaluation.bootstrap_deviations`
            gives them; normal draws with the covariance `Scores.shared` when not given.
        parameters: standard deviations `[K, M]` of the chosen objectives under draws of the parameters, or such
            deviations themselves, `[P, K, M]`. Standard deviations count as moving all points together.
        parts: which parts the draws contain.

    Raises:
        DataError: unknown objectives or parts, shapes that disagree, or fewer than two draws.
    """
    fitted = MeasuredPoints(surrogate) if isinstance(surrogate, Scores) else surrogate
    columns = _columns(fitted.objectives, objectives)
    chosen = tuple(fitted.objectives[column] for column in columns)
    unknown = [part for part in parts if part not in PARTS]
    if unknown or draws < 2:
        raise DataError(f"{draws} draws of {', '.join(unknown) or 'parts'}: at least 2, of {', '.join(PARTS)}")
    # One stream per part, so that leaving one out does not change the draws of the others.
    streams = dict(zip(PARTS, np.random.default_rng(seed).spawn(len(PARTS)), strict=True))
    mean, stdev = (np.asarray(table)[:, columns] for table in fitted.predict(points))
    total, stdevs = np.broadcast_to(mean, (draws, *mean.shape)), {part: np.zeros_like(mean) for part in parts}
    if "surrogate" in parts:
        total, stdevs["surrogate"] = fitted.sample(points, draws, streams["surrogate"])[..., columns], stdev
    if "examples" in parts:
        moved, stdevs["examples"] = _example_deviations(fitted, points, columns, draws, streams["examples"], deviations)
        total = total + moved
    if "parameters" in parts and parameters is not None:
        moved, stdevs["parameters"] = _parameter_deviations(parameters, mean.shape, draws, streams["parameters"])
        total = total + moved
    return ScoreUncertainty(chosen, mean, stdevs, _within_bounds(total, chosen))


def quantiles(draws: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the central interval over the first axis, at the order statistics `(S + 1) (1 ± level) / 2`."""
    tail = (1 - level) / 2
    if not 0 < level < 1:
        raise DataError(f"the level of an interval lies between 0 and 1, got {level}: 0.9 means 90 %")
    if tail * (len(draws) + 1) < 1 - 1e-9:
        raise DataError(
            f"{len(draws)} draws are too few for intervals of {level:.3g}: at least {int(np.ceil(1 / tail - 1e-9)) - 1}"
        )
    lower, upper = np.quantile(draws, [tail, 1 - tail], axis=0, method="weibull")
    return lower, upper


@dataclass(frozen=True, eq=False)
class MeasuredPoints:
    """Measured scores as a surrogate that predicts nothing but themselves, each with its own noise."""

    scores: Scores

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Those of the scores."""
        return self.scores.objectives

    def predict(self, points: Any) -> tuple[np.ndarray, np.ndarray]:
        """The measured values and their own noise `[K, M]`."""
        rows = self._rows(points)
        return self.scores.values[rows], np.sqrt(self.scores.own_variance[rows])

    def sample(self, points: Any, draws: int, generator: np.random.Generator) -> np.ndarray:
        """`[S, K, M]`; a model that is asked for twice has one score."""
        noise = generator.standard_normal((draws, *self.scores.values.shape)) * np.sqrt(self.scores.own_variance)
        return (self.scores.values + noise)[:, self._rows(points)]

    def response(self, points: Any) -> np.ndarray:
        """`[M, K, N]`: each prediction is its own score."""
        rows = self._rows(points)
        one = np.arange(len(self.scores)) == rows[:, None]
        return np.broadcast_to(one.astype(np.float64), (len(self.objectives), *one.shape))

    def _rows(self, points: Any) -> np.ndarray:
        wanted = np.asarray(points, dtype=np.float64).reshape(-1, len(self.scores.tasks))
        same = np.abs(wanted[:, None] - self.scores.weights).max(axis=2) <= 1e-9
        if not same.any(axis=1).all():
            missing = wanted[~same.any(axis=1)][0].tolist()
            raise DataError(f"nothing was measured at {missing}: measured scores say nothing about other points")
        return same.argmax(axis=1)


def _columns(known: Sequence[Objective], wanted: Sequence[Objective] | None) -> list[int]:
    names = [objective.name for objective in known]
    if wanted is None:
        return list(range(len(names)))
    unknown = [objective.name for objective in wanted if objective.name not in names]
    if unknown:
        raise DataError(f"the surrogate does not predict {unknown[0]!r}, only {', '.join(names)}")
    return [names.index(objective.name) for objective in wanted]


def _example_deviations(
    fitted: Fitted | MeasuredPoints,
    points: Any,
    columns: list[int],
    draws: int,
    rng: np.random.Generator,
    deviations: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws `[S, K, M]` of `R d`, and their standard deviations `[K, M]`."""
    scores, response = fitted.scores, fitted.response(points)[columns]
    if deviations is None:
        if scores.shared is None:
            return np.zeros((draws, response.shape[1], len(columns))), np.zeros((response.shape[1], len(columns)))
        roots = [response[row] @ _root(scores.shared[column]) for row, column in enumerate(columns)]
        moved = [rng.standard_normal((draws, root.shape[1])) @ root.T for root in roots]
        return np.stack(moved, axis=-1), np.sqrt(np.stack([(root**2).sum(axis=1) for root in roots], axis=-1))
    given = np.asarray(deviations, dtype=np.float64)
    if given.ndim != 3 or len(given) < 2 or given.shape[1:] != scores.values.shape or not np.isfinite(given).all():
        raise DataError(
            f"deviations have shape {list(given.shape)}, expected [at least 2, {len(scores)} scores, "
            f"{scores.values.shape[1]} objectives] finite numbers"
        )
    moved_all = np.einsum("mkn,bnm->bkm", response, given[..., columns], optimize=True)
    return moved_all[_picked(len(given), draws, rng)], moved_all.std(axis=0)


def _parameter_deviations(
    parameters: np.ndarray, shape: tuple[int, ...], draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    given = np.asarray(parameters, dtype=np.float64)
    if given.shape[-2:] != shape or given.ndim not in (2, 3) or not np.isfinite(given).all():
        raise DataError(
            f"parameter deviations have shape {list(given.shape)}, expected {list(shape)} standard deviations or "
            f"[draws, {shape[0]}, {shape[1]}] finite numbers (points × objectives)"
        )
    if given.ndim == 2:
        # Neighbouring merges move together when their parameters do: one number per draw and objective.
        return rng.standard_normal((draws, 1, shape[1])) * given, given
    return given[_picked(len(given), draws, rng)], given.std(axis=0)


def _picked(count: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """`draws` of `count` things, each nearly equally often."""
    rounds = -(-draws // count)
    return np.concatenate([rng.permutation(count) for _ in range(rounds)])[:draws]


def _root(covariance: np.ndarray) -> np.ndarray:
    """`L` with `L Lᵀ` the covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _within_bounds(draws: np.ndarray, objectives: Sequence[Objective]) -> np.ndarray:
    low = [-np.inf if objective.bounds[0] is None else objective.bounds[0] for objective in objectives]
    high = [np.inf if objective.bounds[1] is None else objective.bounds[1] for objective in objectives]
    return np.clip(draws, low, high)
