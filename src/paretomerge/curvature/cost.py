"""What a fit will cost, before it starts: counted, and timed on a few examples.

A fit costs `f + w·W + c·C` for `C` examples that serve the curvature and `W` that are read at all: for gradients, and
for whatever a family takes of the whole split. Two or three fits on a handful of examples tell `f`, `w` and `c`, for
passes and for seconds alike, whatever the family. Passes are exact where they are linear in the examples, as they are
for all but the iterations of low-rank posteriors. Validated centres are counted as if all were kept: a centre is
measured before it is left out, so two of them cost what is stated, and only a third may never be reached.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from paretomerge.curvature.examples import take_examples
from paretomerge.curvature.fit import Curvatures, fit_curvatures
from paretomerge.curvature.methods import FitIsotropic, FitMethod
from paretomerge.curvature.methods.locations import require_examples
from paretomerge.posteriors import Curvature, Dense, Expanded, Product, Subspace
from paretomerge.types import Batch, Params, Problem, Split, spec_of

SAMPLE = 8
"""Examples of a trial: few enough to cost little, enough to be a small batch."""

SHORT = 1.0
"""Seconds: a trial shorter than this is repeated, since a first pass also warms up."""


@dataclass(frozen=True)
class FitCost:
    """What a fit will take.

    Args:
        examples: task → how many examples it has.
        gradient_passes: derivatives of single examples, as `Ledger` counts them; of more than two validated centres
            the most they can take.
        seconds: of wall-clock time on this machine, of the order of the real time; without the evaluations of
            validated centres.
        memory: bytes of base, finetunes and posteriors, which are held together; the activations of one batch come on
            top.
    """

    examples: Mapping[str, int]
    gradient_passes: int
    seconds: float
    memory: int


@dataclass(frozen=True)
class _Trial:
    passes: float
    seconds: float
    found: Curvatures


def estimate_cost(
    problem: Problem,
    base: Params,
    finetunes: Mapping[str, Params],
    method: FitMethod,
    split: Split = "training",
    seed: int = 0,
    sample: int = SAMPLE,
) -> FitCost:
    """What `fit_curvatures` with these arguments will cost; runs it on up to `sample` examples of each task.

    Args:
        problem: model and data.
        base: the pretrained parameters.
        finetunes: task → finetuned parameters.
        method: family, route and location.
        split: whose examples.
        seed: of sampled labels.
        sample: examples of the trials.

    Raises:
        DataError: a split without examples.
        AlignmentError: parameters that do not fit the model.
        RecipeError: a number of examples that is not positive.
    """
    limit = getattr(method, "examples", None)
    require_examples(limit)
    models = [base, *finetunes.values()]
    if isinstance(method, FitIsotropic):
        return FitCost(dict.fromkeys(finetunes, 0), 0, 0.0, _held(models, ()))
    counts: dict[str, int] = {}
    heads: dict[str, list[Batch]] = {}
    for task in finetunes:
        batches = problem.batches(task, split)
        counts[task] = sum(len(targets) for _, targets in batches)
        heads[task] = list(take_examples(batches, sample))
    few = min(sample, *(_count(head) for head in heads.values()))
    trials = _Trials(problem, heads, base, finetunes, method, split, seed)
    read = _used(counts, getattr(method, "gradient_examples", None))
    passes, seconds, found = trials.extrapolate(few, read, _used(counts, limit))
    return FitCost(counts, round(passes), seconds, _held(models, found.bare.values()))


@dataclass(frozen=True, eq=False)
class _Trials:
    problem: Problem
    heads: Mapping[str, Sequence[Batch]]
    base: Params
    finetunes: Mapping[str, Params]
    method: Any
    split: Split
    seed: int

    def extrapolate(self, few: int, read: float, curved: float) -> tuple[float, float, Curvatures]:
        """Passes and seconds for the real numbers of examples per task, and what the largest trial found."""
        half = max(1, few // 2)
        small = self._run(half, half)
        if small.seconds < SHORT:
            small = self._run(half, half)
        whole = self._run(few, few) if few > half else small
        split = self._run(few, half) if curved != read and few > half else whole
        totals = []
        for key in ("passes", "seconds"):
            a, b, c = (float(getattr(trial, key)) for trial in (whole, split, small))
            along = max(0.0, (a - b) / (few - half)) if split is not whole else 0.0  # c: per example of the curvature
            rate = max(0.0, (b - c) / (few - half)) if few > half else a / few  # w: per example that is read
            fixed = max(0.0, a - few * (along + rate))
            totals.append(fixed + rate * read + along * curved)
        return totals[0], totals[1], whole.found

    def _run(self, count: int, limit: int) -> _Trial:
        """A fit on the first `count` examples of each task, `limit` of them for the curvature."""
        problem = replace(self.problem, data=lambda task, split: list(take_examples(self.heads[task], count)))
        settings = {"examples": limit, "gradient_examples": None, "validated": False}
        method = replace(self.method, **{key: to for key, to in settings.items() if hasattr(self.method, key)})
        started = time.perf_counter()
        found = fit_curvatures(problem, self.base, self.finetunes, method, self.split, self.seed)
        return _Trial(found.ledger.gradient_passes, time.perf_counter() - started, found)


def _held(models: Sequence[Params], posteriors: Iterable[Curvature]) -> int:
    """Bytes of all values together; what is shared counts once."""
    seen: dict[object, int] = {}

    def note(params: Params) -> Params:
        is_lazy = hasattr(params, "spec")
        for name in params:
            spec = spec_of(params, name)
            seen[(id(params), name) if is_lazy else params[name].data_ptr()] = spec.nbytes
        return params

    for params in models:
        note(params)
    for posterior in posteriors:
        posterior.map_params(note)
        note(dict(enumerate(_matrices(posterior))))  # type: ignore[arg-type]
    return sum(seen.values())


def _matrices(posterior: Curvature) -> list[Tensor]:
    if isinstance(posterior, Expanded):
        return _matrices(posterior.curvature)
    if isinstance(posterior, Product):
        return [matrix for part in posterior.parts.values() for matrix in _matrices(part)]
    return [posterior.precision] if isinstance(posterior, Dense | Subspace) else []


def _used(counts: Mapping[str, int], limit: int | None) -> float:
    """How many examples of a task are used, the mean over tasks."""
    return sum(count if limit is None else min(count, limit) for count in counts.values()) / len(counts)


def _count(batches: Sequence[Batch]) -> int:
    return sum(len(targets) for _, targets in batches)
